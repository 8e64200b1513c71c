//! A peer that speaks the protocol of frames by hand: libp2p's request-response opens the streams and lets us write and read any bytes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, request_response as exchange,
    swarm::{self, SwarmEvent as Happened},
};
use tokio::sync::{mpsc, oneshot};

use super::super::{
    super::{
        behaviour::transport,
        config::{PeerAddr, SwarmConfig},
        handle::Shared,
        tests::{LIMIT, Word, config, network},
    },
    wire::{PREFIX_BYTES, decode_messages},
};

/// What is done with a stream of frames after its first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Receive {
    /// Ended without a word.
    Nothing,
    /// More is acknowledged than can have been sent.
    Lie,
    /// Reset in the middle of a write.
    Break,
    /// The frame is acknowledged, and then the stream ended.
    Acknowledge,
}

/// Bytes for a stream of ours.
#[derive(Debug)]
pub(super) struct Script {
    bytes: Vec<u8>,
    /// Leave the stream open and never come back to it.
    leave: bool,
}

#[derive(Debug)]
pub(super) enum Request {
    Out(Script),
    Frame(Receive),
}

#[derive(Clone)]
pub(super) struct Codec {
    streams: Arc<AtomicUsize>,
    frames: mpsc::UnboundedSender<(Receive, Vec<Bytes>)>,
}

impl exchange::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Request;
    /// Frames acknowledged.
    type Response = u32;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Request> {
        let ways = [Receive::Nothing, Receive::Lie, Receive::Break, Receive::Acknowledge];
        let way = ways[self.streams.fetch_add(1, Ordering::Relaxed) % ways.len()];
        let mut prefix = [0; PREFIX_BYTES];
        io.read_exact(&mut prefix).await?;
        let mut body = vec![0; u32::from_le_bytes(prefix) as usize];
        io.read_exact(&mut body).await?;
        let messages = decode_messages(&Bytes::from(body))?;
        // The test has gone.
        drop(self.frames.send((way, messages)));
        if way == Receive::Break {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(Request::Frame(way))
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<u32> {
        let mut bytes = [0; 4];
        io.read_exact(&mut bytes).await?;
        Ok(u32::from_le_bytes(bytes))
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let Request::Out(script) = request else { panic!("a frame that was read is not written") };
        io.write_all(&script.bytes).await?;
        io.flush().await?;
        if script.leave {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, frames: u32) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&frames.to_le_bytes()).await?;
        io.flush().await
    }
}

pub(in super::super::super) struct Raw {
    pub(super) id: PeerId,
    pub(super) entry: PeerAddr,
    scripts: mpsc::UnboundedSender<(Script, oneshot::Sender<Option<u32>>)>,
    frames: mpsc::UnboundedReceiver<(Receive, Vec<Bytes>)>,
}

impl Raw {
    /// Waits for others; each of their streams is ended in the next of the ways of [`Receive`].
    pub(super) async fn listen(seed: u8) -> Self {
        Self::start(config(seed, &[]), None).await
    }

    /// Connects to a node.
    pub(in super::super::super) async fn dial(seed: u8, to: &PeerAddr) -> Self {
        Self::start(config(seed, &[]), Some(to)).await
    }

    /// Connects to a node, to be its guest.
    pub(in super::super::super) async fn visit(seed: u8, to: &PeerAddr) -> Self {
        let admission = Arc::new(Word(""));
        Self::start(SwarmConfig { admission, ..config(seed, &[]) }, Some(to)).await
    }

    async fn start(config: SwarmConfig, to: Option<&PeerAddr>) -> Self {
        let (tell, frames) = mpsc::unbounded_channel();
        let codec = Codec { streams: Arc::default(), frames: tell };
        let protocol = StreamProtocol::try_from_owned(format!("{}/frames", network().prefix())).unwrap();
        let settings = exchange::Config::default().with_max_concurrent_streams(1_000);
        let behaviour = exchange::Behaviour::with_codec(codec, [(protocol, exchange::ProtocolSupport::Full)], settings);
        let id = config.keypair.public().to_peer_id();
        let shared = Arc::new(Shared::new(id, Vec::new(), config.limits.clone()));
        let transport = transport(&config, 1_000, &shared).unwrap();
        let settings = swarm::Config::with_tokio_executor().with_idle_connection_timeout(LIMIT);
        let mut swarm = Swarm::new(transport, behaviour, id, settings);
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let addr: Multiaddr = loop {
            if let Happened::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        if let Some(to) = to {
            swarm.dial(to.addr.clone()).unwrap();
            while !matches!(swarm.select_next_some().await, Happened::ConnectionEstablished { .. }) {}
        }
        let (scripts, queue) = mpsc::unbounded_channel();
        tokio::spawn(serve(swarm, to.map(|to| to.peer), queue));
        Self { id, entry: PeerAddr { peer: id, addr }, scripts, frames }
    }

    /// Writes the bytes on a stream of their own and ends it; the acknowledgement, if one comes before the stream's end.
    pub(in super::super::super) async fn write(&self, bytes: &[u8]) -> Option<u32> {
        let (tell, told) = oneshot::channel();
        self.scripts.send((Script { bytes: bytes.to_vec(), leave: false }, tell)).unwrap();
        tokio::time::timeout(LIMIT, told).await.expect("an end").unwrap()
    }

    /// Writes the bytes on a stream of their own and leaves it open.
    pub(in super::super::super) fn leave(&self, bytes: &[u8]) {
        self.scripts.send((Script { bytes: bytes.to_vec(), leave: true }, oneshot::channel().0)).unwrap();
    }

    /// The next frame that came, and what became of its stream.
    pub(super) async fn frame(&mut self) -> (Receive, Vec<Bytes>) {
        tokio::time::timeout(LIMIT, self.frames.recv()).await.expect("a frame").unwrap()
    }
}

async fn serve(
    mut swarm: Swarm<exchange::Behaviour<Codec>>,
    peer: Option<PeerId>,
    mut scripts: mpsc::UnboundedReceiver<(Script, oneshot::Sender<Option<u32>>)>,
) {
    let mut asked = std::collections::HashMap::new();
    loop {
        let event = tokio::select! {
            script = scripts.recv() => {
                let Some((script, tell)) = script else { return };
                asked.insert(swarm.behaviour_mut().send_request(&peer.unwrap(), Request::Out(script)), tell);
                continue;
            }
            event = swarm.select_next_some() => event,
        };
        let Happened::Behaviour(event) = event else { continue };
        match event {
            exchange::Event::Message { message: exchange::Message::Request { request, channel, .. }, .. } => {
                let Request::Frame(way) = request else { continue };
                let frames = match way {
                    Receive::Nothing | Receive::Break => continue,
                    Receive::Lie => 1_000,
                    Receive::Acknowledge => 1,
                };
                // The sender may have ended the stream.
                swarm.behaviour_mut().send_response(channel, frames).unwrap_or_default();
            }
            exchange::Event::Message { message: exchange::Message::Response { request_id, response }, .. } => {
                asked.remove(&request_id).unwrap().send(Some(response)).unwrap();
            }
            exchange::Event::OutboundFailure { request_id, .. } => {
                // Nobody waits for the end of one that was left open.
                asked.remove(&request_id).unwrap().send(None).unwrap_or_default();
            }
            _ => {}
        }
    }
}
