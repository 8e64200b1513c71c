//! Money between triangles, summed from their shards' vector clocks.

use crate::StatementError;
use crate::step::Step;
use smt_types::clock::{LevelEntry, SierpinskiClock};
use smt_types::{Amount, ShardAddress};

/// A sum of numbers of 128 bits: how often it went over, and the rest. Exact for as many numbers as anybody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wide {
    over: u32,
    rest: u128,
}

impl Wide {
    pub(crate) fn of(value: impl Into<u128>) -> Wide {
        Wide { over: 0, rest: value.into() }
    }

    pub(crate) fn plus(self, value: u128) -> Wide {
        let (rest, over) = self.rest.overflowing_add(value);
        Wide { over: self.over.saturating_add(u32::from(over)), rest }
    }

    /// `None` for a negative difference.
    fn minus(self, other: Wide) -> Option<Wide> {
        let (rest, borrow) = self.rest.overflowing_sub(other.rest);
        Some(Wide { over: self.over.checked_sub(other.over)?.checked_sub(u32::from(borrow))?, rest })
    }
}

/// Item 4 of the statement, but for each shard's own supply: every ordered pair of siblings, then the total.
pub(crate) fn check(level: u8, steps: &[Step], supply: Amount) -> Result<(), StatementError> {
    let mut total = steps.iter().fold(Wide::of(0u8), |sum, step| sum.plus(u128::from(step.new.supply.0)));
    for depth in 1..=level {
        for triangle in ShardAddress::all(depth) {
            for sibling in triangle.siblings().into_iter().flatten() {
                let sent = sum(steps, &triangle, &sibling, |entry| entry.sent);
                let received = sum(steps, &sibling, &triangle, |entry| entry.received);
                let open = sent.minus(received).ok_or(StatementError::Flow { from: triangle, to: sibling })?;
                let over = total.over.saturating_add(open.over);
                total = Wide { over, ..total }.plus(open.rest);
            }
        }
    }
    if total == Wide::of(supply.0) { Ok(()) } else { Err(StatementError::Total) }
}

/// Over the shards of `triangle`, what they count with `sibling`.
fn sum(steps: &[Step], triangle: &ShardAddress, sibling: &ShardAddress, of: fn(&LevelEntry) -> u128) -> Wide {
    let place = SierpinskiClock::place(triangle, sibling);
    let inside = steps.iter().filter(|step| step.new.shard.prefix(triangle.level()) == Some(*triangle));
    let entry = |step: &Step| {
        let (level, place) = place?;
        step.new.levels.levels.get(level)?.get(place).map(of)
    };
    inside.filter_map(entry).fold(Wide::of(0u8), Wide::plus)
}
