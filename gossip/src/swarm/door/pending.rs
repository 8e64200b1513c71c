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

/// Places that each known address has beyond the bounds: of those who dial again and again from it, the first.
const RESERVED_EACH: usize = 4;

/// Bounded in all and for each origin, so that who has one address cannot keep everybody else out; and with places of their own for the
/// addresses of the book, so that who has many keeps nobody out that is looked for.
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

    /// `is_known` is asked where the bounds are reached: whether the book has this address.
    ///
    /// # Errors
    /// [`Crowded`]; the connection is not counted then.
    pub(crate) fn enter(
        &mut self,
        connection: ConnectionId,
        remote: &Multiaddr,
        is_known: impl FnOnce(IpAddr) -> bool,
    ) -> Result<(), Crowded> {
        let ip = ip(remote);
        if let Err(crowded) = self.check(ip) {
            let same = self.waiting.values().filter(|other| **other == ip).count();
            if same >= RESERVED_EACH || !ip.is_some_and(is_known) {
                return Err(crowded);
            }
        }
        self.waiting.insert(connection, ip);
        Ok(())
    }

    fn check(&self, ip: Option<IpAddr>) -> Result<(), Crowded> {
        if self.waiting.len() >= self.max {
            return Err(Crowded { from: "everywhere" });
        }
        let near = self.waiting.values().filter(|other| other.map(origin) == ip.map(origin)).count();
        if near >= self.per_address_max { Err(Crowded { from: "one address" }) } else { Ok(()) }
    }

    pub(crate) fn leave(&mut self, connection: ConnectionId) {
        self.waiting.remove(&connection);
    }
}

/// The address that a connection comes from, or that a book names.
pub(crate) fn ip(addr: &Multiaddr) -> Option<IpAddr> {
    addr.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    })
}

/// What one sender has one of: an IPv4 address, or an IPv6 network of 48 bits.
fn origin(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80).into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
    use super::*;

    fn enter(pending: &mut Pending, number: usize, remote: &str) -> bool {
        let known: [IpAddr; 2] = ["10.0.0.9".parse().unwrap(), "2001:db8::9".parse().unwrap()];
        let is_known = |ip| known.contains(&ip);
        pending.enter(ConnectionId::new_unchecked(number), &remote.parse().unwrap(), is_known).is_ok()
    }

    #[test]
    fn an_address_and_a_network_of_addresses_have_their_share_and_no_more() {
        let mut pending = Pending::new(5, 2);
        assert!(enter(&mut pending, 1, "/ip4/10.0.0.1/tcp/1") && enter(&mut pending, 2, "/ip4/10.0.0.1/tcp/2"));
        assert!(!enter(&mut pending, 3, "/ip4/10.0.0.1/tcp/3"));
        assert!(enter(&mut pending, 4, "/ip6/2001:db8::1/tcp/1") && enter(&mut pending, 5, "/ip6/2001:db8::2/tcp/1"));
        assert!(!enter(&mut pending, 6, "/ip6/2001:db8:0:ffff::3/tcp/1"), "the same 48 bits");
        assert!(enter(&mut pending, 7, "/ip6/2001:db8:1::1/tcp/1"));
        assert!(!enter(&mut pending, 8, "/ip4/10.0.0.2/tcp/1"), "full");
        pending.leave(ConnectionId::new_unchecked(1));
        pending.leave(ConnectionId::new_unchecked(3));
        assert!(enter(&mut pending, 9, "/ip4/10.0.0.1/tcp/4") && !enter(&mut pending, 10, "/ip4/10.0.0.2/tcp/1"));
    }
    #[test]
    fn known_addresses_have_a_few_places_whoever_waits() {
        let mut pending = Pending::new(3, 2);
        let strangers = ["/ip6/2001:db8::1/tcp/1", "/ip6/2001:db8::2/tcp/1", "/ip4/10.0.0.2/tcp/1"];
        assert!(strangers.iter().enumerate().all(|(number, from)| enter(&mut pending, number, from)));
        for (number, from) in [(10, "/ip4/10.0.0.9/tcp/1"), (20, "/ip6/2001:db8::9/tcp/1")] {
            assert!((0..RESERVED_EACH).all(|n| enter(&mut pending, number + n, from)));
            assert!(!enter(&mut pending, 30, from), "and no more");
        }
        assert!(!enter(&mut pending, 31, "/ip4/10.0.0.3/tcp/1"), "strangers have none");
        pending.leave(ConnectionId::new_unchecked(10));
        assert!(enter(&mut pending, 32, "/ip4/10.0.0.9/tcp/1"));
    }
}
