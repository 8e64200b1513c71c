//! Paying, signing and submitting.

use super::{Context, bad_address, file_failure, parse_address, read_input};
use crate::rpc::error::ErrorKind;
use crate::rpc::schema::Stage;
use crate::wallet::cli::{Payer, Send, Sign, Submit, Until, What};
use crate::wallet::durable;
use crate::wallet::journal::Journal;
use crate::wallet::keystore::Keystore;
use crate::wallet::network::{self, Network, NetworkError};
use crate::wallet::output::{Exit, Failure, Report, say};
use crate::wallet::secret::read_seed;
use crate::wallet::send::{self, Patience, Request, SendError, Sender, Sent};
use serde_json::json;
use smt_types::crypto::SecretKey;
use smt_types::payment::MAX_PAYMENT_BYTES;
use smt_types::{Address, Bounded, Canonical, Lamport, NetworkId, Payment, PaymentId, Seq, SignedPayment};
use std::path::Path;
use std::time::Duration;

/// The key that signs. Asked for before any lock is taken.
pub(super) fn signing_key(context: &Context, payer: &Payer) -> Result<SecretKey, Failure> {
    let seed = match (&payer.key_file, &payer.from) {
        (Some(path), _) => read_seed(path)?,
        (None, Some(name)) => {
            let keystore = Keystore::open(&context.dir)?;
            let _ = keystore.find(name)?;
            keystore.unlock(name, &payer.passphrase.ask(name.as_str())?)?
        }
        (None, None) => {
            return Err(Failure::text(Exit::Usage, "no_key", "say --from NAME or --key-file FILE"));
        }
    };
    Ok(SecretKey::from_seed(*seed.as_bytes()))
}

pub(super) fn request(what: &What, payee: Address, again: bool, seq: Option<u64>) -> Request {
    Request { payee, amount: what.amount, memo: what.memo.clone().into_bytes(), again, seq: seq.map(Seq) }
}

pub(super) fn patience(until: &Until) -> Patience {
    Patience::new(until.wait.into(), Duration::from_secs(until.timeout.into()))
}

pub(super) fn send(context: &Context, flags: &Send) -> Result<Report, Failure> {
    let network = Network::contact(&context.dir, &context.remote, flags.genesis_hash)?;
    if let Some(wanted) = flags.network_id.map(NetworkId).filter(|wanted| *wanted != network.id()) {
        return Err(NetworkError::Number { found: network.id(), wanted }.into());
    }
    let request = request(&flags.what, parse_address(network.hrp(), &flags.what.to)?, flags.again, flags.seq);
    let key = signing_key(context, &flags.payer)?;
    let journal = Journal::open(network.dir(), network.id(), key.public().address())?;
    let on_resend =
        |seq: Seq, id: PaymentId| say(&format!("sending again first: payment {id} at seq {seq}, signed before"));
    let sender = Sender { endpoint: &context.remote, network: &network, journal, on_resend: &on_resend };
    told(&sender, sender.send(&key, &request, patience(&flags.until)))
}

pub(super) fn submit(context: &Context, flags: &Submit) -> Result<Report, Failure> {
    let signed = read_payment(&flags.file)?;
    let network = Network::contact(&context.dir, &context.remote, None)?;
    if signed.payment.network != network.id() {
        return Err(NetworkError::Number { found: network.id(), wanted: signed.payment.network }.into());
    }
    let journal = Journal::open(network.dir(), network.id(), signed.payment.payer.address())?;
    let on_resend = |_: Seq, _: PaymentId| {};
    let sender = Sender { endpoint: &context.remote, network: &network, journal, on_resend: &on_resend };
    told(&sender, sender.submit(&signed, patience(&flags.until)))
}

/// What is said of a payment that was sent.
pub(super) fn told(sender: &Sender<'_>, outcome: Result<Sent, SendError>) -> Result<Report, Failure> {
    match outcome {
        Ok(sent) => Ok(paid(sender, &sent)),
        Err(error) => {
            // Only a death is an outcome: everything else goes on with the same command.
            let dead = if let SendError::Dead { seq, .. } = &error { Some(*seq) } else { None };
            let seq = match &error {
                SendError::Unfinished { seq, .. } => Some(*seq),
                _ => None,
            };
            let mut failure = Failure::from(error);
            if let Some(seq) = seq {
                let is_paid = sender.journal.receipt(seq)?.is_some();
                failure = failure.with("paid", is_paid);
            }
            failure.told = dead.map(|seq| (sender.journal.clone(), seq));
            Err(failure)
        }
    }
}

pub(super) fn paid(sender: &Sender<'_>, sent: &Sent) -> Report {
    let network = sender.network;
    let payment = &sent.payment.payment;
    let (id, payee) = (payment.id(), network.show(&payment.payee));
    let is_paid = sent.receipt.is_some();
    let stage = sent.stage.word();
    let mut human = if is_paid {
        let epoch = sent.epoch.map(|epoch| format!(" in epoch {epoch}")).unwrap_or_default();
        let more = if sent.stage == Stage::Final { String::new() } else { format!(", {stage}") };
        format!("paid {} to {payee}\nfinal{epoch}{more}; receipt verified", payment.amount)
    } else {
        format!("{stage}: {} to {payee}\nnot yet paid: that is from final on", payment.amount)
    };
    human.push_str(&format!("\npayment {id}\nseq {}", payment.seq));
    if sent.resumed {
        human.push_str("\nbegun by an earlier command; to pay once more, run this one again");
    }
    let resent: Vec<_> = sent
        .resent
        .iter()
        .map(|(seq, id, stage)| json!({ "seq": seq.to_string(), "id": id.to_string(), "stage": stage.word() }))
        .collect();
    let json = json!({
        "id": id.to_string(), "stage": stage, "paid": is_paid, "seq": payment.seq.to_string(),
        "payer": network.show(&payment.payer.address()), "payee": payee, "amount": payment.amount.to_string(),
        "memo": hex::encode(&*payment.memo), "epoch": sent.epoch.map(|epoch| epoch.to_string()),
        "receipt": sent.receipt.as_ref().map(hex::encode), "resumed": sent.resumed, "resent": resent,
    });
    Report { human, json, told: Some((sender.journal.clone(), payment.seq)) }
}

pub(super) fn sign(context: &Context, flags: &Sign) -> Result<Report, Failure> {
    let id = NetworkId(flags.network_id);
    let payee = match Network::known(&context.dir, id) {
        Ok(network) => parse_address(network.hrp(), &flags.what.to)?,
        // Signing needs no network: without a genesis the prefix cannot be checked, the checksum can.
        Err(NetworkError::Unknown(_)) => {
            Address::parse(&flags.what.to).map_err(|error| bad_address(error.to_string()))?.1
        }
        Err(error) => return Err(error.into()),
    };
    let request = request(&flags.what, payee, false, Some(flags.seq));
    let key = signing_key(context, &flags.payer)?;
    send::check(&key.public().address(), &request)?;
    let memo = Bounded::new(request.memo).map_err(|memo| {
        Failure::text(Exit::Failed, ErrorKind::MemoTooLong.word(), format!("the memo has {} bytes", memo.len()))
    })?;
    let payment = Payment {
        network: id,
        payer: key.public(),
        seq: Seq(flags.seq),
        payee,
        amount: flags.what.amount,
        memo,
        after: Lamport(flags.after),
    };
    let dir = network::network_dir(&context.dir, id);
    let journal = Journal::open(&dir, id, key.public().address())?;
    let signed = journal.lock(Duration::from_secs(30))?.record(&payment.sign(&key))?;
    let text = hex::encode(signed.to_bytes());
    let id = signed.payment.id();
    if let Some(path) = &flags.out {
        durable::create(path, format!("{text}\n").as_bytes()).map_err(|error| file_failure(path, &error))?;
        say(&format!("payment {id} signed at seq {}, in {}", flags.seq, path.display()));
    }
    let human = if flags.out.is_some() { String::new() } else { text.clone() };
    Ok(Report::new(human, json!({ "id": id.to_string(), "seq": flags.seq.to_string(), "payment": text })))
}

pub(super) fn read_payment(path: &Path) -> Result<SignedPayment, Failure> {
    let bad = |message: String| Failure::text(Exit::Failed, ErrorKind::BadEncoding.word(), message);
    let text = read_input(path, MAX_PAYMENT_BYTES.saturating_mul(2).saturating_add(64))?;
    let bytes = hex::decode(text.trim_ascii())
        .map_err(|error| bad(format!("{} is not a signed payment in hex: {error}", path.display())))?;
    let signed = SignedPayment::from_bytes(&bytes, MAX_PAYMENT_BYTES).map_err(|error| match error {
        smt_types::DecodeError::WeakKey => Failure::new(Exit::Failed, ErrorKind::WeakKey.word(), &error),
        other => bad(format!("{} is not a signed payment: {other}", path.display())),
    })?;
    if !signed.is_signed() {
        return Err(Failure::text(
            Exit::Failed,
            ErrorKind::BadSignature.word(),
            "the payer's signature does not verify",
        ));
    }
    Ok(signed)
}
