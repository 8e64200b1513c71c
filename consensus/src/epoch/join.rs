//! The join of reports: a set union of bits, never of counts, and never of money.

use smt_types::report::{BatchBits, Report, SourceCount};
use smt_types::{BatchNumber, Bitmap, DenseTime, Digest, Lamport, ReplicaIndex, ShardAddress};
use std::collections::BTreeMap;

/// What q reports together say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Per batch the OR of the reported bits, ascending.
    pub bits: Vec<BatchBits>,
    /// Per source the newest count, ascending.
    pub consumed: Vec<SourceCount>,
    /// The largest Lamport value.
    pub lamport: Lamport,
    /// The largest dense time.
    pub dense: DenseTime,
}

/// Joins reports. `None` if two of them disagree about the size of a batch, which no two headers of one digest can.
///
/// Order and repetition of reports do not matter.
#[must_use]
pub fn join<'a>(reports: impl Iterator<Item = &'a Report>) -> Option<Joined> {
    let mut bits: BTreeMap<(ReplicaIndex, BatchNumber, Digest), Bitmap> = BTreeMap::new();
    let mut consumed: BTreeMap<ShardAddress, SourceCount> = BTreeMap::new();
    let (mut lamport, mut dense) = (Lamport(0), DenseTime::ZERO);
    for report in reports {
        for entry in report.bits.iter() {
            let known = bits.entry(entry.key()).or_insert_with(|| Bitmap::zeros(entry.bits.count()));
            if !known.join(&entry.bits) {
                return None;
            }
        }
        for source in report.sources.iter() {
            let known = consumed.entry(source.source).or_insert(*source);
            // Equal counts may stand under several headers: the smallest (epoch, digest) makes the join a function of the set.
            let newer = (source.count, std::cmp::Reverse((source.epoch, source.header)))
                > (known.count, std::cmp::Reverse((known.epoch, known.header)));
            if newer {
                *known = *source;
            }
        }
        lamport = lamport.max(report.lamport);
        dense = dense.max(report.dense);
    }
    let bits =
        bits.into_iter().map(|((gateway, number, header), bits)| BatchBits { gateway, number, header, bits }).collect();
    Some(Joined { bits, consumed: consumed.into_values().collect(), lamport, dense })
}
