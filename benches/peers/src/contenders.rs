//! Who takes part.

use crate::contender::Plan;
use crate::ours;
use crate::report::Report;
use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A contender, in the order they run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Name {
    /// Our trie in memory, one thread.
    OursMemory,
    /// Our trie in memory, two threads.
    #[value(name = "ours-memory-2t")]
    OursMemoryThreads,
    /// Our trie on disk.
    OursDisk,
    /// QMDB as the commonware project publishes it, `current`, unordered: no proofs of absence.
    Qmdb,
    /// The same, ordered: with proofs of absence.
    QmdbOrdered,
    /// NOMT.
    Nomt,
}

impl Name {
    /// The name on the command line.
    pub(crate) fn text(self) -> String {
        // No variant is skipped, so each has one.
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::OursMemory | Self::OursMemoryThreads | Self::OursDisk)
    }

    pub(crate) fn is_durable(self) -> bool {
        !matches!(self, Self::OursMemory | Self::OursMemoryThreads)
    }

    /// Whether `word`, an element of `--only`, means this one: its name, or the first part of it.
    pub(crate) fn is_meant_by(self, word: &str) -> bool {
        self.text().strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Whether this build has it.
    pub(crate) fn is_built(self) -> bool {
        match self {
            Self::OursMemory | Self::OursMemoryThreads | Self::OursDisk => true,
            Self::Qmdb | Self::QmdbOrdered => cfg!(feature = "qmdb"),
            Self::Nomt => cfg!(feature = "nomt"),
        }
    }

    /// Does the plan in this process.
    pub(crate) fn run(self, plan: &Plan) -> Result<Report> {
        match self {
            Self::OursMemory | Self::OursMemoryThreads => pollster::block_on(ours::memory(self, plan)),
            Self::OursDisk => pollster::block_on(ours::disk(plan)),
            #[cfg(feature = "qmdb")]
            Self::Qmdb => crate::qmdb::unordered(plan),
            #[cfg(feature = "qmdb")]
            Self::QmdbOrdered => crate::qmdb::ordered(plan),
            #[cfg(feature = "nomt")]
            Self::Nomt => pollster::block_on(crate::nomt::run(plan)),
            #[cfg(not(all(feature = "qmdb", feature = "nomt")))]
            _ => anyhow::bail!("{} is not in this build", self.text()),
        }
    }
}

/// Package and version of every peer in this build, from the lock file it was built with.
pub(crate) fn versions() -> Vec<String> {
    let lock = include_str!("../Cargo.lock");
    let version = |package: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
        Some(format!("{package} {}", rest.split_once('"')?.0))
    };
    let peers = [(Name::Qmdb, "commonware-storage"), (Name::Nomt, "nomt")];
    peers.iter().filter(|(name, _)| name.is_built()).filter_map(|(_, package)| version(package)).collect()
}
