//! What must hold once the run is over. A check that cannot be made has not passed, and says why.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use smt_node::rpc::client::Client;
use smt_node::rpc::schema::{ById, Empty, SnapshotQuery};
use smt_node::rpc::table::{GetGlobalCut, GetReceipt, GetSnapshot};
use smt_node::rpc::wire::{Decimal, ShardWord};
use smt_types::receipt::MAX_RECEIPT_BYTES;
use smt_types::{Canonical, RealChecker, Receipt, ShardAddress};

use super::books::Books;
use super::schedule::to_f64;
use crate::network::target::{Initial, Target, client};
use crate::result::{Check, Checks, Counts, Verdict};

/// Accounts whose balances are compared.
const ACCOUNTS_MAX: u32 = 200;
/// How long money may be on its way after the last payment.
const PATIENCE: Duration = Duration::from_secs(15);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Makes all checks.
pub fn all(target: &Target, books: &Books, initial: &Initial) -> Checks {
    Checks {
        accounting: accounting(&books.counts(), true),
        conservation: verdict(conservation(target)),
        equal_roots: verdict(equal_roots(target)),
        receipts_checked: receipts(target, books),
        balances: balances(target, books, initial),
    }
}

fn verdict(outcome: Result<String>) -> Check {
    match outcome {
        Ok(text) => Check { verdict: Verdict::Pass, text },
        Err(error) => Check { verdict: Verdict::Fail, text: format!("{error:#}") },
    }
}

/// Everything offered has ended in one way; in a run that was stopped some of it may be in flight.
pub fn accounting(counts: &Counts, complete: bool) -> Check {
    let Counts { offered, r#final, expired, timed_out, in_flight_at_end, .. } = counts;
    let rejected = counts.rejected_total();
    let text = format!(
        "offered {offered} = final {final} + rejected {rejected} + expired {expired} + timed out {timed_out} + in flight {in_flight_at_end}"
    );
    let holds = counts.add_up() && (*in_flight_at_end == 0 || !complete);
    Check { verdict: if holds { Verdict::Pass } else { Verdict::Fail }, text }
}

/// Every replica's newest global cut holds genesis money.
fn conservation(target: &Target) -> Result<String> {
    let want = u128::from(target.genesis.supply().context("the genesis")?.0);
    let mut newest = None;
    for endpoint in &target.endpoints {
        let cut = client(endpoint.rpc).call::<GetGlobalCut>(&Empty {})?;
        let held = cut.supply.0.checked_add(cut.in_flight.0).context("a cut's money overflows")?;
        ensure!(
            held == want,
            "epoch {} at {}: supply {} + in flight {} = {held}, genesis has {want}",
            cut.epoch,
            endpoint.rpc,
            cut.supply,
            cut.in_flight
        );
        newest = newest.max(Some(cut.epoch.0));
    }
    let newest = newest.context("no endpoint to ask")?;
    Ok(format!("genesis money {want} in the newest cut of all {} replicas (epoch {newest})", target.endpoints.len()))
}

/// One epoch's header, the same at all replicas of a shard.
fn equal_roots(target: &Target) -> Result<String> {
    let mut told = Vec::new();
    for shard in ShardAddress::all(target.genesis.level) {
        let clients: Vec<(u8, Client)> = target
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.shard == shard.index())
            .map(|endpoint| (endpoint.replica, client(endpoint.rpc)))
            .collect();
        let query = |epoch| SnapshotQuery { shard: ShardWord::from(shard), epoch };
        let mut epochs = Vec::new();
        for (_, client) in &clients {
            epochs.push(client.call::<GetSnapshot>(&query(None))?.epoch.0);
        }
        // The newest that all have.
        let epoch = epochs.into_iter().min().with_context(|| format!("no endpoint of shard {shard}"))?;
        let mut headers = Vec::new();
        for (replica, client) in &clients {
            let snapshot = client.call::<GetSnapshot>(&query(Some(Decimal(epoch))))?;
            headers.push((*replica, snapshot.digest, snapshot.state_root));
        }
        for pair in headers.windows(2) {
            if let [(a, digest_a, root_a), (b, digest_b, root_b)] = pair {
                ensure!(
                    digest_a == digest_b && root_a == root_b,
                    "shard {shard}, epoch {epoch}: replica {a} has header {digest_a} with root {root_a}, replica {b} {digest_b} with root {root_b}"
                );
            }
        }
        told.push(format!("shard {shard}: {} replicas, epoch {epoch}", clients.len()));
    }
    Ok(format!("equal headers and state roots ({})", told.join("; ")))
}

/// Receipts of the kept payments, verified here from the genesis' committees.
fn receipts(target: &Target, books: &Books) -> Check {
    let samples = books.samples();
    if samples.is_empty() {
        return Check { verdict: Verdict::NotMade, text: "no final payment was kept for it".into() };
    }
    let check = || -> Result<String> {
        let began = Instant::now();
        let mut clients = BTreeMap::new();
        for sample in samples {
            let place = usize::try_from(sample.shard).unwrap_or(usize::MAX);
            let committee = target.committees.get(place).with_context(|| format!("no shard {}", sample.shard))?;
            let endpoints = target.endpoints.iter().filter(|endpoint| endpoint.shard == sample.shard);
            // From the last replica: rarely a gateway or reader of everything.
            let rpc = endpoints.map(|endpoint| endpoint.rpc).next_back().context("no endpoint")?;
            let client = clients.entry(rpc).or_insert_with(|| client(rpc));
            let reply = loop {
                match client.call::<GetReceipt>(&ById { id: sample.id.into() }) {
                    // Final where we listen; this replica may be behind.
                    Err(error) if error.retryable() && began.elapsed() < PATIENCE => std::thread::sleep(LOOK),
                    reply => break reply,
                }
            };
            let reply = reply.with_context(|| format!("the receipt of {}", sample.id))?;
            let receipt = Receipt::from_bytes(&reply.receipt.0, MAX_RECEIPT_BYTES)
                .with_context(|| format!("the receipt of {}", sample.id))?;
            let shown =
                receipt.verify(committee, &RealChecker).with_context(|| format!("the receipt of {}", sample.id))?;
            ensure!(shown.id() == sample.id, "the receipt of {} is for {}", sample.id, shown.id());
        }
        let took = began.elapsed().as_secs_f64();
        Ok(format!("{} receipts fetched and verified in {took:.1} s", samples.len()))
    };
    verdict(check())
}

/// Balances and seqs of a sample, against our own books. Waits for money that is on its way to be credited.
fn balances(target: &Target, books: &Books, initial: &Initial) -> Check {
    let accounts = books.accounts();
    let uncertain = books.uncertain();
    if !uncertain.is_empty() {
        let text = format!("{} payments have an unknown fate, so no balance can be predicted", uncertain.len());
        return Check { verdict: Verdict::NotMade, text };
    }
    let stride = accounts.len().div_ceil(ACCOUNTS_MAX).max(1);
    let stride = usize::try_from(stride).unwrap_or(1);
    let sample: Vec<u32> = (0..accounts.len()).step_by(stride).collect();
    let compare = || -> Result<u64> {
        let mut paid = 0_u64;
        for account in &sample {
            let shard = accounts.shard_of(*account);
            let endpoint = target.endpoints.iter().find(|endpoint| endpoint.shard == shard).context("no endpoint")?;
            let (balance, seq) = target.account(&client(endpoint.rpc), &accounts.address(*account))?;
            let (change, want_seq) = accounts.expected(*account);
            let want = i128::from(initial.of(*account)).saturating_add(change);
            ensure!(
                (i128::from(balance), seq) == (want, want_seq),
                "account {account} has balance {balance} and next seq {seq}, our books say {want} and {want_seq}"
            );
            paid = paid.saturating_add(accounts.paid(*account));
        }
        Ok(paid)
    };
    let until = Instant::now();
    loop {
        match compare() {
            Ok(paid) => {
                let mean = to_f64(paid) / to_f64(u64::try_from(sample.len()).unwrap_or(1).max(1));
                let text = format!("{} accounts as our books have them, {mean:.1} payments each", sample.len());
                return Check { verdict: Verdict::Pass, text };
            }
            Err(error) if until.elapsed() > PATIENCE => {
                return Check { verdict: Verdict::Fail, text: format!("{error:#}") };
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}
