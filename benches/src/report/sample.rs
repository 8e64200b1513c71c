//! Outcomes as runs produce them, for tests of every report.
#![allow(clippy::arithmetic_side_effects, reason = "small numbers in tests")]

use crate::result::*;

/// To three places: what the JSON reader gives back unchanged.
fn short(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

fn percentiles(scale: f64) -> Percentiles {
    let at = |factor: f64| short(factor * scale);
    Percentiles { count: 598_000, mean: at(1.1), p50: at(1.0), p90: at(1.6), p99: at(2.9), p999: at(4.1), max: at(6.0) }
}

fn distribution(stage: &str, scale: f64) -> Distribution {
    let point = |i: i32| {
        let share = f64::from(i) / 100.0;
        CdfPoint { latency_ms: short(scale * (0.4 + 0.9 * share / (1.0 - 0.93 * share))), share }
    };
    Distribution { stage: stage.into(), points: (0..=100).map(point).collect() }
}

fn second(at_s: i64, rate: u64) -> Second {
    let wave = at_s.rem_euclid(7).unsigned_abs() * 13;
    Second {
        at_s,
        offered: rate,
        certified: (rate + wave).saturating_sub(40),
        r#final: (rate + wave).saturating_sub(60),
        refused: 0,
        in_flight: 400 + wave,
        certified_p99_ms: Some(70.0 + wave as f64 / 4.0),
        replica_cores: Some(0.9),
        replica_rss_bytes: Some((300 << 20) + at_s.unsigned_abs() * 100_000),
    }
}

fn pass(text: &str) -> Check {
    Check { verdict: Verdict::Pass, text: text.into() }
}

fn process(name: &str, cpu_s: f64) -> Process {
    Process {
        name: name.into(),
        cpu_s,
        cores: short(cpu_s / 60.0),
        rss_start_bytes: 90 << 20,
        rss_end_bytes: 101 << 20,
        bytes_written: Some(310 << 20),
        fsyncs: Some(3_100),
        threads: vec![ThreadCpu { name: "core 0/0".into(), cpu_s: cpu_s / 2.0 }],
    }
}

/// One shard under load; every bound holds.
pub(super) fn one_shard() -> Outcome {
    let primitives = |ed25519, sync| Primitives {
        ed25519_batch_per_cpu_second: ed25519,
        blake3_gb_per_second: 5.1,
        fdatasync_p50_ms: sync,
        fdatasync_p99_ms: sync * 3.0,
    };
    let parameters = [
        ("rate", "10500"),
        ("shards", "1"),
        ("replicas", "3"),
        ("seed", "7"),
        ("duration", "60"),
        ("cross_share", "0.0"),
        ("p99_bound", "200.0"),
    ];
    let stages = [("verify", 34.0), ("core", 12.0), ("runtime (sockets, JSON-RPC)", 8.0), ("rocksdb background", 1.5)];
    let all: f64 = stages.iter().map(|stage| stage.1).sum();
    Outcome {
        format: FORMAT,
        complete: true,
        started_unix_s: 1_795_207_040,
        commit: "0123456".into(),
        parameters: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        machine: Machine {
            cpu: "A processor <of 2026>".into(),
            cores: 2,
            kernel: "6.18.44".into(),
            memory_bytes: 24 << 30,
            file_system: "ext4".into(),
            simd: "processor has avx2; built for generic x86_64".into(),
        },
        sync: "every commit that asks for it, grouped".into(),
        window_s: 60.0,
        certified_per_second: 10_460.0,
        certified_per_second_by_shard: vec![10_460.0],
        replica_cpu_us_per_payment: Some(87.5),
        generator_cpu_us_per_payment: Some(14.0),
        latency_ms: Latencies {
            certified: Some(percentiles(30.0)),
            r#final: Some(percentiles(45.0)),
            snapshotted: Some(percentiles(800.0)),
            credited: None,
        },
        counts: Counts {
            offered: 735_000,
            received: 735_000,
            certified: 735_000,
            r#final: 734_990,
            snapshotted: 734_990,
            timed_out: 10,
            resent: 12,
            refusals: [("busy".to_owned(), 12)].into(),
            ..Counts::default()
        },
        fsyncs_per_payment: Some(0.0049),
        fsyncs_counted_by: Some("kernel (strace)".into()),
        bytes_written_per_payment: Some(520.0),
        holds: Some(3),
        conflicts: Some(0),
        calibration: Some(Calibration {
            before: primitives(66_000.0, 1.0),
            after: Some(primitives(64_500.0, 2.0)),
            signature_limit_per_cpu_second: 22_000.0,
            ratio_to_signature_limit: Some(0.519),
        }),
        processes: vec![
            process("replica 0-0", 20.0),
            process("replica 0-1", 17.5),
            process("replica 0-2", 18.0),
            Process { fsyncs: None, ..process("generator", 8.8) },
        ],
        stages: stages.map(|(name, cpu_s)| StageCpu { name: name.into(), cpu_s, share: short(cpu_s / all) }).into(),
        seconds: (-10..65).map(|at| second(at, if at < 60 { 10_500 } else { 40 })).collect(),
        distributions: vec![
            distribution("certified", 30.0),
            distribution("final", 45.0),
            distribution("snapshotted", 800.0),
        ],
        checks: Checks {
            accounting: pass("735,000 offered, all accounted for"),
            conservation: pass("supply 1,000,000,000 + 0 in flight = genesis"),
            equal_roots: pass("3 replicas, epoch 71"),
            receipts_checked: pass("735 of 735"),
            balances: pass("100 accounts"),
        },
        generator_reason: "lag p99 1.2 ms".into(),
        generator: Generator {
            lag_p50_ms: 0.3,
            lag_p99_ms: 1.2,
            lag_max_ms: 9.0,
            busiest_thread: Some(0.15),
            socket_wait: 0.001,
            pre_signed: true,
            placed: "same machine".into(),
        },
        not_shown:
            "This run does not show: delay and loss of a network; all replicas and the load generator share two cores."
                .into(),
        ..Outcome::default()
    }
}

/// Three shards with payments between them, and the rates tried.
pub(super) fn three_shards() -> Outcome {
    let mut run = one_shard();
    run.certified_per_second_by_shard = vec![3_100.0, 3_050.0, 3_210.0];
    run.certified_per_second = 3_120.0;
    run.parameters.insert("shards".into(), "3".into());
    run.parameters.insert("cross_share".into(), "0.5".into());
    run.counts.cross_shard = 367_000;
    run.counts.credited = 366_998;
    run.latency_same_shard_ms = Some(Latencies { certified: Some(percentiles(28.0)), ..Latencies::default() });
    run.latency_cross_shard_ms = Some(Latencies {
        certified: Some(percentiles(31.0)),
        credited: Some(percentiles(900.0)),
        ..Latencies::default()
    });
    let point = |rate: f64, p99_ms: f64, held: bool| SweepPoint {
        rate,
        certified_per_second: rate.min(3_300.0),
        p50_ms: p99_ms / 3.0,
        p99_ms,
        replica_cpu_us_per_payment: Some(95.0),
        backlog_growth: if held { 3 } else { 9_000 },
        held,
        reason: if held { String::new() } else { "the backlog grew".into() },
        generator_limited: false,
    };
    run.sweep = vec![
        point(1_000.0, 20.0, true),
        point(2_000.0, 31.0, true),
        point(3_000.0, 90.0, true),
        point(4_000.0, 1_800.0, false),
    ];
    let replicas =
        (0..3).flat_map(|shard| (0..3).map(move |replica| process(&format!("replica {shard}-{replica}"), 6.0)));
    run.processes = replicas.collect();
    run
}
