//! From the values of a request to the network's own types, each refusal with its error kind.

use super::error::{ErrorKind, RpcError};
use super::wire::{AddressText, Hex32, HexBytes, ShardWord};
use smt_types::address::{AddressError, Hrp};
use smt_types::payment::{MAX_MEMO_BYTES, MAX_PAYMENT_BYTES};
use smt_types::{Address, Amount, Canonical, DecodeError, Digest, NetworkId, PaymentId, ShardAddress, SignedPayment};

/// Where the memo's length stands in a payment: network, payer key, seq, payee and amount come before it.
pub(crate) const MEMO_LENGTH_OFFSET: usize = 4 + 32 + 8 + 32 + 8;

/// Reads a signed payment.
///
/// # Errors
/// `memo_too_long`, `weak_key` or `bad_encoding`.
pub fn signed_payment(bytes: &HexBytes) -> Result<SignedPayment, RpcError> {
    let memo =
        bytes.0.get(MEMO_LENGTH_OFFSET..).and_then(|rest| rest.first_chunk::<4>()).map(|b| u32::from_le_bytes(*b));
    if let Some(memo) = memo.and_then(|length| usize::try_from(length).ok())
        && memo > MAX_MEMO_BYTES
        && memo <= bytes.0.len()
    {
        let text = format!("the memo has {memo} bytes, at most {MAX_MEMO_BYTES} are allowed");
        return Err(RpcError::new(ErrorKind::MemoTooLong, text).with("max", MAX_MEMO_BYTES));
    }
    SignedPayment::from_bytes(&bytes.0, MAX_PAYMENT_BYTES).map_err(|error| match error {
        DecodeError::WeakKey => RpcError::new(ErrorKind::WeakKey, "the payer's key has small order"),
        other => RpcError::new(ErrorKind::BadEncoding, format!("not a signed payment: {other}")),
    })
}

/// Checks what needs neither state nor signature: network, amount and payee, in this order. `payer`: the payer's address.
///
/// # Errors
/// `wrong_network`, `amount_zero` or `self_payment`.
pub fn check_payment(signed: &SignedPayment, payer: &Address, network: NetworkId) -> Result<(), RpcError> {
    let payment = &signed.payment;
    if payment.network != network {
        let text = format!("the payment is for network {}, this is network {network}", payment.network);
        return Err(RpcError::new(ErrorKind::WrongNetwork, text).with("network", network));
    }
    if payment.amount == Amount::ZERO {
        return Err(RpcError::new(ErrorKind::AmountZero, "the amount is 0"));
    }
    if *payer == payment.payee {
        return Err(RpcError::new(ErrorKind::SelfPayment, "payer and payee are one account"));
    }
    Ok(())
}

/// Reads an address of this network.
///
/// # Errors
/// `wrong_prefix` or `bad_address`.
pub fn address(text: &AddressText, hrp: Hrp) -> Result<Address, RpcError> {
    let wrong_prefix = |found: &str| {
        let text = format!("the address has prefix {found:?}, this network's is {:?}", hrp.as_str());
        RpcError::new(ErrorKind::WrongPrefix, text).with("prefix", hrp.as_str())
    };
    match Address::parse(&text.0) {
        Ok((found, address)) if found == hrp => Ok(address),
        Ok((found, _)) => Err(wrong_prefix(found.as_str())),
        Err(AddressError::Prefix { found }) => Err(wrong_prefix(&found)),
        Err(error) => Err(RpcError::new(ErrorKind::BadAddress, format!("{:.100?}: {error}", text.0))),
    }
}

/// Writes an address of this network.
#[must_use]
pub fn address_text(address: &Address, hrp: Hrp) -> AddressText {
    AddressText(address.to_bech32(hrp))
}

/// Reads a shard of a network of `level`.
///
/// # Errors
/// `unknown_shard`.
pub fn shard(word: &ShardWord, level: u8) -> Result<ShardAddress, RpcError> {
    match word.0.parse::<ShardAddress>() {
        Ok(shard) if shard.level() == level => Ok(shard),
        Ok(_) => {
            let text = format!("no shard {word}: shards of this network have {level} trits");
            Err(RpcError::new(ErrorKind::UnknownShard, text))
        }
        Err(error) => Err(RpcError::new(ErrorKind::UnknownShard, error.to_string())),
    }
}

impl From<ShardAddress> for ShardWord {
    fn from(shard: ShardAddress) -> Self {
        ShardWord(shard.to_string())
    }
}

impl From<Digest> for Hex32 {
    fn from(digest: Digest) -> Self {
        Hex32(digest.0)
    }
}

impl From<PaymentId> for Hex32 {
    fn from(id: PaymentId) -> Self {
        Hex32(id.0.0)
    }
}

impl From<Hex32> for PaymentId {
    fn from(id: Hex32) -> Self {
        PaymentId(Digest(id.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::super::doc::vector;
    use super::*;

    fn kind_of(bytes: Vec<u8>) -> ErrorKind {
        signed_payment(&HexBytes(bytes)).unwrap_err().kind
    }

    #[test]
    fn payments_that_do_not_decode() {
        let good = vector::signed_payment().to_bytes();
        assert_eq!(signed_payment(&HexBytes(good.clone())).unwrap(), vector::signed_payment());
        assert_eq!(kind_of(Vec::new()), ErrorKind::BadEncoding);
        assert_eq!(kind_of(good[1..].to_vec()), ErrorKind::BadEncoding);
        assert_eq!(kind_of([good.clone(), vec![0]].concat()), ErrorKind::BadEncoding);
        let mut long_memo = good.clone();
        let memo_end = MEMO_LENGTH_OFFSET + 4 + vector::MEMO.len();
        long_memo.splice(MEMO_LENGTH_OFFSET..memo_end, [65, 0, 0, 0].into_iter().chain([b'x'; 65]));
        assert_eq!(kind_of(long_memo), ErrorKind::MemoTooLong);
        let mut weak = good;
        weak[4..36].fill(0);
        assert_eq!(kind_of(weak), ErrorKind::WeakKey);
    }

    #[test]
    fn payments_refused_without_state() {
        let network = vector::signed_payment().payment.network;
        let payer = vector::signed_payment().payment.payer.address();
        let check = |payment: &SignedPayment| check_payment(payment, &payer, network);
        let kind = |payment: &SignedPayment| check(payment).unwrap_err().kind;
        assert!(check(&vector::signed_payment()).is_ok());
        let mut foreign = vector::signed_payment();
        foreign.payment.network = NetworkId(network.0 ^ 1);
        assert_eq!(kind(&foreign), ErrorKind::WrongNetwork);
        let mut nothing = vector::signed_payment();
        nothing.payment.amount = Amount::ZERO;
        assert_eq!(kind(&nothing), ErrorKind::AmountZero);
        let mut own = vector::signed_payment();
        own.payment.payee = own.payment.payer.address();
        assert_eq!(kind(&own), ErrorKind::SelfPayment);
    }

    #[test]
    fn addresses_and_shards() {
        let payee = vector::signed_payment().payment.payee;
        let dev = address_text(&payee, Hrp::Dev);
        assert_eq!(address(&dev, Hrp::Dev).unwrap(), payee);
        assert_eq!(address(&dev, Hrp::Main).unwrap_err().kind, ErrorKind::WrongPrefix);
        assert_eq!(address(&"btc1qqqq".into(), Hrp::Main).unwrap_err().kind, ErrorKind::WrongPrefix);
        let flipped = if dev.0.ends_with('q') { 'p' } else { 'q' };
        let mistyped = AddressText(format!("{}{flipped}", &dev.0[..dev.0.len() - 1]));
        assert_eq!(address(&mistyped, Hrp::Dev).unwrap_err().kind, ErrorKind::BadAddress);
        assert_eq!(shard(&"2".into(), 1).unwrap().to_string(), "2");
        for bad in ["3", "0.1", "root", "", "x"] {
            assert_eq!(shard(&bad.into(), 1).unwrap_err().kind, ErrorKind::UnknownShard, "{bad:?}");
        }
        assert_eq!(shard(&"root".into(), 0).unwrap(), ShardAddress::ROOT);
    }
}
