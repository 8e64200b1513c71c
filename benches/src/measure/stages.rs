//! Which stage of a replica a thread works for, by its name. The kernel keeps 15 bytes of a name, so heads of names decide.

use std::collections::BTreeMap;
use std::time::Duration;

/// Heads of thread names and their stage, first match first. A name that is not here is its own stage: it shows rather than hides
/// in a rest.
const STAGES: [(&str, &str); 14] = [
    ("core", "core"),
    ("verif", "verify"),
    ("rayon", "verify"),
    ("commit", "store"),
    ("store", "store"),
    ("rocksdb", "rocksdb background"),
    ("rpc", "rpc"),
    ("net", "network"),
    ("libp2p", "network"),
    ("gossip", "network"),
    ("swarm", "network"),
    ("tokio-", "runtime (sockets, JSON-RPC)"),
    ("futures-timer", "runtime (sockets, JSON-RPC)"),
    ("smt-node", "main thread"),
];

/// The stage of a thread with this name.
#[must_use]
pub fn stage(name: &str) -> &str {
    STAGES.iter().find(|(head, _)| name.starts_with(head)).map_or(name, |(_, stage)| stage)
}

/// CPU time by stage from CPU time by thread name.
#[must_use]
pub fn by_stage(threads: &BTreeMap<String, Duration>) -> BTreeMap<String, Duration> {
    let mut stages: BTreeMap<String, Duration> = BTreeMap::new();
    for (name, cpu) in threads {
        let sum = stages.entry(stage(name).to_owned()).or_default();
        *sum = sum.saturating_add(*cpu);
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_into_stages_and_strangers_show() {
        let names = ["core 0/2", "core 0/1", "tokio-runtime-w", "verify 3", "rocksdb:low", "odd"];
        let threads = names.iter().map(|name| ((*name).to_owned(), Duration::from_millis(3))).collect();
        let stages = by_stage(&threads);
        assert_eq!(stages["core"], Duration::from_millis(6));
        assert_eq!(stages["runtime (sockets, JSON-RPC)"], Duration::from_millis(3));
        assert_eq!(stages["rocksdb background"], Duration::from_millis(3));
        assert_eq!(stages["verify"], Duration::from_millis(3));
        assert_eq!(stages["odd"], Duration::from_millis(3));
        assert_eq!(stages.len(), 5);
    }
}
