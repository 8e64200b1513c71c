//! What cells were before they changed: a log, written in order, from which versions are read.
//!
//! A cell keeps its place for as long as anything names it. What it was when a version was retained is put here before
//! it changes, and the cell is stamped with the *position* of that record; the record has the stamp that the cell had.
//! So the stamps of a cell lead back through its past, and where a version was retained at a [`Moment`], the first
//! content with a stamp below is the one it sees.
//!
//! To change a cell in place costs less than to write its successor elsewhere: the memory is the same that was just
//! read, and the log is written from front to back, which the processor foresees.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "arithmetic kernel: positions come from `push` alone and are below 2^24"
)]

use crate::cell::Stamp;
use crate::slab::{RUN_CELLS, Slab};
use bytemuck::Pod;
use std::collections::VecDeque;

/// Positions kept for the beginnings of versions where there is no room for records any more.
const RESERVED: u32 = 1 << 20;
/// So many positions given up are worth a pass over all cells to have them back.
const REBASE_FROM: u32 = 1 << 22;

/// When a version was retained, for cells of one kind: a position in their log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u32);

impl Moment {
    /// Later than all versions.
    pub(crate) const NOW: Self = Self(u32::MAX);
    /// Before all versions.
    pub(crate) const START: Self = Self(0);

    /// Whether a cell with this stamp has changed, or is new, since.
    #[inline]
    pub(crate) fn is_before(self, stamp: Stamp) -> bool {
        stamp.number() >= self.0
    }

    /// The stamp of cells that are new since.
    #[inline]
    pub(crate) fn stamp(self) -> Stamp {
        Stamp::new(self.0)
    }

    /// The same after positions became smaller by `by`.
    pub(crate) fn rebase(&mut self, by: u32) {
        self.0 = self.0.saturating_sub(by);
    }
}

impl Stamp {
    /// As [`Moment::rebase`]; zero is before what any version can tell from it.
    pub(crate) fn rebase(&mut self, by: u32) {
        *self = Self::new(self.number().saturating_sub(by));
    }
}

/// When a version was retained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) nodes: Moment,
    pub(crate) leaves: Moment,
}

impl Moments {
    pub(crate) const NOW: Self = Self { nodes: Moment::NOW, leaves: Moment::NOW };
    pub(crate) const START: Self = Self { nodes: Moment::START, leaves: Moment::START };
}

/// The log of a partition's cells of one kind. Its records stand among those cells, in runs.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// Runs in the order of positions; as many as the records need.
    runs: VecDeque<u32>,
    /// Position of the first record of the first run; never 0.
    base: u32,
    /// Position of the next record.
    next: u32,
    /// Where there is no room for records any more.
    end: u32,
}

impl Default for Past {
    fn default() -> Self {
        Self { runs: VecDeque::new(), base: 1, next: 1, end: Stamp::MAX - RESERVED }
    }
}

impl Past {
    /// Makes a place for what a cell is before it changes: its stamp and the number of the cell to put it in. `None` if
    /// there are as many records as stamps can name.
    #[inline]
    pub(crate) fn push<T: Pod>(&mut self, cells: &mut Slab<T>) -> Option<(Stamp, u32)> {
        (self.next < self.end).then(|| {
            let number = self.append(cells);
            (Stamp::new(self.next - 1), number)
        })
    }

    /// A version is retained: what changes from here on is kept behind this moment.
    pub(crate) fn begin(&mut self) -> Moment {
        assert!(
            self.next < Stamp::MAX,
            "a million versions beyond what fits a partition's log; choose more partitions"
        );
        if self.runs.is_empty() {
            self.base = self.next;
        }
        // A position without a record, for the stamps of cells that have no past.
        self.next += 1;
        Moment(self.next - 1)
    }

    #[inline]
    fn append<T: Pod>(&mut self, cells: &mut Slab<T>) -> u32 {
        let index = self.next - self.base;
        self.next += 1;
        while self.runs.len() * RUN_CELLS <= index as usize {
            self.runs.push_back(cells.alloc_run());
        }
        self.runs.back().map_or(0, |run| run + index % RUN_CELLS as u32)
    }

    /// The number of the cell with the record that a stamp names.
    #[inline]
    pub(crate) fn get(&self, stamp: Stamp) -> u32 {
        let index = stamp.number() - self.base;
        self.runs[index as usize / RUN_CELLS] + index % RUN_CELLS as u32
    }

    /// Drops what was kept before `moment`; at [`Moment::NOW`] everything.
    pub(crate) fn drop_before<T: Pod>(&mut self, moment: Moment, cells: &mut Slab<T>) {
        let all = moment == Moment::NOW;
        while all || self.base + RUN_CELLS as u32 <= moment.0 {
            let Some(run) = self.runs.pop_front() else { break };
            cells.free_run(run);
            self.base += RUN_CELLS as u32;
        }
        if all {
            self.base = self.next;
        }
    }

    /// By how much positions should become smaller now, if that is worth the pass.
    pub(crate) fn to_rebase(&self) -> Option<u32> {
        (self.base > REBASE_FROM).then(|| self.base - 1)
    }

    /// Makes positions smaller. Stamps and moments have to follow.
    pub(crate) fn rebase(&mut self, by: u32) {
        self.base -= by;
        self.next -= by;
    }

    /// As if so many records had come and gone.
    #[cfg(test)]
    pub(crate) fn skip(&mut self, records: u32) {
        assert!(self.runs.is_empty(), "records would be in the way");
        self.base += records;
        self.next += records;
    }

    /// As if so many records were all there is room for.
    #[cfg(test)]
    pub(crate) fn limit(&mut self, records: u32) {
        self.end = self.next + records;
    }
}
