//! Connections whose hello is not done.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use libp2p::{Multiaddr, multiaddr::Protocol, swarm::ConnectionId};

/// Why a connection is refused before it has said a word.
#[derive(Debug, thiserror::Error)]
#[error("too many connections from {from} are at the door")]
pub(crate) struct Crowded {
    /// How many from where.
    from: &'static str,
}

/// Bounded in all and for each address, so that who has one address cannot keep everybody else out.
#[derive(Debug)]
pub(crate) struct Pending {
    waiting: HashMap<ConnectionId, Option<IpAddr>>,
    max: usize,
    per_address_max: usize,
}

impl Pending {
    pub(crate) fn new(max: usize, per_address_max: usize) -> Self {
        Self { waiting: HashMap::new(), max, per_address_max }
    }

    /// # Errors
    /// [`Crowded`]; the connection is not counted then.
    pub(crate) fn enter(&mut self, connection: ConnectionId, remote: &Multiaddr) -> Result<(), Crowded> {
        if self.waiting.len() >= self.max {
            return Err(Crowded { from: "everywhere" });
        }
        let origin = origin(remote);
        if self.waiting.values().filter(|other| **other == origin).count() >= self.per_address_max {
            return Err(Crowded { from: "one address" });
        }
        self.waiting.insert(connection, origin);
        Ok(())
    }

    pub(crate) fn leave(&mut self, connection: ConnectionId) {
        self.waiting.remove(&connection);
    }
}

/// What one sender has one of: an IPv4 address, or an IPv6 network of 64 bits.
fn origin(addr: &Multiaddr) -> Option<IpAddr> {
    addr.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => {
            let network = ip.to_bits() >> 64 << 64;
            Some(Ipv6Addr::from_bits(network).into())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn enter(pending: &mut Pending, number: usize, remote: &str) -> bool {
        pending.enter(ConnectionId::new_unchecked(number), &remote.parse().unwrap()).is_ok()
    }

    #[test]
    fn an_address_and_a_network_of_addresses_have_their_share_and_no_more() {
        let mut pending = Pending::new(5, 2);
        assert!(enter(&mut pending, 1, "/ip4/10.0.0.1/tcp/1") && enter(&mut pending, 2, "/ip4/10.0.0.1/tcp/2"));
        assert!(!enter(&mut pending, 3, "/ip4/10.0.0.1/tcp/3"));
        assert!(enter(&mut pending, 4, "/ip6/2001:db8::1/tcp/1") && enter(&mut pending, 5, "/ip6/2001:db8::2/tcp/1"));
        assert!(!enter(&mut pending, 6, "/ip6/2001:db8:0:0:ffff::3/tcp/1"), "the same 64 bits");
        assert!(enter(&mut pending, 7, "/ip6/2001:db8:0:1::1/tcp/1"));
        assert!(!enter(&mut pending, 8, "/ip4/10.0.0.2/tcp/1"), "full");
        pending.leave(ConnectionId::new_unchecked(1));
        pending.leave(ConnectionId::new_unchecked(3));
        assert!(enter(&mut pending, 9, "/ip4/10.0.0.1/tcp/4") && !enter(&mut pending, 10, "/ip4/10.0.0.2/tcp/1"));
    }
}
