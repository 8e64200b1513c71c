//! The rules of a run, and what the books keep of one payment.

use std::collections::VecDeque;

use super::ids::Prefix;

/// The rules of a run.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Replicas that take payments, the same places in each shard.
    pub gateways: Vec<u8>,
    /// Replicas that are listened to: no payment is read back from its gateway.
    pub readers: Vec<u8>,
    /// A payment not final this long after its intended time is given up, nanoseconds.
    pub give_up: u64,
    /// A payment that was taken and is not certified this long after is sent again. Half the patience: the gateway itself tries all the time,
    /// and sending again is for the case that it has forgotten.
    pub resend: u64,
    /// Every n-th final payment's receipt is checked; 0 is none.
    pub receipt_every: u64,
}

impl Rules {
    /// The gateways of a network of `replicas`, or the one asked for, and whom to listen to: two readers suffice for all gateways, and
    /// each further one would only make work for its replica.
    pub fn new(replicas: u8, gateway: Option<u8>, give_up: u64, receipt_every: u64) -> Rules {
        let gateways: Vec<u8> = gateway.map_or_else(|| (0..replicas).collect(), |only| vec![only]);
        let readers = match gateway {
            Some(only) => vec![only.saturating_add(1).checked_rem(replicas).unwrap_or(0)],
            None => (0..replicas.min(2)).collect(),
        };
        Rules { gateways, readers, give_up, resend: 3_000_000_000, receipt_every }
    }

    /// The replica whose word counts for payments of `gateway`.
    pub fn reader_for(&self, gateway: u8) -> Option<u8> {
        self.readers.iter().copied().find(|reader| *reader != gateway)
    }
}

/// A flight's name: place and generation, so that an answer to an earlier one in the same place is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub(super) place: u32,
    pub(super) generation: u32,
}

/// A gateway has taken it.
pub(super) const RECEIVED: u8 = 1;
/// It was sent, and what became of that is not known.
pub(super) const UNANSWERED: u8 = 2;
/// It is accounted for.
pub(super) const ENDED: u8 = 4;
/// The payee is in another shard.
pub(super) const CROSS: u8 = 8;
/// It waits to be sent again.
pub(super) const QUEUED: u8 = 16;
/// It ended as timed out.
pub(super) const TIMED_OUT: u8 = 32;

/// One payment on its way.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    pub(super) id: Option<Prefix>,
    pub(super) intended: u64,
    pub(super) account: u32,
    pub(super) generation: u32,
    pub(super) step: u32,
    pub(super) lane: u16,
    pub(super) tries: u16,
    pub(super) reached: u8,
    pub(super) flags: u8,
}

impl Flight {
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// One shard's gateway as the books see it.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) shard: u32,
    pub(super) gateway: u8,
    pub(super) waiting: VecDeque<u64>,
    pub(super) free: VecDeque<u32>,
    pub(super) again: VecDeque<Key>,
}

/// A payment to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// Its flight.
    pub key: Key,
    /// Canonical bytes.
    pub bytes: Vec<u8>,
}

/// A final payment kept for the check of receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its whole id.
    pub id: smt_types::PaymentId,
    /// Shard of the payer.
    pub shard: u32,
}
