//! Balances and history.

use super::{Context, account_of, memo_text};
use crate::rpc::error::ErrorKind;
use crate::rpc::schema::Direction;
use crate::wallet::cli::{Balance, History};
use crate::wallet::endpoint::{CallError, Endpoint};
use crate::wallet::journal::{Journal, Progress};
use crate::wallet::keystore::Keystore;
use crate::wallet::network::Network;
use crate::wallet::output::{Failure, Report};
use serde_json::{Value, json};
use smt_types::Address;

pub(super) fn balance(context: &Context, flags: &Balance) -> Result<Report, Failure> {
    let network = Network::contact(&context.dir, &context.remote, None)?;
    let accounts: Vec<(String, Address)> = if flags.accounts.is_empty() {
        Keystore::open(&context.dir)?.list()?.into_iter().map(|key| (key.name.to_string(), key.address)).collect()
    } else {
        let find = |text: &String| account_of(context, &network, text).map(|address| (text.clone(), address));
        flags.accounts.iter().map(find).collect::<Result<_, _>>()?
    };
    let (mut lines, mut values) = (Vec::new(), Vec::new());
    for (label, address) in &accounts {
        let (line, value) = one_balance(context, &network, label, address)?;
        lines.push(line);
        values.push(value);
    }
    if lines.is_empty() {
        lines.push("no keys; make one with: smt-node wallet new".into());
    }
    Ok(Report::new(lines.join("\n"), json!({ "network": network.id().0, "accounts": values })))
}

pub(super) fn one_balance(
    context: &Context,
    network: &Network,
    label: &str,
    address: &Address,
) -> Result<(String, Value), Failure> {
    let text = network.show(address);
    let account = match context.remote.account(&text) {
        Ok(account) => account,
        Err(CallError::Rpc(error)) if error.kind == ErrorKind::UnknownAccount => {
            let value = json!({ "account": label, "address": text, "balance": "0", "incoming": "0", "next_seq": "0",
                "known": false });
            return Ok((format!("{label}  0  (nobody ever paid it)"), value));
        }
        Err(error) => return Err(error.into()),
    };
    // The list is bounded and each amount below 2^64: the sum fits.
    let incoming: u128 = account.incoming.iter().map(|payment| u128::from(payment.amount.0)).sum();
    let mut line = format!("{label}  {}", account.balance);
    if incoming > 0 {
        line.push_str(&format!("  (+ {incoming} incoming, not yet spendable)"));
    }
    line.push_str(&format!("  next seq {}", account.next_seq));
    let payments: Vec<_> = account
        .incoming
        .iter()
        .map(|payment| json!({ "id": payment.id, "payer": payment.payer, "amount": payment.amount }))
        .collect();
    let value = json!({ "account": label, "address": text, "balance": account.balance,
        "incoming": incoming.to_string(), "incoming_payments": payments, "next_seq": account.next_seq, "known": true });
    Ok((line, value))
}

pub(super) fn history(context: &Context, flags: History) -> Result<Report, Failure> {
    let network = Network::contact(&context.dir, &context.remote, None)?;
    let address = account_of(context, &network, &flags.account)?;
    let text = network.show(&address);
    let page = match context.remote.history(&text, flags.before, flags.limit) {
        Ok(page) => page,
        Err(CallError::Rpc(error)) if error.kind == ErrorKind::UnknownAccount => {
            crate::rpc::schema::History { entries: Vec::new(), next: None }
        }
        Err(error) => return Err(error.into()),
    };
    let mut lines: Vec<String> = page
        .entries
        .iter()
        .map(|entry| {
            let (sign, side) = match entry.direction {
                Direction::Out => ('-', "to"),
                Direction::In => ('+', "from"),
            };
            let memo = memo_text(&entry.memo.0);
            let stage = entry.stage.word();
            format!(
                "{sign}{} {side} {}  {stage}  seq {}  {}{memo}",
                entry.amount, entry.counterparty, entry.seq, entry.id
            )
        })
        .collect();
    // What this wallet signed and nobody confirmed yet is history too.
    let journal = Journal::open(network.dir(), network.id(), address)?;
    let mut open = Vec::new();
    for (seq, note) in journal.notes()? {
        let Some(signed) = journal.payment(seq)?.filter(|_| note.progress < Progress::Certified) else {
            continue;
        };
        let id = signed.payment.id().to_string();
        if page.entries.iter().any(|entry| entry.id.0 == signed.payment.id().0.0) {
            continue;
        }
        let payee = network.show(&signed.payment.payee);
        lines.push(format!(
            "-{} to {payee}  signed here, not known to be certified  seq {seq}  {id}",
            signed.payment.amount
        ));
        open.push(
            json!({ "id": id, "seq": seq.to_string(), "amount": signed.payment.amount.to_string(), "payee": payee }),
        );
    }
    if lines.is_empty() {
        lines.push("no payments".into());
    }
    if let Some(next) = &page.next {
        lines.push(format!("more: --before {next}"));
    }
    Ok(Report::new(
        lines.join("\n"),
        json!({ "address": text, "entries": page.entries, "next": page.next, "unconfirmed": open }),
    ))
}
