//! The hello as part of a connection's upgrade: after Noise, before Yamux.

use std::{future::Future, iter, pin::Pin, sync::Arc};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    Multiaddr, PeerId,
    core::{
        ConnectedPoint, UpgradeInfo,
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
    },
    yamux,
};

use super::{
    Admission, NetworkTag, Standing,
    hello::{self, HelloError},
};
use crate::swarm::handle::{Shared, count};

/// One name for all networks and versions: a name that another network does not know would end the talk before anybody has said who it is.
const NAME: &str = "/smt/hello/1";

/// What the door of one swarm needs.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) tag: NetworkTag,
    pub(crate) admission: Arc<dyn Admission>,
    pub(crate) shared: Arc<Shared>,
    /// For members.
    pub(crate) mux: yamux::Config,
    /// For guests.
    pub(crate) mux_guest: yamux::Config,
}

/// The upgrade of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    door: Arc<Door>,
    peer: PeerId,
    addr: Multiaddr,
}

impl Hello {
    /// On a connection with `peer` by way of `point`.
    pub(crate) fn new(door: Arc<Door>, peer: &PeerId, point: &ConnectedPoint) -> Self {
        Self { door, peer: *peer, addr: point.get_remote_address().clone() }
    }

    async fn run<C>(self, mut io: C) -> Result<(C, yamux::Config), HelloError>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let Door { tag, admission, shared, mux, mux_guest } = &*self.door;
        match hello::exchange(&mut io, tag, admission.as_ref(), shared.local, self.peer).await {
            Ok(standing) => {
                let mux = match standing {
                    Standing::Member(_) => mux,
                    Standing::Guest => mux_guest,
                };
                shared.lobby.admit(self.peer, &self.addr, standing);
                Ok((io, mux.clone()))
            }
            Err(error) => {
                tracing::debug!(peer = %self.peer, addr = %self.addr, %error, "hung up on at the door");
                count(&shared.counters.hellos_refused, 1);
                if let HelloError::Refused(refusal) = &error {
                    shared.lobby.refuse(self.peer, refusal.clone());
                    shared.wake.notify_one();
                }
                Err(error)
            }
        }
    }
}

impl UpgradeInfo for Hello {
    type Info = &'static str;
    type InfoIter = iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once(NAME)
    }
}

/// An upgrade under way.
type Upgrading<C> = Pin<Box<dyn Future<Output = Result<yamux::Muxer<C>, HelloError>> + Send>>;

impl<C> InboundConnectionUpgrade<C> for Hello
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = yamux::Muxer<C>;
    type Error = HelloError;
    type Future = Upgrading<C>;

    fn upgrade_inbound(self, io: C, name: Self::Info) -> Self::Future {
        Box::pin(async move {
            let (io, mux) = self.run(io).await?;
            Ok(mux.upgrade_inbound(io, name).await?)
        })
    }
}

impl<C> OutboundConnectionUpgrade<C> for Hello
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = yamux::Muxer<C>;
    type Error = HelloError;
    type Future = Upgrading<C>;

    fn upgrade_outbound(self, io: C, name: Self::Info) -> Self::Future {
        Box::pin(async move {
            let (io, mux) = self.run(io).await?;
            Ok(mux.upgrade_outbound(io, name).await?)
        })
    }
}
