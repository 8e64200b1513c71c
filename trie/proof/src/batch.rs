//! Many proofs at once, their hashes side by side.
//!
//! A proof's levels depend on one another, but not on another proof's. A window of proofs therefore climbs
//! together, one level a round; whole preimages and second halves are hashed as two groups, and a proof that has
//! arrived at its root makes room for the next one, so that the groups stay full to the last few proofs.

#![allow(clippy::indexing_slicing, reason = "places are of climbers that stand there, and a group is at most GROUP")]

use alloc::vec::Vec;

use crate::kernel::{self, GROUP, Midstate};
use crate::key_path::KeyPath;
use crate::node::{Block, EMPTY_BLOCK, second_half};
use crate::proof::{Level, Proof, ProofError, VerifiedEntry};
use crate::{EMPTY_HASH, Hash, Key, Root};

/// Proofs that climb together: enough that what is left over from groups of sixteen matters little, few enough
/// that all of it stays in a processor's second-level cache (about 100 KiB).
const WINDOW: usize = 256;

/// A proof to check: under this root, for this key.
type Asked<'a> = (&'a Root, &'a Key, &'a Proof);
type Checked = Result<VerifiedEntry, ProofError>;

/// Checks many proofs, each of its key under its root; `result[i]` is what [`Proof::verify`] gives for
/// `proofs[i]`.
///
/// Cost: the same hashes as one by one, sixteen side by side. Memory beside the result: fixed.
pub fn verify_batch(proofs: &[(&Root, &Key, &Proof)]) -> Vec<Result<VerifiedEntry, ProofError>> {
    let mut results: Vec<Option<Checked>> = Vec::new();
    results.resize_with(proofs.len(), || None);
    let mut waiting = proofs.iter();
    let mut places = results.iter_mut();
    let mut climbers: Vec<Climber<'_>> = Vec::with_capacity(WINDOW.min(proofs.len()));
    let mut slots = Vec::with_capacity(WINDOW);
    let mut round = Round::default();
    loop {
        let mut at = 0;
        while let Some(climber) = climbers.get_mut(at) {
            match climber.step(at, &mut round) {
                // What has not arrived stays where it is, so the places in `round` hold.
                None => at = at.saturating_add(1),
                Some(checked) => *climbers.swap_remove(at).result = Some(checked),
            }
        }
        // First the depths alone: a loop so short that the processor fetches several proofs from memory at a time.
        let room = WINDOW.saturating_sub(climbers.len());
        slots.clear();
        slots.extend(waiting.clone().take(room).map(|(_, _, proof)| proof.end_slot()));
        for ((slot, asked), result) in slots.iter().zip(&mut waiting).zip(&mut places) {
            climbers.extend(Climber::start(asked, *slot, result, climbers.len(), &mut round));
        }
        // A whole window may have failed at the start, so no climber alone does not mean the end.
        if climbers.is_empty() && waiting.as_slice().is_empty() {
            break;
        }
        round.hash(&mut climbers);
    }
    results.into_iter().map(|result| result.expect("every proof has arrived or failed")).collect()
}

/// A proof on its way up.
struct Climber<'a> {
    asked: Asked<'a>,
    result: &'a mut Option<Checked>,
    path: KeyPath,
    /// The levels still to climb, root side first.
    above: &'a [Level],
    /// Depth of the slot reached.
    slot: u8,
    /// Hash of what stands there.
    hash: Hash,
    /// What is to be hashed next: all of it, or the second half after `midstate`.
    block: Block,
    midstate: &'a Midstate,
}

impl<'a> Climber<'a> {
    /// A proof whose end is to be hashed this round; `None` if it failed before.
    fn start(
        asked: &Asked<'a>,
        slot: u8,
        result: &'a mut Option<Checked>,
        at: usize,
        round: &mut Round,
    ) -> Option<Self> {
        let (_, key, proof) = *asked;
        let path = KeyPath::new(key);
        if let Err(error) = proof.end.check(proof.root_depth, slot, key, &path) {
            *result = Some(Err(error));
            return None;
        }
        let mut block = EMPTY_BLOCK;
        if proof.end.write_block(slot, key, &mut block) {
            round.whole.push(at);
        }
        let hash = EMPTY_HASH;
        Some(Self { asked: *asked, result, path, above: &proof.levels, slot, hash, block, midstate: &EMPTY_HASH })
    }

    /// Puts the level above into `round`, or gives what the check has come to.
    fn step(&mut self, at: usize, round: &mut Round) -> Option<Checked> {
        let Some((level, above)) = self.above.split_last() else {
            let (root, key, proof) = self.asked;
            return Some(proof.conclude(self.hash, root, key));
        };
        self.above = above;
        self.slot = level.slot_above(self.slot);
        match level.write_block(self.slot, &self.path, &self.hash, &mut self.block) {
            Ok(None) => round.whole.push(at),
            Ok(Some(midstate)) => {
                self.midstate = midstate;
                round.tails.push(at);
            }
            Err(error) => return Some(Err(error)),
        }
        None
    }
}

/// The places of the climbers that are to be hashed.
#[derive(Default)]
struct Round {
    /// Those with a whole preimage.
    whole: Vec<usize>,
    /// Those with a second half.
    tails: Vec<usize>,
}

impl Round {
    /// Hashes what these climbers have written, and is empty again.
    fn hash(&mut self, climbers: &mut [Climber<'_>]) {
        let mut hashes = [EMPTY_HASH; GROUP];
        for group in self.whole.chunks(GROUP) {
            let mut blocks = [&EMPTY_BLOCK; GROUP];
            blocks.iter_mut().zip(group).for_each(|(block, &at)| *block = &climbers[at].block);
            kernel::hash_group(&blocks[..group.len()], &mut hashes[..group.len()]);
            group.iter().zip(&hashes).for_each(|(&at, hash)| climbers[at].hash = *hash);
        }
        for group in self.tails.chunks(GROUP) {
            let mut tails = [(&EMPTY_HASH, second_half(&EMPTY_BLOCK)); GROUP];
            let tail = |at: usize| (climbers[at].midstate, second_half(&climbers[at].block));
            tails.iter_mut().zip(group).for_each(|(to, &at)| *to = tail(at));
            kernel::finish_group(&tails[..group.len()], &mut hashes[..group.len()]);
            group.iter().zip(&hashes).for_each(|(&at, hash)| climbers[at].hash = *hash);
        }
        self.whole.clear();
        self.tails.clear();
    }
}
