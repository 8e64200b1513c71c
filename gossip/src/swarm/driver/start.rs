//! How a swarm starts, and how it comes back after a panic.

use std::{
    collections::{BTreeSet, HashMap},
    hash::RandomState,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use libp2p::{Multiaddr, Swarm, core::transport::TransportError, swarm::SwarmEvent as Happened};
use tokio::sync::{Notify, mpsc, watch};

use super::super::{
    behaviour::{self, Behaviour},
    config::{SpawnError, SwarmConfig},
    event::SwarmEvent,
    handle::{Shared, SwarmHandle, count},
    inbox::{Delivery, EventReceiver, Inbox},
};
use super::{Driver, Exit};

/// Commands waiting for the task.
const COMMANDS_MAX: usize = 1_024;
/// How long a transport may take to say where it listens.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait before the swarm is built again, so that a peer that can make it panic cannot also keep a core busy.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Starts a swarm on the ambient tokio runtime. It listens when this returns.
///
/// # Errors
/// [`SpawnError`]; a port that is in use is [`SpawnError::PortInUse`].
pub async fn spawn(mut config: SwarmConfig) -> Result<(SwarmHandle, EventReceiver), SpawnError> {
    let panicked = Arc::new(Notify::new());
    let local = config.keypair.public().to_peer_id();
    let shared = Arc::new(Shared::new(local, config.topics.clone(), config.limits.clone()));
    let (delivery, events) = Delivery::new(&config.limits);
    let (swarm, listen) = listening(&config, &panicked, &shared, &delivery).await?;
    // A swarm built again must be found where peers look for it.
    config.listen = listen.clone();
    shared.listen.get_or_init(|| listen.clone());
    let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
    let (answers, answer_queue) = mpsc::unbounded_channel();
    let (alive, done) = watch::channel(());
    let mut inbox = Inbox::new(delivery);
    inbox.push(SwarmEvent::Listening(listen), None);
    let driver = Driver {
        config,
        shared: Arc::clone(&shared),
        commands: command_queue,
        answers: answer_queue,
        reply_to: answers.downgrade(),
        inbox,
        links: HashMap::new(),
        pending: HashMap::new(),
        timers: BTreeSet::new(),
        draws: 0,
        random: RandomState::new(),
        told: None,
        panicked,
    };
    tokio::spawn(async move {
        supervise(driver, swarm).await;
        drop(alive);
    });
    let handle = SwarmHandle { shared, commands, answers, done };
    Ok((handle, events))
}

/// Runs the swarm; one that panicked is built again on the same port and the address book is dialled anew.
async fn supervise(mut driver: Driver, mut swarm: Swarm<Behaviour>) {
    loop {
        let run = AssertUnwindSafe(driver.run(&mut swarm)).catch_unwind().await;
        drop(swarm);
        if let Ok(Exit::Stopped) = run {
            return;
        }
        count(&driver.shared.counters.restarts, 1);
        tracing::error!(peer = %driver.shared.local, "the swarm panicked and is built again");
        driver.reset();
        swarm = loop {
            tokio::select! {
                () = tokio::time::sleep(RESTART_DELAY) => {}
                () = driver.shared.stop.notified() => return,
                () = driver.inbox.delivery().closed() => return,
            }
            // Tasks of the old swarm may still be dying; they shall not bring the new one down.
            driver.panicked = Arc::new(Notify::new());
            match listening(&driver.config, &driver.panicked, &driver.shared, driver.inbox.delivery()).await {
                Ok((swarm, _)) => break swarm,
                Err(error) => {
                    tracing::error!(%error, "the swarm cannot listen; trying again");
                }
            }
        };
        driver.readmit();
    }
}

/// Builds a swarm and waits until it listens; returns where.
async fn listening(
    config: &SwarmConfig,
    panicked: &Arc<Notify>,
    shared: &Arc<Shared>,
    delivery: &Delivery,
) -> Result<(Swarm<Behaviour>, Multiaddr), SpawnError> {
    behaviour::check_port_free(&config.listen)?;
    let failed = |source| behaviour::listen_error(&config.listen, source);
    let mut swarm = behaviour::build(config, Arc::clone(panicked), shared, delivery)?;
    swarm.listen_on(config.listen.clone()).map_err(|error| match error {
        TransportError::Other(source) => failed(source),
        TransportError::MultiaddrNotSupported(addr) => SpawnError::Config {
            reason: format!("cannot listen on `{addr}`: give /ip4/…/tcp/… or /ip6/…/tcp/…"),
        },
    })?;
    let wait = async {
        loop {
            match swarm.select_next_some().await {
                Happened::NewListenAddr { address, .. } => return Ok(address),
                Happened::ListenerClosed { reason: Err(source), .. } => return Err(failed(source)),
                _ => {}
            }
        }
    };
    let timed_out = |_| failed(std::io::ErrorKind::TimedOut.into());
    let address = tokio::time::timeout(LISTEN_TIMEOUT, wait).await.map_err(timed_out)??;
    Ok((swarm, address))
}
