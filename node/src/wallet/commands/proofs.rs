//! Receipts, the genesis, and forgetting a network.

use super::{Context, memo_text, read_input, wallet_dir, write_out};
use crate::rpc::schema::Stage;
use crate::wallet::cli::{FetchGenesis, FetchReceipt, Forget, VerifyReceipt};
use crate::wallet::endpoint::Endpoint;
use crate::wallet::network::{self, Network};
use crate::wallet::output::{Exit, Failure, Report};
use serde_json::json;
use smt_types::address::Hrp;
use smt_types::genesis::MAX_GENESIS_BYTES;
use smt_types::receipt::{FinalPayment, MAX_RECEIPT_BYTES};
use smt_types::{Canonical, Digest, Genesis, NetworkId, PaymentId};

pub(super) fn receipt(context: &Context, flags: &FetchReceipt) -> Result<Report, Failure> {
    let network = Network::contact(&context.dir, &context.remote, None)?;
    let id = PaymentId(flags.id);
    let bytes = context.remote.receipt(id)?;
    let (_, shown) = network.verify(&bytes)?;
    if shown.id() != id {
        return Err(Failure::text(
            Exit::Failed,
            "confused_endpoint",
            format!("the endpoint sent the receipt of {}", shown.id()),
        ));
    }
    let report = verified(network.genesis(), network.hash(), &shown, &bytes);
    write_out(flags.out.as_deref(), &bytes, report)
}

/// Checks a receipt offline.
///
/// # Errors
/// [`Failure`] with the reason.
pub fn verify(flags: &VerifyReceipt) -> Result<Report, Failure> {
    let bytes = read_input(&flags.file, MAX_RECEIPT_BYTES)?;
    let (genesis, hash) = match (&flags.genesis, flags.genesis_hash) {
        (Some(path), wanted) => network::read_genesis(&read_input(path, MAX_GENESIS_BYTES)?, wanted)?,
        (None, Some(hash)) => {
            let network = Network::by_hash(&wallet_dir(flags.wallet_dir.clone())?, hash)?;
            (network.genesis().clone(), hash)
        }
        (None, None) => {
            return Err(Failure::text(Exit::Usage, "no_genesis", "say --genesis or --genesis-hash"));
        }
    };
    let (_, shown) = network::verify_receipt(&genesis, &bytes)?;
    Ok(verified(&genesis, hash, &shown, &bytes))
}

pub(super) fn verified(genesis: &Genesis, hash: Digest, shown: &FinalPayment, bytes: &[u8]) -> Report {
    let hrp = if genesis.development { Hrp::Dev } else { Hrp::Main };
    let payment = &shown.payment().payment;
    let (payer, payee) = (payment.payer.address().to_bech32(hrp), payment.payee.to_bech32(hrp));
    let human = format!(
        "verified: {payer} paid {} to {payee}{}\nfinal in epoch {}, seq {}\npayment {}\nnetwork {}, genesis {hash}",
        payment.amount,
        memo_text(&payment.memo),
        shown.epoch(),
        payment.seq,
        shown.id(),
        payment.network,
    );
    let json = json!({
        "id": shown.id().to_string(), "stage": Stage::Final.word(), "paid": true, "epoch": shown.epoch().to_string(),
        "payer": payer, "payee": payee, "amount": payment.amount.to_string(), "seq": payment.seq.to_string(),
        "memo": hex::encode(&*payment.memo), "network": payment.network.0, "genesis_hash": hash.to_hex(),
        "receipt": hex::encode(bytes),
    });
    Report::new(human, json)
}

pub(super) fn genesis(context: &Context, flags: &FetchGenesis) -> Result<Report, Failure> {
    let network = match &flags.file {
        Some(path) => {
            let file = read_input(path, MAX_GENESIS_BYTES)?;
            Network::contact_with_file(&context.dir, &context.remote, flags.hash, &file)?
        }
        None => Network::contact(&context.dir, &context.remote, flags.hash)?,
    };
    let bytes = network.genesis().to_bytes();
    let trust =
        if flags.hash.is_some() { "as wanted" } else { "as the endpoint says: compare it with a source you trust" };
    let report = Report::new(
        format!("network {}, genesis {} ({trust})", network.id(), network.hash()),
        json!({ "network": network.id().0, "genesis_hash": network.hash().to_hex(), "bytes": bytes.len() }),
    );
    write_out(flags.out.as_deref(), &bytes, report)
}

pub(super) fn forget(context: &Context, flags: &Forget) -> Result<Report, Failure> {
    let away = Network::forget(&context.dir, NetworkId(flags.network_id))?;
    let away = away.display().to_string();
    Ok(Report::new(
        format!("network {} is unknown to this wallet now; what it kept is in {away}", flags.network_id),
        json!({ "network": flags.network_id, "moved_to": away }),
    ))
}
