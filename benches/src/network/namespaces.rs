//! Network namespaces with delay and loss between them, made by `scripts/shaper`: one for each replica. The generator stays outside and
//! reaches all of them without delay.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result};

/// What happens to packets between two replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Links {
    /// One way, milliseconds.
    pub delay_ms: f64,
    /// Added to it, uniform, milliseconds.
    pub jitter_ms: f64,
    /// Share of packets lost.
    pub loss: f64,
    /// Of jitter and loss.
    pub seed: u64,
}

impl Links {
    /// The command line of the router.
    pub(super) fn words(&self, shaper: &Path, nodes: usize) -> Vec<OsString> {
        let mut words = vec![shaper.into(), "--nodes".into(), nodes.to_string().into()];
        for (flag, value) in [("--delay-ms", self.delay_ms), ("--jitter-ms", self.jitter_ms), ("--loss", self.loss)] {
            words.extend([flag.into(), value.to_string().into()]);
        }
        words.extend(["--seed".into(), self.seed.to_string().into()]);
        words
    }
}

/// The addresses of the first `count` namespaces.
///
/// # Errors
/// More than one network of 24 bits has.
pub(super) fn hosts(count: usize) -> Result<Vec<IpAddr>> {
    let last = |place: usize| u8::try_from(place).context("too many replicas for namespaces");
    (1..=count).map(|place| Ok(Ipv4Addr::new(10, 77, 0, last(place)?).into())).collect()
}

/// The command line that runs `words` in the namespace of the replica at `place`. It becomes the command: process id and signals are its.
pub(super) fn inside(place: usize, words: Vec<OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = ["ip", "netns", "exec"].map(OsString::from).to_vec();
    all.push(format!("smt{place}").into());
    all.extend(words);
    all
}
