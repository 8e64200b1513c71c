//! Where whom to dial: what is fixed, and what partners' records say.

use smt_gossip::swarm::{Multiaddr, PeerAddr, PeerId};
use std::collections::BTreeMap;

/// Addresses at which a peer is dialled.
pub(super) const ADDRESSES_MAX: usize = 16;

/// What the record of one replica says.
pub(super) struct Claim {
    /// Whether that replica has proven at the door to be this peer.
    pub(super) is_proven: bool,
    pub(super) peer: PeerId,
    pub(super) addrs: Vec<Multiaddr>,
}

/// The addresses of each peer, at most [`ADDRESSES_MAX`].
///
/// Anybody can *claim* a peer id in a record, so a claim adds addresses and never takes any away. What is fixed comes first, then the claim
/// of who has proven to be that peer, then the others, one address of each in turn: until the true owner has proven itself its claim is
/// one among equals, and whoever else claims its peer id cannot crowd out the first place it names.
pub(super) fn addresses(fixed: &[PeerAddr], claims: &[Claim]) -> BTreeMap<PeerId, Vec<Multiaddr>> {
    let mut wanted: BTreeMap<PeerId, Vec<Multiaddr>> = BTreeMap::new();
    let mut add = |peer: PeerId, addr: &Multiaddr| {
        let known = wanted.entry(peer).or_default();
        if !known.contains(addr) && known.len() < ADDRESSES_MAX {
            known.push(addr.clone());
        }
    };
    fixed.iter().for_each(|entry| add(entry.peer, &entry.addr));
    for claim in claims.iter().filter(|claim| claim.is_proven) {
        claim.addrs.iter().for_each(|addr| add(claim.peer, addr));
    }
    let turns = claims.iter().map(|claim| claim.addrs.len()).max().unwrap_or_default();
    for turn in 0..turns {
        for claim in claims.iter().filter(|claim| !claim.is_proven) {
            claim.addrs.get(turn).into_iter().for_each(|addr| add(claim.peer, addr));
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    fn addr(host: u8, port: u16) -> Multiaddr {
        format!("/ip4/10.0.0.{host}/tcp/{port}").parse().unwrap()
    }

    fn claim(is_proven: bool, peer: PeerId, host: u8) -> Claim {
        Claim { is_proven, peer, addrs: (1..=4).map(|port| addr(host, port)).collect() }
    }

    #[test]
    fn whoever_else_claims_a_peer_id_crowds_out_neither_its_owner_nor_the_book() {
        let [peer, other] = [PeerId::random(), PeerId::random()];
        let fixed = [PeerAddr { peer, addr: addr(200, 1) }];
        // The owner is the last of sixteen, each with four addresses of its own.
        let mut claims: Vec<Claim> = (1..=15).map(|host| claim(false, peer, host)).collect();
        claims.push(claim(false, other, 100));
        let wanted = addresses(&fixed, &claims);
        assert_eq!((wanted[&peer].len(), wanted[&peer][0].clone()), (ADDRESSES_MAX, addr(200, 1)));
        assert!((1..=15).all(|host| wanted[&peer].contains(&addr(host, 1))));
        assert_eq!(wanted[&other], claim(false, other, 100).addrs);
        // Once it has proven itself, all that it says comes before what others say.
        claims.push(claim(true, peer, 99));
        let wanted = addresses(&fixed, &claims);
        assert_eq!(wanted[&peer][1..5], claim(true, peer, 99).addrs[..]);
        assert_eq!(wanted[&peer].len(), ADDRESSES_MAX);
        // The same place twice is one.
        claims = vec![claim(false, peer, 200), claim(true, peer, 200)];
        assert_eq!(addresses(&fixed, &claims)[&peer].len(), 4);
        assert!(addresses(&[], &[]).is_empty());
    }
}
