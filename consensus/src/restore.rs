//! Rebuilding a replica from its store.

use crate::archive;
use crate::effect::Effects;
use crate::ports::{Column, Ledger, Reader};
use crate::replica::{Cx, Replica, Timer, Voting};
use smt_types::vote::Vote;
use smt_types::{BatchNumber, Digest};

impl<L: Ledger> Replica<L> {
    /// Rebuilds everything that is not in the ledger from the store.
    pub(crate) fn restore(&mut self, reader: &dyn Reader, now: u64) {
        let mut effects = Effects::default();
        let cx = &mut Cx { now, reader, effects: &mut effects };
        if let Some(reason) = archive::retired(reader) {
            self.voting = Voting::No(reason);
        }
        self.restore_epoch(cx);
        self.restore_links(cx);
        self.restore_global(cx);
        self.restore_index(cx);
        self.restore_batches(cx);
        // What follows from the store is durable already; only what it asks for is new, and timers ask again.
        self.settle(cx);
        self.timers.insert((now, Timer::Records));
        self.timers.insert((now.saturating_add(self.params.ask_us), Timer::Header));
        self.schedule_epoch(now);
    }

    fn restore_batches(&mut self, cx: &mut Cx<'_>) {
        let me = self.node.replica;
        let reader = cx.reader;
        for (key, _) in archive::rows(reader, Column::Live, &[], &[]) {
            let Ok(bytes) = <[u8; 32]>::try_from(key.as_slice()) else { continue };
            let digest = Digest(bytes);
            let Some((batch, vote)) = archive::batch(reader, &digest) else { continue };
            self.restore_batch(cx, digest, batch, vote);
        }
        // Own numbers go on after the highest ever used, forgotten batches included.
        let newest = archive::newest_number(cx.reader, me);
        self.certify.next_number = newest.and_then(BatchNumber::next).unwrap_or_default();
        // So do own stamps: the newest own batch may be forgotten without a cut above it, if its payments joined by other batches.
        let newest = newest.and_then(|number| archive::number(cx.reader, me, number));
        if let Some((batch, _)) = newest.and_then(|digest| archive::batch(cx.reader, &digest)) {
            self.clock.resume(&batch.header.dense);
            self.lamport = self.lamport.max(batch.header.lamport);
        }
    }

    fn restore_batch(&mut self, cx: &mut Cx<'_>, digest: Digest, batch: smt_types::Batch, vote: Option<Vote>) {
        let me = self.node.replica;
        let header = batch.header.clone();
        // Stamps of batches that were accepted raise the floor without a drift bound; those refused for their clock do not.
        let accepted = header.gateway == me || vote.as_ref().is_some_and(|vote| !vote.bits.is_empty());
        if accepted {
            self.clock.resume(&header.dense);
            self.lamport = self.lamport.max(header.lamport);
        }
        self.take_in(cx, batch, digest);
        if let Some(vote) = vote {
            self.lock(cx, &digest, &vote.bits);
            let part = smt_types::vote::VotePart { replica: me, bits: vote.bits, signature: vote.signature };
            if let Some(state) = self.certify.batches.get_mut(&digest) {
                state.voted = true;
                state.votes.insert(me, part);
            }
        }
        let applied = archive::applied(cx.reader, &digest);
        if let Some(state) = self.certify.batches.get_mut(&digest) {
            for record in applied {
                if record.bits.count() == state.count() {
                    state.applied.insert(record.replica, record);
                }
            }
            let quorum = self.committee.quorum();
            state.finals =
                smt_types::Bitmap::at_least(state.count(), quorum, state.applied.values().map(|record| &record.bits));
        }
        if let Some(certificate) = archive::certificate(cx.reader, &digest) {
            for vote in certificate.votes().filter(|vote| vote.replica != me) {
                self.merge_vote(cx, vote);
            }
        }
        self.recount(cx, digest);
    }
}
