//! Invariant 9 and the routes, checked against breadth-first search.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use std::collections::{BTreeSet, VecDeque};

fn distances(topology: Topology, links: Option<&LongLinks>, from: u32) -> Vec<u32> {
    let mut distance = vec![u32::MAX; topology.shards() as usize];
    let mut queue = VecDeque::from([from]);
    distance[from as usize] = 0;
    while let Some(at) = queue.pop_front() {
        let long = links.into_iter().flat_map(|links| links.of(at));
        for next in topology.neighbours(at).unwrap().into_iter().chain(long) {
            if distance[next as usize] == u32::MAX {
                distance[next as usize] = distance[at as usize] + 1;
                queue.push_back(next);
            }
        }
    }
    distance
}

/// Invariant 9: 3^h shards, degree ≤ 3 and symmetric, edge count, tree path ≤ 2h and reached.
#[test]
fn graph_facts_hold_at_every_level() {
    for level in 0..=LEVEL_MAX {
        let topology = Topology::new(level).unwrap();
        assert_eq!(topology.shards(), 3u32.pow(u32::from(level)));
        let mut ends = 0;
        for shard in 0..topology.shards() {
            let near = topology.neighbours(shard).unwrap();
            let distinct: BTreeSet<_> = near.iter().copied().collect();
            assert!(near.len() <= 3 && distinct.len() == near.len() && !distinct.contains(&shard));
            for other in &near {
                assert!(topology.neighbours(*other).unwrap().contains(&shard), "{shard} {other}");
            }
            ends += near.len();
            let word = topology.word(shard).unwrap();
            assert_eq!(word.iter().fold(0, |n, t| n * 3 + u32::from(*t)), shard);
            let path = topology.tree_path(0, shard).unwrap();
            assert!(path.len() <= 2 * usize::from(level) + 1);
        }
        // S(h, 3) has 3 (3^h − 1) / 2 edges.
        assert_eq!(ends, 3 * (topology.shards() as usize - 1));
        let far = topology.tree_path(0, topology.shards() - 1).unwrap();
        assert_eq!(far.len(), 2 * usize::from(level) + 1);
        assert!(far.contains(&Triangle::ROOT));
    }
}

#[test]
fn diameter_is_two_to_the_level_minus_one() {
    for level in 0..=6 {
        let topology = Topology::new(level).unwrap();
        let diameter =
            (0..topology.shards()).map(|from| distances(topology, None, from).into_iter().max().unwrap()).max();
        assert_eq!(diameter, Some((1 << level) - 1), "level {level}");
    }
}

#[test]
fn routes_are_shortest_paths_along_edges() {
    for level in 0..=5 {
        let topology = Topology::new(level).unwrap();
        for from in 0..topology.shards() {
            let distance = distances(topology, None, from);
            for to in 0..topology.shards() {
                let route = topology.route(from, to).unwrap();
                assert_eq!((route[0], *route.last().unwrap()), (from, to));
                assert_eq!(route.len() - 1, distance[to as usize] as usize, "{from} {to}");
                for step in route.windows(2) {
                    assert!(topology.neighbours(step[0]).unwrap().contains(&step[1]));
                }
            }
        }
    }
}

#[test]
fn corner_edges_are_the_words_of_the_paper() {
    let topology = Topology::new(3).unwrap();
    let index = |word: [u32; 3]| word.iter().fold(0, |n, t| n * 3 + t);
    for (a, b) in [([0, 1, 1], [1, 0, 0]), ([2, 0, 1], [2, 1, 0]), ([0, 2, 2], [2, 0, 0])] {
        assert_eq!(topology.corner(index(a)).unwrap(), Some(index(b)));
        assert_eq!(topology.corner(index(b)).unwrap(), Some(index(a)));
    }
    for corner in [[0; 3], [1; 3], [2; 3]] {
        assert_eq!(topology.corner(index(corner)).unwrap(), None);
    }
}

#[test]
fn triangles_nest() {
    let topology = Topology::new(4).unwrap();
    for depth in 0..4 {
        for triangle in topology.triangles(depth) {
            let children = topology.children(triangle).unwrap();
            let inside: Vec<u32> = children.iter().flat_map(|c| topology.shards_of(*c)).collect();
            assert_eq!(inside, topology.shards_of(triangle).collect::<Vec<_>>());
            assert!(children.iter().all(|child| child.parent() == Some(triangle)));
            assert!(inside.iter().all(|s| topology.triangle(*s, depth) == Ok(triangle)));
        }
    }
    assert_eq!(topology.children(Triangle { depth: 4, index: 0 }), None);
    assert_eq!(topology.shards_of(Triangle { depth: 2, index: 9 }), 0..0);
    assert_eq!(topology.triangles(5).count(), 0);
}

#[test]
fn long_links_are_symmetric_repeatable_and_shorten_the_graph() {
    let topology = Topology::new(6).unwrap();
    let links = LongLinks::new(topology, 2, 7);
    let again = LongLinks::new(topology, 2, 7);
    for shard in 0..topology.shards() {
        assert_eq!(links.of(shard).collect::<Vec<_>>(), again.of(shard).collect::<Vec<_>>());
        for other in links.of(shard) {
            assert!(links.of(other).any(|back| back == shard));
        }
    }
    let diameter = (0..topology.shards())
        .map(|from| distances(topology, Some(&links), from).into_iter().max().unwrap())
        .max()
        .unwrap();
    assert!(diameter <= 12, "63 without long links, {diameter} with");
    assert_eq!(LongLinks::new(Topology::new(0).unwrap(), 3, 1).of(0).count(), 0);
    assert_eq!(links.of(u32::MAX).count(), 0);
}

#[test]
fn what_is_outside_the_network_is_refused() {
    assert_eq!(Topology::new(10), Err(TopologyError::TooDeep { level: 10 }));
    let topology = Topology::new(2).unwrap();
    let refused = TopologyError::NoSuchShard { index: 9, shards: 9 };
    assert_eq!(topology.word(9), Err(refused));
    assert_eq!(topology.neighbours(9), Err(refused));
    assert_eq!(topology.route(0, 9), Err(refused));
    assert_eq!(topology.tree_path(9, 0), Err(refused));
}
