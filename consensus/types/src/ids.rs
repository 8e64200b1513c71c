//! Small numbers that must not be swapped for one another.

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, BorshSerialize, BorshDeserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one; `None` at the end of the range.
            #[must_use]
            pub fn next(self) -> Option<$name> {
                self.0.checked_add(1).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Which network a signature is for; chosen in genesis, part of every payment and every header.
    NetworkId(u32)
}
number! {
    /// A replica's place in its shard's committee, from 0.
    ReplicaIndex(u8)
}
number! {
    /// A shard epoch. Epochs of a shard are consecutive; 0 is the genesis state.
    Epoch(u64)
}
number! {
    /// An attempt to agree on one epoch's cut; the proposer changes with it.
    View(u32)
}
number! {
    /// A payer's own payment number, from 0, without gaps.
    Seq(u64)
}
number! {
    /// A gateway's own batch number, from 0, without gaps.
    BatchNumber(u64)
}
