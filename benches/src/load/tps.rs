//! The whole run: a network, its accounts, the steps asked for, the checks, and the [`Outcome`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;

use super::accounts::{Accounts, Plan};
use super::books::Books;
use super::checks;
use super::engine::{Engine, Load, Step};
use super::flight::Rules;
use super::meter::Meter;
use super::options::Options;
use super::progress::Progress;
use super::report::Report;
use super::session::Session;
use super::sockets::{Endpoint, Sockets};
use super::steps;
use crate::measure::syncs::Tracer;
use crate::measure::{calibrate, machine};
use crate::network::processes::{Processes, Spec};
use crate::network::target::{Initial, Target};
use crate::result::{Mode, Outcome, Overload};

/// What a run at the maximum is compared with afterwards: the share of it that a soak and a recovery run at.
const BELOW_MAXIMUM: f64 = 0.7;
/// How long the network is overloaded, and with --short.
const OVERLOADED: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// How long payments are tried meanwhile: kept shorter, so that accounts come back.
const GIVE_UP_OVERLOADED: Duration = Duration::from_secs(2);
/// How long it is watched afterwards.
const RECOVERY: Duration = Duration::from_secs(15);

/// Runs `options` to an outcome. The outcome of a run that is interrupted or fails on the way is returned too, marked as incomplete.
///
/// # Errors
/// What keeps the run from beginning.
pub fn run(options: &Options) -> Result<Outcome> {
    options.check()?;
    let started_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut progress = Progress::new();
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = runtime(&stop)?;

    let place = Place::new(options)?;
    progress.begin("calibrating the machine");
    let before = calibrate::primitives(place.dir())?;
    let (mut processes, target, traced) = network(options, &place, &mut progress)?;
    let mut report = Report { started_unix_s, commit: commit(), ..Report::default() };
    report.machine = machine::describe(place.dir())?;
    report.mode = if processes.is_some() { options.layout()?.mode() } else { Mode::Endpoints };
    report.replicas = target.replicas();

    progress.begin(&format!("deriving {} accounts per shard", options.accounts()));
    let (accounts, initial) = accounts(options, &target, processes.is_some())?;
    let rules = Rules::new(target.replicas(), options.gateway, nanos(options.give_up()), options.every_receipt());
    let (events, received) = mpsc::channel();
    let (gateways, readers) = roles(&target, &rules)?;
    let sockets = runtime.block_on(Sockets::open(&gateways, &readers, options.connections, &events))?;
    drop(events);
    let books = Books::new(accounts, target.shards(), rules);
    let engine = Engine::new(books, sockets, received, Arc::clone(&stop));
    let pids = processes.as_ref().map(Processes::pids).unwrap_or_default();
    let meter = Meter::start(&pids, target.endpoints.clone(), traced)?;

    let mut session = Session::new(engine, meter, progress, options, processes.as_mut());
    let driven = drive(options, &mut session, &mut report);
    report.gaps = session.gaps();
    let stopped = match (driven, session.failure()) {
        (_, Some(failure)) => Some(failure),
        (Err(error), None) => Some(format!("{error:#}")),
        (Ok(()), None) => stop.load(Ordering::Relaxed).then(|| "interrupted".to_owned()),
    };
    let (books, mut progress) = session.end();
    report.stopped = stopped;
    let checks = if report.stopped.is_none() {
        progress.begin("checking money, roots, receipts and balances");
        checks::all(&target, &books, &initial)
    } else {
        crate::result::Checks { accounting: checks::accounting(&books.counts(), false), ..Default::default() }
    };
    if let Some(processes) = &mut processes {
        progress.begin("stopping the network");
        report.packets = processes.stop();
    }
    progress.begin("calibrating the machine again");
    let after = if report.stopped.is_none() { Some(calibrate::primitives(place.dir())?) } else { None };
    progress.end();
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(report.outcome(options, &books, checks, before, after))
}

/// The sockets' thread, and Ctrl-C or SIGTERM as an early end.
fn runtime(stop: &Arc<AtomicBool>) -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("sockets")
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let stop = Arc::clone(stop);
    runtime.spawn(async move {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        let Ok(mut terminate) = terminate else { return };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        stop.store(true, Ordering::Relaxed);
    });
    Ok(runtime)
}

/// Where the run's files are; temporary ones go with the value.
#[derive(Debug)]
enum Place {
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

impl Place {
    fn new(options: &Options) -> Result<Place> {
        let name = tempfile::Builder::new().prefix("smt-bench-").to_owned();
        match &options.state {
            None => Ok(Place::Temporary(name.tempdir().context("making a temporary directory")?)),
            Some(parent) => {
                std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
                let made =
                    name.tempdir_in(parent).with_context(|| format!("making a directory in {}", parent.display()))?;
                Ok(Place::Kept(made.keep()))
            }
        }
    }

    fn dir(&self) -> &std::path::Path {
        match self {
            Place::Temporary(dir) => dir.path(),
            Place::Kept(dir) => dir,
        }
    }
}

type Network = (Option<Processes>, Target, BTreeMap<String, PathBuf>);

/// The network to load: started here, or the one that is there. The paths are the tracer's logs by replica.
fn network(options: &Options, place: &Place, progress: &mut Progress) -> Result<Network> {
    if !options.endpoints.is_empty() {
        let target = Target::at(&options.endpoints, options.genesis.as_deref())?;
        return Ok((None, target, BTreeMap::new()));
    }
    let spec =
        Spec { node: options.node.clone().map_or_else(beside, Ok)?, shape: options.shape(), layout: options.layout()? };
    let tracer = if options.no_trace { Err("not asked for".into()) } else { Tracer::find() };
    if let Err(why) = &tracer {
        progress.say(&format!("syncs are not counted by the kernel: {why}"));
    }
    let log = |name: &str| place.dir().join(format!("syncs-{}.log", name.replace(' ', "-")));
    let wrap = |name: &str, words: Vec<_>| match &tracer {
        Ok(tracer) => tracer.words(&log(name), &words),
        Err(_) => words,
    };
    progress.begin(&format!("starting {}", spec.shape));
    let processes = Processes::start(&spec, place.dir(), &wrap)?;
    let target = Target::of(&processes)?;
    let logs = match tracer {
        Ok(_) => processes.pids().into_iter().map(|(name, _)| (name.clone(), log(&name))).collect(),
        Err(_) => BTreeMap::new(),
    };
    Ok((Some(processes), target, logs))
}

/// `smt-node` beside this program.
fn beside() -> Result<PathBuf> {
    let own = std::env::current_exe().context("looking for smt-node")?;
    let node = own.with_file_name("smt-node");
    ensure!(node.exists(), "there is no {}: build it (cargo build --release) or give --node", node.display());
    Ok(node)
}

fn accounts(options: &Options, target: &Target, own: bool) -> Result<(Accounts, Initial)> {
    let plan = Plan {
        seed: options.seed,
        cross_share: options.cross_share,
        hot_share: options.hot_share,
        hot_accounts: options.hot_accounts,
    };
    let (seed, level) = (options.seed, target.genesis.level);
    let keys = |i| smt_node::genesis::load_accounts(seed, level, i);
    let mut accounts = Accounts::derive(target.genesis.network, level, options.accounts(), plan, keys);
    let initial = if own {
        Initial::Same(options.balance)
    } else {
        target.read_accounts(&mut accounts).context("reading the accounts")?
    };
    Ok((accounts, initial))
}

/// The endpoints that take payments and those that are listened to.
fn roles(target: &Target, rules: &Rules) -> Result<(Vec<Endpoint>, Vec<Endpoint>)> {
    let pick = |replicas: &[u8], role: &str| -> Result<Vec<Endpoint>> {
        let mut all = Vec::new();
        for shard in 0..target.shards() {
            for replica in replicas {
                let endpoint = target.endpoint(shard, *replica);
                all.push(endpoint.with_context(|| {
                    format!("replica {replica} of shard {shard} is the {role}, but has no endpoint")
                })?);
            }
        }
        Ok(all)
    };
    Ok((pick(&rules.gateways, "gateway")?, pick(&rules.readers, "reader")?))
}

/// The steps that were asked for.
fn drive(options: &Options, session: &mut Session<'_>, report: &mut Report) -> Result<()> {
    let (warm_up, duration) = (options.warm_up(), options.duration());
    let short_warm_up = warm_up.min(Duration::from_secs(2));
    let mut rate = options.rate();
    let open = |rate| Load::Open { rate, poisson: options.poisson.then_some(options.seed) };
    let step =
        |rate| Step { load: open(rate), warm_up: short_warm_up, duration: options.step(), settle: None, drain: true };
    for point in &options.sweep {
        let measured = session.run(&step(*point), &format!("sweep: {point:.0}/s"))?;
        let point = session.point(*point, &measured);
        session.tell(&point);
        report.sweep.push(point);
    }
    if options.find_max {
        let within = if options.short { 1.2 } else { 1.06 };
        let measure = |rate: f64| {
            let measured = session.run(&step(rate), &format!("looking for the maximum: {rate:.0}/s"))?;
            let point = session.point(rate, &measured);
            session.tell(&point);
            Ok(point)
        };
        let (found, points) = steps::find_max(rate, options.p99_bound, within, measure)?;
        report.sweep = points;
        rate = found.context("no rate was held: the network certifies nothing in time")?;
        report.maximum = Some(rate);
    }
    if !options.sweep.is_empty() {
        // The run's own figures are those at the highest rate that was held.
        let held = report.sweep.iter().filter(|point| point.held).map(|point| point.rate);
        rate =
            held.fold(None, |best: Option<f64>, rate| Some(best.map_or(rate, |best| best.max(rate)))).unwrap_or(rate);
    }
    if options.soak && options.find_max {
        rate *= BELOW_MAXIMUM;
    }
    let load = options.closed.map_or(open(rate), |in_flight| Load::Closed { in_flight });
    // A header commits to a payment an epoch after it at the latest, the payee's shard takes it two later.
    let settle =
        Duration::from_millis(u64::from(options.epoch_ms).saturating_mul(4)).saturating_add(Duration::from_secs(3));
    let main = Step { load, warm_up, duration, settle: Some(settle), drain: true };
    let mut measured = session.run(&main, "measuring")?;
    if let Some(maximum) = report.maximum.filter(|_| !options.soak) {
        // A search by short steps is optimistic: what a long step does not hold is not the maximum.
        for _ in 0..3 {
            let point = session.point(rate, &measured);
            session.tell(&point);
            if point.held || session.stopped() {
                break;
            }
            report.sweep.push(point);
            rate *= 0.94;
            report.maximum = Some(rate.min(maximum));
            let again = Step { load: open(rate), ..main };
            measured = session.run(&again, &format!("measuring at {rate:.0}/s"))?;
        }
    }
    if options.soak {
        report.soak = steps::soak(&measured.figures.seconds);
    }
    report.rate = options.closed.is_none().then_some(rate);
    report.measured = Some(measured);
    if let Some(factor) = options.overload {
        report.overload = Some(overload(options, session, report, rate, factor)?);
    }
    Ok(())
}

/// Offers `factor` times `maximum`, then looks how the network recovers.
fn overload(
    options: &Options,
    session: &mut Session<'_>,
    report: &Report,
    maximum: f64,
    factor: f64,
) -> Result<Overload> {
    let load = |rate| Load::Open { rate, poisson: None };
    let duration = if options.short { OVERLOADED.1 } else { OVERLOADED.0 };
    let step = Step { load: load(maximum * factor), warm_up: Duration::ZERO, duration, settle: None, drain: false };
    session.set_give_up(GIVE_UP_OVERLOADED);
    let refused_before = session.refusals();
    let over = session.run(&step, &format!("overloading: {:.0}/s offered", maximum * factor))?;
    let refused = session.refusals().saturating_sub(refused_before);
    let rate = maximum * BELOW_MAXIMUM;
    let step = Step { load: load(rate), warm_up: Duration::ZERO, duration: RECOVERY, settle: None, drain: true };
    // What the overload left in the generator's own queues is given up as soon as before: the network is to recover from it.
    let after = session.run(&step, &format!("recovering: {rate:.0}/s"))?;
    session.set_give_up(options.give_up());
    let shards = session.shards();
    let certified = over.certified_per_second();
    let best = report.measured.as_ref().map_or(maximum, |measured| measured.certified_per_second());
    // The last second of the load may be a part of one.
    let whole: Vec<_> = after.figures.seconds.iter().filter(|second| second.at_s < 15).cloned().collect();
    Ok(Overload {
        maximum_per_second: best,
        factor: super::schedule::to_f64(over.figures.sent) / over.figures.window_s() / shards / best,
        certified_per_second: certified,
        ratio: certified / best,
        refused,
        recovered_after_s: steps::recovered_after_s(&whole, rate * shards, options.p99_bound),
        recovery: whole,
    })
}

/// The checkout's commit, `+dirty` if files differ from it.
fn commit() -> String {
    // The script knows it, from whatever directory it was called. No `SMT_` name: replicas refuse those they do not know.
    if let Ok(named) = std::env::var("BENCH_COMMIT")
        && !named.is_empty()
    {
        return named;
    }
    let git = |words: &[&str]| {
        let output = Command::new("git").args(words).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    match git(&["rev-parse", "HEAD"]) {
        None => "unknown".into(),
        Some(commit) if git(&["status", "--porcelain", "-uno"]).is_some_and(|changed| changed.is_empty()) => commit,
        Some(commit) => commit + "+dirty",
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
