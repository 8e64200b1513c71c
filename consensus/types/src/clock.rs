//! Three clocks: Lamport time, the dense timestamp, and the Sierpinski vector clock.
//!
//! None of them reads a wall clock: microseconds since the Unix epoch come in as a number. Values seen from another
//! replica are merged only within a bound, so that one faulty replica cannot push a clock to its end.

use crate::ShardAddress;
use crate::codec::invalid;
use borsh::{BorshDeserialize, BorshSerialize};
use std::io::Read;

/// How far ahead of our own a Lamport value may be and still be merged.
pub const MAX_LAMPORT_AHEAD: u64 = 1 << 32;

/// How far ahead of the wall clock a dense timestamp may be and still be merged, in microseconds.
pub const MAX_DRIFT_US: u64 = 5_000_000;

/// The latest time of a dense timestamp, in microseconds: the year 294,000 or so. Above it there is room to count on.
pub const MAX_TIME_US: u64 = u64::MAX >> 1;

/// Why a clock did not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClockError {
    /// A Lamport value from too far ahead.
    #[error("Lamport value {seen} is more than 2^32 ahead of {own}")]
    LamportAhead {
        /// Our value.
        own: u64,
        /// The value seen.
        seen: u64,
    },
    /// A Lamport clock at its end.
    #[error("Lamport clock is at its end")]
    LamportEnd,
    /// A timestamp from too far ahead.
    #[error("timestamp {seen_us} µs is more than 5 s ahead of {now_us} µs")]
    TimeAhead {
        /// The time seen, in microseconds.
        seen_us: u64,
        /// The wall clock, in microseconds.
        now_us: u64,
    },
    /// Vector clocks of different heights, or of no common triangle.
    #[error("vector clocks of {own} and {other} levels do not fit")]
    Levels {
        /// Levels of the clock to change.
        own: usize,
        /// Levels asked for.
        other: usize,
    },
    /// A cumulative value that no longer fits 128 bits.
    #[error("a cumulative value of the vector clock is at its end")]
    ValueEnd,
}

/// Lamport time: a → b implies L(a) < L(b).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct Lamport(pub u64);

impl Lamport {
    /// The time of the next local event.
    ///
    /// # Errors
    /// [`ClockError::LamportEnd`] after 2⁶⁴ − 1 events.
    pub fn tick(self) -> Result<Lamport, ClockError> {
        self.0.checked_add(1).map(Lamport).ok_or(ClockError::LamportEnd)
    }

    /// The time of the receipt of something stamped `seen`: max(own, seen) + 1.
    ///
    /// # Errors
    /// [`ClockError::LamportAhead`] if `seen` is more than [`MAX_LAMPORT_AHEAD`] ahead, [`ClockError::LamportEnd`].
    pub fn receive(self, seen: Lamport) -> Result<Lamport, ClockError> {
        if seen.0.saturating_sub(self.0) > MAX_LAMPORT_AHEAD {
            return Err(ClockError::LamportAhead { own: self.0, seen: seen.0 });
        }
        self.max(seen).tick()
    }
}

/// D, the dense timestamp: unique over the network, totally ordered (field by field), and consistent with causality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize)]
pub struct DenseTime {
    /// Hybrid time, microseconds since the Unix epoch; at most [`MAX_TIME_US`].
    pub time_us: u64,
    /// Index of the stamping replica's shard.
    pub shard: u32,
    /// The stamping replica's index in its committee.
    pub replica: u8,
    /// Tells apart what one replica stamps in one microsecond.
    pub counter: u32,
}

impl DenseTime {
    /// Below everything stamped.
    pub const ZERO: DenseTime = DenseTime { time_us: 0, shard: 0, replica: 0, counter: 0 };
}

impl BorshDeserialize for DenseTime {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let time_us = u64::deserialize_reader(reader)?;
        let shard = u32::deserialize_reader(reader)?;
        let replica = u8::deserialize_reader(reader)?;
        let counter = u32::deserialize_reader(reader)?;
        if time_us > MAX_TIME_US {
            return Err(invalid("time of a dense timestamp"));
        }
        Ok(DenseTime { time_us, shard, replica, counter })
    }
}

/// Gives out dense timestamps (a hybrid logical clock: Kulkarni et al. 2014).
///
/// Keeps the highest timestamp it has given or merged, and stamps above it: at the wall clock if that is higher, else
/// at the same microsecond with the next counter, else (if a replica that sorts above us stamped that microsecond) at
/// the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HybridClock {
    shard: u32,
    replica: u8,
    floor: DenseTime,
}

impl HybridClock {
    /// The clock of a replica that has stamped nothing.
    #[must_use]
    pub fn new(shard: u32, replica: u8) -> HybridClock {
        HybridClock { shard, replica, floor: DenseTime::ZERO }
    }

    /// Continues above `last`, a timestamp from our own store: no bound is asked, the wall clock may have gone back.
    pub fn resume(&mut self, last: &DenseTime) {
        self.floor = self.floor.max(DenseTime { time_us: last.time_us.min(MAX_TIME_US), ..*last });
    }

    /// The highest timestamp given or merged.
    #[must_use]
    pub fn last(&self) -> DenseTime {
        self.floor
    }

    /// A new timestamp, above everything given or merged. `now_us`: the wall clock, microseconds since the Unix epoch.
    pub fn stamp(&mut self, now_us: u64) -> DenseTime {
        let time_us = now_us.min(MAX_TIME_US).max(self.floor.time_us);
        let mut stamp = DenseTime { time_us, shard: self.shard, replica: self.replica, counter: 0 };
        if stamp <= self.floor {
            let same = (self.floor.shard, self.floor.replica) == (self.shard, self.replica);
            match self.floor.counter.checked_add(1).filter(|_| same) {
                Some(counter) => stamp.counter = counter,
                // Never at its end: times come in below 2^63 µs, and this step is taken one by one.
                None => stamp.time_us = self.floor.time_us.saturating_add(1),
            }
        }
        self.floor = stamp;
        stamp
    }

    /// Takes note of another replica's timestamp, so that ours come after it.
    ///
    /// # Errors
    /// [`ClockError::TimeAhead`] if it is more than [`MAX_DRIFT_US`] ahead of `now_us`; the clock is then unchanged.
    pub fn merge(&mut self, seen: &DenseTime, now_us: u64) -> Result<(), ClockError> {
        if seen.time_us > MAX_TIME_US || seen.time_us.saturating_sub(now_us) > MAX_DRIFT_US {
            return Err(ClockError::TimeAhead { seen_us: seen.time_us, now_us });
        }
        self.floor = self.floor.max(*seen);
        Ok(())
    }
}

/// What a triangle has exchanged with one sibling triangle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct LevelEntry {
    /// Value sent there since genesis, in base units.
    pub sent: u128,
    /// Value received from there since genesis, in base units.
    pub received: u128,
    /// Newest epoch consumed from there.
    pub epoch: u64,
}

impl LevelEntry {
    /// Whether no component is above `other`'s.
    #[must_use]
    pub fn le(&self, other: &LevelEntry) -> bool {
        self.sent <= other.sent && self.received <= other.received && self.epoch <= other.epoch
    }

    fn max(&self, other: &LevelEntry) -> LevelEntry {
        LevelEntry {
            sent: self.sent.max(other.sent),
            received: self.received.max(other.received),
            epoch: self.epoch.max(other.epoch),
        }
    }
}

/// V, a shard's vector clock in 2·h entries: per ancestor level 1..=h (the first item is level 1, the root's children)
/// and each of the two sibling triangles there, in order of their words.
///
/// Another shard is entered where the words part: at level (common trits + 1), in the sibling that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, BorshSerialize)]
pub struct SierpinskiClock {
    /// Level 1 first; at most 9.
    pub levels: Vec<[LevelEntry; 2]>,
}

impl SierpinskiClock {
    /// The clock of a shard of `level` (at most 9) at genesis.
    #[must_use]
    pub fn new(level: u8) -> SierpinskiClock {
        SierpinskiClock { levels: vec![Default::default(); usize::from(level.min(ShardAddress::MAX_LEVEL))] }
    }

    /// Where `other` is entered in the clock of `own`: the level's place in `levels`, and which of the two siblings.
    /// `None` for words of different length and for `own` itself.
    #[must_use]
    pub fn place(own: &ShardAddress, other: &ShardAddress) -> Option<(usize, usize)> {
        if own.level() != other.level() {
            return None;
        }
        let parting = (0..own.level()).find(|i| own.trit(*i) != other.trit(*i))?;
        let (ours, theirs) = (own.trit(parting)?, other.trit(parting)?);
        // The siblings are the trits without `ours`: `theirs` is the second iff the one left over is below it.
        let left_over = 3u8.checked_sub(ours)?.checked_sub(theirs)?;
        let second = left_over < theirs;
        Some((usize::from(parting), usize::from(second)))
    }

    /// The entry of `own`'s clock in which `other` counts.
    ///
    /// # Errors
    /// [`ClockError::Levels`] if the words and this clock do not fit.
    pub fn entry_mut(&mut self, own: &ShardAddress, other: &ShardAddress) -> Result<&mut LevelEntry, ClockError> {
        let error = ClockError::Levels { own: self.levels.len(), other: usize::from(other.level()) };
        if self.levels.len() != usize::from(own.level()) {
            return Err(error);
        }
        let (level, sibling) = Self::place(own, other).ok_or(error)?;
        self.levels.get_mut(level).and_then(|pair| pair.get_mut(sibling)).ok_or(error)
    }

    /// Counts `value` base units sent by `own` to `to`.
    ///
    /// # Errors
    /// [`ClockError::Levels`], [`ClockError::ValueEnd`]; the clock is then unchanged.
    pub fn send(&mut self, own: &ShardAddress, to: &ShardAddress, value: u128) -> Result<(), ClockError> {
        let entry = self.entry_mut(own, to)?;
        entry.sent = entry.sent.checked_add(value).ok_or(ClockError::ValueEnd)?;
        Ok(())
    }

    /// Counts `value` base units received by `own` from `from`, by consuming its epochs up to `epoch`.
    ///
    /// # Errors
    /// [`ClockError::Levels`], [`ClockError::ValueEnd`]; the clock is then unchanged.
    pub fn receive(
        &mut self,
        own: &ShardAddress,
        from: &ShardAddress,
        value: u128,
        epoch: u64,
    ) -> Result<(), ClockError> {
        let entry = self.entry_mut(own, from)?;
        entry.received = entry.received.checked_add(value).ok_or(ClockError::ValueEnd)?;
        entry.epoch = entry.epoch.max(epoch);
        Ok(())
    }

    /// The component-wise maximum.
    ///
    /// # Errors
    /// [`ClockError::Levels`] for clocks of different heights; this one is then unchanged.
    pub fn merge(&mut self, other: &SierpinskiClock) -> Result<(), ClockError> {
        if self.levels.len() != other.levels.len() {
            return Err(ClockError::Levels { own: self.levels.len(), other: other.levels.len() });
        }
        for (own, other) in self.levels.iter_mut().flatten().zip(other.levels.iter().flatten()) {
            *own = own.max(other);
        }
        Ok(())
    }

    /// Whether no component is above `other`'s: the partial order. Clocks of different heights are not comparable.
    #[must_use]
    pub fn le(&self, other: &SierpinskiClock) -> bool {
        self.levels.len() == other.levels.len()
            && self.levels.iter().flatten().zip(other.levels.iter().flatten()).all(|(a, b)| a.le(b))
    }
}

impl BorshDeserialize for SierpinskiClock {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let levels =
            crate::Bounded::<[LevelEntry; 2], { ShardAddress::MAX_LEVEL as usize }>::deserialize_reader(reader)?;
        Ok(SierpinskiClock { levels: levels.into_inner() })
    }
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
