//! The figures of a run in tables that the terminal and the page share, so that they cannot differ.

use super::bounds::{self, Standing};
use super::text::{Table, count, figure, mebibytes, or_dash, percent, utc};
use crate::result::{Arrivals, Latencies, Mode, Outcome, Percentiles, Verdict};

/// The kind of run, for titles.
pub(super) fn title(run: &Outcome) -> String {
    let arrivals = match run.arrivals {
        Arrivals::OpenLoop => "open loop",
        Arrivals::ClosedLoop => "closed loop (latencies hide waiting)",
    };
    format!("smt-bench tps: {}, {arrivals}", run.mode.words())
}

/// The throughput in one sentence, with what it is a rate of.
pub(super) fn headline(run: &Outcome) -> String {
    let rate = figure(run.certified_per_second);
    match bounds::shards(run) {
        1 => format!("{rate} certified payments a second, one shard"),
        shards => format!(
            "{rate} certified payments a second per shard, the mean of {shards} shards that share this machine; that is no figure of a network"
        ),
    }
}

/// What a reader has to know before any figure; empty if there is nothing.
pub(super) fn warnings(run: &Outcome) -> Vec<String> {
    let mut warnings = Vec::new();
    if !run.complete {
        let why = run.stopped.as_deref().unwrap_or("no reason is given");
        warnings
            .push(format!("This run is not complete ({why}): its figures are good for nothing but finding out why."));
    }
    for (name, check) in run.checks.all() {
        if check.verdict == Verdict::Fail {
            warnings.push(format!("The check '{name}' failed: {}", check.text));
        }
    }
    if run.generator_limited {
        let why = &run.generator_reason;
        warnings.push(format!(
            "The load generator was the limit ({why}): throughput is a lower bound, latency is too high."
        ));
    }
    if run.commit.ends_with("+dirty") || run.commit == "unknown" {
        warnings.push(format!("The code is not that of a commit ({}): nobody can repeat this run.", run.commit));
    }
    warnings
}

/// Where, when and with what.
pub(super) fn circumstances(run: &Outcome) -> Table {
    let machine = &run.machine;
    let mut table = Table::new(&[]).of_words();
    table.row(["run", &format!("{}, window of {} s", utc(run.started_unix_s), figure(run.window_s))]);
    table.row(["code", &run.commit]);
    let memory = mebibytes(machine.memory_bytes);
    table.row(["machine", &format!("{}, {} cores, {memory}, Linux {}", machine.cpu, machine.cores, machine.kernel)]);
    table.row(["instructions", &machine.simd]);
    table.row(["state on", &machine.file_system]);
    table.row(["sync option", &run.sync]);
    if run.mode == Mode::Namespaces {
        let of = |name: &str| run.parameters.get(name).map_or("?", String::as_str);
        let links = format!(
            "{} ms one way, up to {} ms more, {} of packets lost, by scripts/shaper, not tc netem",
            of("delay_ms"),
            of("jitter_ms"),
            of("loss")
        );
        table.row(["links", &links]);
        table.row(["packets, whole run", of("packets")]);
    }
    let signed = if run.generator.pre_signed {
        "payments signed before the clock started"
    } else {
        "payments signed as they go"
    };
    table.row(["generator", &format!("{}, {signed}", run.generator.placed)]);
    table
}

/// What became of all payments.
pub(super) fn counts(run: &Outcome) -> Table {
    let counts = &run.counts;
    let mut table = Table::new(&["payments", "number", "of offered"]);
    let mut row = |name: &str, number: u64| {
        let share = if counts.offered > 0 { percent(number as f64 / counts.offered as f64) } else { "–".into() };
        table.row([name.to_owned(), count(number), share]);
    };
    row("offered", counts.offered);
    row("= final", counts.r#final);
    row("+ rejected", counts.rejected_total());
    row("+ expired (never taken)", counts.expired);
    row("+ timed out", counts.timed_out);
    row("+ in flight at the end", counts.in_flight_at_end);
    row("certified", counts.certified);
    row("snapshotted", counts.snapshotted);
    if counts.cross_shard > 0 {
        row("to another shard", counts.cross_shard);
        row("credited there", counts.credited);
    }
    row("sent again", counts.resent);
    for (kind, number) in &counts.rejected {
        row(&format!("rejected: {kind}"), *number);
    }
    for (kind, number) in &counts.refusals {
        row(&format!("refused for now: {kind}"), *number);
    }
    table
}

/// Latencies by stage.
pub(super) fn latencies(run: &Outcome) -> Table {
    let mut table = Table::new(&["latency, ms", "p50", "p90", "p99", "p99.9", "max", "mean", "payments"]);
    let mut rows = |kind: &str, latencies: &Latencies| {
        for (stage, found) in stages(latencies) {
            let Some(found) = found else { continue };
            let figures = [found.p50, found.p90, found.p99, found.p999, found.max, found.mean].map(figure);
            let name = [format!("{stage}{kind}")];
            table.row(name.into_iter().chain(figures).chain([count(found.count)]));
        }
    };
    rows("", &run.latency_ms);
    for (kind, latencies) in
        [(", same shard", &run.latency_same_shard_ms), (", cross-shard", &run.latency_cross_shard_ms)]
    {
        if let Some(latencies) = latencies {
            rows(kind, latencies);
        }
    }
    table
}

/// A run's stages, in the order in which a payment passes them.
pub(super) fn stages(latencies: &Latencies) -> [(&'static str, Option<Percentiles>); 4] {
    [
        ("certified", latencies.certified),
        ("final", latencies.r#final),
        ("snapshotted", latencies.snapshotted),
        ("credited", latencies.credited),
    ]
}

/// What a payment costs.
pub(super) fn costs(run: &Outcome) -> Table {
    let mut table = Table::new(&[]).of_words();
    let us = |cpu: Option<f64>| or_dash(cpu, |cpu| format!("{} µs", figure(cpu)));
    table.row(["CPU per payment, all replicas", &us(run.replica_cpu_us_per_payment)]);
    table.row(["CPU per payment, load generator", &us(run.generator_cpu_us_per_payment)]);
    let by = run.fsyncs_counted_by.as_deref().unwrap_or("not counted");
    table.row(["syncs per payment and replica", &format!("{} ({by})", or_dash(run.fsyncs_per_payment, figure))]);
    let bytes = or_dash(run.bytes_written_per_payment, |bytes| format!("{} B", figure(bytes)));
    table.row(["written per payment and replica", &bytes]);
    table.row(["batches held back", &or_dash(run.holds, count)]);
    table.row(["slots with two payments", &or_dash(run.conflicts, count)]);
    let generator = &run.generator;
    let lag = [generator.lag_p50_ms, generator.lag_p99_ms, generator.lag_max_ms].map(figure).join(" / ");
    table.row(["sent behind schedule, ms", &format!("{lag} (p50 / p99 / max)")]);
    let busy = or_dash(generator.busiest_thread, percent);
    let waited = percent(generator.socket_wait);
    table.row(["load generator", &format!("busiest thread {busy} of a core, waited for sockets {waited} of the time")]);
    table
}

/// The machine's primitives beside the run.
pub(super) fn calibration(run: &Outcome) -> Option<Table> {
    let calibration = run.calibration.as_ref()?;
    let (before, after) = (&calibration.before, calibration.after.as_ref());
    let mut table = Table::new(&["the machine's primitives", "before", "after"]);
    let mut row = |name: &str, of: fn(&crate::result::Primitives) -> f64| {
        table.row([name.to_owned(), figure(of(before)), or_dash(after, |after| figure(of(after)))]);
    };
    row("ed25519, batches of 1,024, checks per CPU-second", |primitives| primitives.ed25519_batch_per_cpu_second);
    row("BLAKE3 of 1 MiB, one thread, GB/s", |primitives| primitives.blake3_gb_per_second);
    row("fdatasync after 4 KiB, p50 ms", |primitives| primitives.fdatasync_p50_ms);
    row("fdatasync after 4 KiB, p99 ms", |primitives| primitives.fdatasync_p99_ms);
    Some(table)
}

/// The run beside the signature limit, in a sentence.
pub(super) fn limit(run: &Outcome) -> Option<String> {
    let calibration = run.calibration.as_ref()?;
    let limit = calibration.signature_limit_per_cpu_second;
    let replicas = bounds::replicas(run).map_or_else(|| "the".to_owned(), |replicas| replicas.to_string());
    let cost = if limit > 0.0 { figure(1e6 / limit) } else { "–".into() };
    let reached = or_dash(calibration.ratio_to_signature_limit, percent);
    Some(format!(
        "Signature limit: {} payments per CPU-second ({cost} µs each), if {replicas} replicas did nothing but check each payer's signature once. This run: {reached} of it.",
        figure(limit)
    ))
}

/// CPU of the replicas by stage.
pub(super) fn stage_cpu(run: &Outcome) -> Table {
    let mut table = Table::new(&["stage of all replicas", "CPU s", "share", "µs per payment"]);
    for stage in &run.stages {
        let each = run.replica_cpu_us_per_payment.map(|cpu| cpu * stage.share);
        table.row([stage.name.clone(), figure(stage.cpu_s), percent(stage.share), or_dash(each, figure)]);
    }
    table
}

/// Every process.
pub(super) fn processes(run: &Outcome) -> Table {
    let mut table = Table::new(&["process", "CPU s", "cores", "memory, start", "memory, end", "written", "syncs"]);
    for process in &run.processes {
        table.row([
            process.name.clone(),
            figure(process.cpu_s),
            figure(process.cores),
            mebibytes(process.rss_start_bytes),
            mebibytes(process.rss_end_bytes),
            or_dash(process.bytes_written, mebibytes),
            or_dash(process.fsyncs, count),
        ]);
    }
    table
}

/// The rates tried.
pub(super) fn sweep(run: &Outcome) -> Table {
    let mut table =
        Table::new(&["offered/s and shard", "certified/s", "p50 ms", "p99 ms", "CPU µs", "backlog grew by", "verdict"]);
    for point in &run.sweep {
        let limited = if point.generator_limited { ", generator at its limit" } else { "" };
        let verdict = if point.held { "held".to_owned() } else { format!("not held: {}", point.reason) };
        table.row([
            figure(point.rate),
            figure(point.certified_per_second),
            figure(point.p50_ms),
            figure(point.p99_ms),
            or_dash(point.replica_cpu_us_per_payment, figure),
            point.backlog_growth.to_string(),
            verdict + limited,
        ]);
    }
    table
}

/// The checks after the run.
pub(super) fn checks(run: &Outcome) -> Table {
    let mut table = Table::new(&["check", "verdict", "what was compared"]).of_words();
    for (name, check) in run.checks.all() {
        let verdict = match check.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAILED",
            Verdict::NotMade => "not made",
        };
        table.row([name, verdict, &check.text]);
    }
    table
}

/// The bounds that this run can judge.
pub(super) fn bound_lines(run: &Outcome) -> Table {
    let mut table = Table::new(&["what has to hold", "bound", "this run", "verdict"]).of_words();
    for line in bounds::judge(run) {
        let limited = run.generator_limited && line.of_load && line.standing == Standing::Missed;
        let verdict = if limited {
            format!("{} (generator at its limit)", line.standing.words())
        } else {
            line.standing.words().into()
        };
        table.row([line.what.to_owned(), line.bound, line.measured, verdict]);
    }
    table
}

/// Overload and long run, in sentences.
pub(super) fn special(run: &Outcome) -> Vec<String> {
    let overload = run.overload.as_ref().map(|overload| {
        let recovered = overload.recovered_after_s.map_or_else(
            || "it did not recover".to_owned(),
            |seconds| format!("it recovered {} s after the overload ended", figure(seconds)),
        );
        format!(
            "Overload: {} times the maximum of {} payments a second and shard was offered; {} were certified ({} of the maximum), {} entries were refused for now; {recovered}.",
            figure(overload.factor),
            figure(overload.maximum_per_second),
            figure(overload.certified_per_second),
            percent(overload.ratio),
            count(overload.refused)
        )
    });
    let soak = run.soak.as_ref().map(|soak| {
        let memory = |bytes: Option<u64>| or_dash(bytes, mebibytes);
        format!(
            "Long run of {} s, first fifth and last fifth: certified p99 {} and {} ms, in flight {} and {}, memory of all replicas {} and {}.",
            figure(soak.duration_s),
            figure(soak.p99_first_ms),
            figure(soak.p99_last_ms),
            figure(soak.in_flight_first),
            figure(soak.in_flight_last),
            memory(soak.rss_first_bytes),
            memory(soak.rss_last_bytes)
        )
    });
    overload.into_iter().chain(soak).collect()
}
