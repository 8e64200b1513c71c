//! What `smt-node run` can be set to.

use crate::config::{Broken, Settings};
use crate::genesis::book::socket_addr;
use crate::join::record::{ADDRESSES_MAX, is_plain};
use crate::rpc::RpcConfig;
use serde::{Deserialize, Serialize};
use smt_gossip::swarm::PeerAddr;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything `smt-node run` can be set to. Genesis, keys and state have to be, and an address book or a bootnode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// The genesis file.
    pub genesis: Option<PathBuf>,
    /// The address book.
    pub network: Option<PathBuf>,
    /// Peers of the network to begin with, as multiaddrs that end in `/p2p/…`.
    pub bootnodes: Vec<String>,
    /// Where others find this replica; where it listens without it.
    pub announce: Vec<String>,
    /// The replica's key file.
    pub keys: Option<PathBuf>,
    /// Where state is kept.
    pub state: Option<PathBuf>,
    /// Where clients are served; the address book's word without it. Port 0 lets the system choose.
    pub rpc_addr: Option<SocketAddr>,
    /// Where to listen for peers; the address book's word without it.
    pub listen: Option<String>,
    /// What is logged.
    pub log: String,
    /// Limits of the endpoint.
    pub rpc: RpcConfig,
}

impl Default for RunSettings {
    fn default() -> RunSettings {
        RunSettings {
            genesis: None,
            network: None,
            bootnodes: Vec::new(),
            announce: Vec::new(),
            keys: None,
            state: None,
            rpc_addr: None,
            listen: None,
            log: "warn".to_owned(),
            rpc: RpcConfig::default(),
        }
    }
}

impl Settings for RunSettings {
    fn check(&self) -> Result<(), Broken> {
        const RULE: &str = "it has to be /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT with a port of 1 to 65535";
        let broken = |key: &str, text: &String, rule: &str| Err(Broken::new(key, format!("{text:?}"), rule));
        let is_place = |text: &String| socket_addr(text).is_some_and(|addr| addr.port() != 0);
        if let Some(text) = &self.listen {
            // Peers with an address book know the port from there: the system must not choose it.
            let free = self.network.is_none() && socket_addr(text).is_some();
            if !free && !is_place(text) {
                return broken("listen", text, RULE);
            }
        }
        if let Some(text) = self.announce.iter().find(|text| !is_place(text)) {
            return broken("announce", text, RULE);
        }
        let dialled = |text: &String| socket_addr(text).is_some_and(|addr| is_plain(addr, true));
        if let Some(text) = self.announce.iter().find(|text| !dialled(text)) {
            // Every peer would refuse the record that says so.
            return broken("announce", text, "it has to be an address of one machine, which others can dial");
        }
        if self.announce.len() > ADDRESSES_MAX {
            let text = self.announce.join(",");
            return broken("announce", &text, &format!("at most {ADDRESSES_MAX} addresses"));
        }
        match self.bootnodes.iter().find(|text| bootnode(text).is_none()) {
            Some(text) => broken("bootnodes", text, "it has to be /ip4/ADDRESS/tcp/PORT/p2p/PEER"),
            None => Ok(()),
        }
    }
}

/// A peer of `/ip4/…/tcp/…/p2p/…`; these are all that the swarm speaks.
#[must_use]
pub fn bootnode(text: &str) -> Option<PeerAddr> {
    let entry: PeerAddr = text.parse().ok()?;
    socket_addr(&entry.addr.to_string()).filter(|addr| addr.port() != 0)?;
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layered;

    #[test]
    fn addresses_are_checked_and_the_wallets_variable_is_no_setting() {
        let load = |name: &str, text: &str| {
            let variables = vec![(name.into(), text.into()), ("SMT_RPC".into(), "http://127.0.0.1:1".into())];
            Layered::<RunSettings>::load(None, variables, Vec::new()).map_err(|error| error.to_string())
        };
        let settings = load("SMT_RPC_ADDR", "127.0.0.1:0").unwrap();
        assert_eq!(settings.settings().rpc_addr, Some("127.0.0.1:0".parse().unwrap()));
        assert_eq!(settings.origin("rpc_addr"), "environment SMT_RPC_ADDR");
        assert!(load("SMT_LISTEN", "/ip4/0.0.0.0/tcp/9400").is_ok());
        let two = "/ip4/10.0.0.1/tcp/1/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5, \
                   /ip6/::1/tcp/2/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
        assert_eq!(load("SMT_BOOTNODES", two).unwrap().settings().bootnodes.len(), 2);
        // Whoever looks into an address book needs a port that stays.
        let with_book = |port| {
            let variables = [("SMT_NETWORK", "n.toml".to_owned()), ("SMT_LISTEN", format!("/ip4/0.0.0.0/tcp/{port}"))];
            let variables = variables.map(|(name, text)| (name.into(), text.into()));
            Layered::<RunSettings>::load(None, variables, Vec::new()).is_ok()
        };
        assert_eq!([0, 9400].map(with_book), [false, true]);
        assert!(load("SMT_LISTEN", "/ip4/0.0.0.0/tcp/0").is_ok());
        for (name, text, word) in [
            ("SMT_RPC_ADDR", "localhost", "rpc_addr"),
            ("SMT_ANNOUNCE", "/ip4/10.0.0.1/tcp/0", "1 to 65535"),
            ("SMT_ANNOUNCE", "/ip4/0.0.0.0/tcp/9400", "others can dial"),
            ("SMT_ANNOUNCE", "/ip4/10.0.0.1/tcp/9400,/ip6/ff02::1/tcp/9400", "others can dial"),
            ("SMT_BOOTNODES", "/ip4/10.0.0.1/tcp/9400", "/p2p/PEER"),
            ("SMT_LISTEN", "0.0.0.0:1", "/ip4/ADDRESS/tcp/PORT"),
            ("SMT_SHARDS", "3", "unknown key"),
            ("SMT_RPC_PING_MS", "0", "1 or more"),
        ] {
            let error = load(name, text).unwrap_err();
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    }
}
