//! Big batches: threads, huge pages and the number of partitions do not show in a root.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::cast_possible_truncation, reason = "tests")]

use smt_trie::{Key, Leaf, Parallel, Settings, Trie};

fn key(number: u64) -> Key {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}

fn leaf(number: u64) -> Option<Leaf> {
    let value = vec![number as u8; number as usize % 90];
    Some(Leaf { value, sum: number % 1_000_003 })
}

/// 60,000 keys put, half of them changed, a third removed, with versions in between.
fn run(settings: Settings) -> Trie {
    let mut trie = Trie::with_settings(settings);
    let all = 0..60_000u64;
    trie.update(&all.clone().map(|number| (key(number), leaf(number))).collect::<Vec<_>>()).unwrap();
    trie.retain(1);
    let changed = all.clone().step_by(2).map(|number| (key(number), leaf(number + 1)));
    trie.update(&changed.collect::<Vec<_>>()).unwrap();
    trie.retain(2);
    let removed = all.step_by(3).map(|number| (key(number), None::<Leaf>));
    trie.update(&removed.collect::<Vec<_>>()).unwrap();
    trie.retain(3);
    trie
}

#[test]
fn threads_and_layout_do_not_show() {
    let plain = run(Settings::small(0));
    assert_eq!(plain.len(), 40_000);
    for partition_trits in [0, 1, 3, 6] {
        for (parallel, huge_pages) in [(Parallel::Auto, true), (Parallel::Auto, false), (Parallel::Never, true)] {
            let settings = Settings { root_depth: 0, partition_trits, parallel, huge_pages };
            // Two threads at least, also on a machine with one core.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            let trie = pool.install(|| run(settings));
            for epoch in 1..=3 {
                let (view, want) = (trie.view(epoch).unwrap(), plain.view(epoch).unwrap());
                assert_eq!(view.root(), want.root(), "epoch {epoch}, {settings:?}");
            }
            assert!(trie.iter().eq(plain.iter()), "{settings:?}");
            let asked = key(7);
            assert_eq!(trie.prove(&asked).encode(), plain.prove(&asked).encode(), "{settings:?}");
        }
    }
}

#[test]
fn a_bulk_build_is_the_same_trie() {
    let entries = (0..5_000u64).map(|number| (key(number), leaf(number).unwrap()));
    let built = Trie::build(Settings::default(), entries.clone()).unwrap();
    let mut grown = Trie::new(0);
    for (key, leaf) in entries {
        grown.update(&[(key, Some(leaf))]).unwrap();
    }
    assert_eq!(built.root(), grown.root());
    assert_eq!(built.stats().leaves, grown.stats().leaves);
    assert_eq!(built.stats().nodes, grown.stats().nodes);
}
