//! What `smt-node run` can be set to.

use crate::config::{Broken, Settings};
use crate::genesis::book::socket_addr;
use crate::rpc::RpcConfig;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything `smt-node run` can be set to. The four paths have to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// The genesis file.
    pub genesis: Option<PathBuf>,
    /// The address book.
    pub network: Option<PathBuf>,
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
        match self.listen.as_deref() {
            // Peers know the port from their address books: the system must not choose it.
            Some(text) if socket_addr(text).is_none_or(|addr| addr.port() == 0) => {
                let rule = "it has to be /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT with a port of 1 to 65535";
                Err(Broken::new("listen", format!("{text:?}"), rule))
            }
            _ => Ok(()),
        }
    }
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
        for (name, text, word) in [
            ("SMT_RPC_ADDR", "localhost", "rpc_addr"),
            ("SMT_LISTEN", "/ip4/0.0.0.0/tcp/0", "1 to 65535"),
            ("SMT_LISTEN", "0.0.0.0:1", "/ip4/ADDRESS/tcp/PORT"),
            ("SMT_SHARDS", "3", "unknown key"),
            ("SMT_RPC_PING_MS", "0", "1 or more"),
        ] {
            let error = load(name, text).unwrap_err();
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    }
}
