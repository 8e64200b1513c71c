//! What the run prints.

use crate::blake3_limit::{COMPRESSIONS_PER_NODE, platform};
use crate::contender::{BATCH_CHANGES, PROVED_KEYS, WARM_UP_BATCHES};
use crate::report::Report;
use crate::run::{Findings, KEYS};
use crate::text::{Table, mebibytes, or_dash, whole};
use crate::workload::ENTRY_BYTES;

/// Prints all tables to standard output.
pub(crate) fn print(findings: &Findings) {
    head(findings);
    updates(findings);
    proofs(findings);
    memory(findings);
    disk(findings);
    ours(findings);
    goals(findings);
}

fn head(findings: &Findings) {
    let machine = &findings.machine;
    let keys = whole(findings.keys as f64);
    println!(
        "{keys} random 32-byte keys, 64-byte values; {} batches of {} changes after {WARM_UP_BATCHES} to warm up, root after each;",
        findings.batches,
        whole(BATCH_CHANGES as f64)
    );
    println!(
        "{} rounds of {} random keys proved. Seed {:#x}. Everybody {} times in turn; the run of median speed is shown.",
        findings.proof_rounds,
        whole(PROVED_KEYS as f64),
        findings.seed,
        findings.runs
    );
    println!("code      {}", findings.commit);
    if !findings.peers.is_empty() {
        println!("peers     {}", findings.peers.join(", "));
    }
    println!(
        "machine   {}, {} cores, {} MiB, Linux {}",
        machine.cpu,
        machine.cores,
        mebibytes(machine.memory_bytes),
        machine.kernel
    );
    println!("          {}, transparent huge pages '{}'", machine.filesystem, machine.huge_pages);
    println!("load      {} before, {} after", findings.load_averages[0], findings.load_averages[1]);
    let limit = findings.blake3;
    println!(
        "BLAKE3    {} hashes of 128 bytes per CPU-second side by side ({}), {} one by one",
        whole(limit.many),
        platform(),
        whole(limit.single)
    );
    if findings.quick {
        println!("A smoke test: these figures are no measurement.");
    }
}

fn updates(findings: &Findings) {
    println!("\nUpdates and roots, changes per CPU-second (all threads, user and kernel)");
    let mut table = Table::new(&[
        "",
        "keys",
        "load",
        "median batch",
        "mean of epochs",
        "slowest batch, CPU ms",
        "median, wall clock",
    ]);
    for report in &findings.reports {
        let updates = &report.updates;
        let rates = [report.load.per_cpu_second, updates.median.per_cpu_second, updates.mean.per_cpu_second];
        let mut row = name_and_keys(report);
        row.extend(rates.map(whole));
        row.push(whole(updates.batch_cpu_ms.iter().copied().fold(0.0, f64::max)));
        row.push(whole(updates.median.per_second));
        table.row(row);
    }
    table.print();
}

fn proofs(findings: &Findings) {
    println!("\nSingle proofs, per CPU-second; bytes without key and value");
    let mut table = Table::new(&["", "keys", "prove", "prove again", "verify", "mean bytes", "without sums"]);
    for report in &findings.reports {
        let Some(proofs) = &report.proofs else { continue };
        let rates = [proofs.prove, proofs.prove_again, proofs.verify];
        let sums = report.ours.as_ref().and_then(|ours| ours.proofs.as_ref()).map_or(0.0, |many| many.sum_bytes);
        let mut row = name_and_keys(report);
        row.extend(rates.map(|rate| whole(rate.per_cpu_second)));
        row.extend([proofs.bytes, proofs.bytes - sums].map(whole));
        table.row(row);
    }
    table.print();
}

fn memory(findings: &Findings) {
    println!("\nResident memory of the whole process after the last batch");
    let mut table = Table::new(&["", "keys", "peak MiB", "peak B/key", "now B/key", "in huge pages MiB"]);
    for report in &findings.reports {
        let memory = report.updates.memory;
        let mut row = name_and_keys(report);
        row.push(mebibytes(memory.peak));
        row.extend([memory.peak, memory.resident].map(|bytes| whole(bytes as f64 / report.keys as f64)));
        row.push(mebibytes(memory.huge));
        table.row(row);
    }
    table.print();
}

fn disk(findings: &Findings) {
    let durable: Vec<_> = findings.reports.iter().filter_map(|report| Some((report, report.disk?))).collect();
    if durable.is_empty() {
        return;
    }
    println!(
        "\nDisk, B/key beyond the {ENTRY_BYTES} of a key and its value; sync calls counted by strace with {}",
        whole(findings.syncs.keys as f64)
    );
    println!("keys; flushes of the block device during the timed batches, whoever asked for them");
    let mut table = Table::new(&["", "keys", "written", "tidied", "syncs/batch", "syncs/epoch end", "flushes/batch"]);
    for (report, disk) in durable {
        let counted = findings.syncs.counts.iter().find(|(name, _)| *name == report.contender);
        let syncs = counted.and_then(|(_, count)| count.as_ref().ok());
        let flushes = report.updates.device_flushes.map(|flushes| flushes as f64 / report.updates.batches as f64);
        let calls = [syncs.map(|syncs| syncs.batch), syncs.map(|syncs| syncs.epoch_end), flushes];
        let mut row = name_and_keys(report);
        row.extend([disk.written, disk.tidied].map(|bytes| whole(bytes as f64 / report.keys as f64 - ENTRY_BYTES)));
        row.extend(calls.map(|calls| or_dash(calls, |calls| format!("{calls:.1}"))));
        table.row(row);
    }
    table.print();
    for (name, count) in &findings.syncs.counts {
        if let Err(why) = count {
            println!("sync calls of {} not counted: {why}", name.text());
        }
    }
}

fn ours(findings: &Findings) {
    if findings.reports.iter().all(|report| report.ours.is_none()) {
        return;
    }
    let limit = findings.blake3.many * COMPRESSIONS_PER_NODE;
    println!("\nOurs alone; the limit is {} BLAKE3 compressions per CPU-second; nodes and bytes", whole(limit));
    println!("are those of the current state and of the retained epochs together");
    let mut hashing =
        Table::new(&["", "keys", "compressions/change", "of the limit", "leaves/key", "inner nodes/key", "own B/key"]);
    let mut many = Table::new(&[
        "per CPU-second",
        "keys",
        "prove batch",
        "verify batch",
        "multi: prove",
        "multi: verify",
        "multi bytes",
        "of single proofs",
    ]);
    for report in &findings.reports {
        let Some(ours) = &report.ours else { continue };
        if let Some(nodes) = &ours.nodes {
            let per_key = |count: u64| count as f64 / report.keys as f64;
            let used = nodes.compressions * report.updates.median.per_cpu_second / limit;
            let mut row = name_and_keys(report);
            row.extend([format!("{:.2}", nodes.compressions), format!("{:.1} %", used * 100.0)]);
            row.extend([nodes.leaves, nodes.inner].map(|nodes| format!("{:.3}", per_key(nodes))));
            row.push(whole(per_key(nodes.bytes)));
            hashing.row(row);
        }
        let Some(proofs) = &ours.proofs else { continue };
        let mut row = name_and_keys(report);
        let rates = [proofs.prove_each, proofs.verify_batch, proofs.prove_many, proofs.verify_many];
        row.extend(rates.map(|rate| whole(rate.per_cpu_second)));
        row.push(whole(proofs.multi_bytes));
        row.push(format!("{:.1} %", proofs.multi_bytes / proofs.single_bytes * 100.0));
        many.row(row);
    }
    hashing.print();
    println!();
    many.print();
}

fn goals(findings: &Findings) {
    println!("\nWhat has to hold");
    if findings.keys != KEYS {
        println!("(the bounds are for {} keys; this run has {})", whole(KEYS as f64), whole(findings.keys as f64));
    }
    let mut table = Table::new(&["", "bound", "goal", "measured", "by the mean", ""]);
    for goal in &findings.goals {
        table.row(goal.cells());
    }
    table.print();
}

fn name_and_keys(report: &Report) -> Vec<String> {
    vec![report.contender.text(), whole(report.keys as f64)]
}
