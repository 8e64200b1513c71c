//! The check of a multi-proof, and what it shows.

use alloc::vec::Vec;
use core::ops::Range;

use super::codec::Part;
use super::keys::{AskedKeys, only_last};
use super::{KeyCountError, MultiProof};
use crate::codec::{Reader, ShapeError, check_skip, present};
use crate::node::{SKIP_TRITS_MAX, Skip, content, inner_block, leaf_block};
use crate::proof::OffPath;
use crate::rebuild::{Place, Rebuild, RebuildError};
use crate::{EMPTY_HASH, Key, KeyPath, Root, VerifiedEntry};

/// Why a well-formed multi-proof does not show what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MultiProofError {
    /// No keys, or too many.
    #[error(transparent)]
    KeyCount(#[from] KeyCountError),
    /// The keys lead through fewer slots than the proof has, or through more.
    #[error("the proof has {got} elements, which is not what the keys ask for")]
    Elements {
        /// How many it has.
        got: usize,
    },
    /// An element has the form for other keys.
    #[error("the element at depth {depth} has the form for other keys")]
    Form {
        /// Depth of its slot.
        depth: u8,
    },
    /// A skip leads past the path's end.
    #[error("an element fits no trie")]
    Shape(#[from] ShapeError),
    /// Nodes that are part of no trie.
    #[error("the elements make no trie")]
    Rebuild(#[from] RebuildError),
    /// The other leaf in a slot is one that was asked about, or does not belong there.
    #[error("the other leaf, at depth {depth}, cannot show that a key is absent")]
    OtherLeafUnfit {
        /// Depth of its slot.
        depth: u8,
    },
    /// A diverging skip with trits some key has.
    #[error("the skip at depth {depth} does not part from all keys")]
    NotDiverging {
        /// Depth of the node's slot.
        depth: u8,
    },
    /// The proof leads to another root: something in it is altered, or it is for another trie or other keys.
    #[error("multi-proof leads to root {} with sum {}, expected {} with sum {}",
        blake3::Hash::from_bytes(got.hash).to_hex(), got.sum,
        blake3::Hash::from_bytes(want.hash).to_hex(), want.sum)]
    RootMismatch {
        /// Where the proof leads.
        got: Root,
        /// The root it was checked against.
        want: Root,
    },
}

/// What a multi-proof has shown about each of its keys; it comes from nothing but a check that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifiedEntries {
    /// In key order.
    entries: Vec<VerifiedEntry>,
}

impl VerifiedEntries {
    /// What was shown about `key`; `None` if it was not asked about.
    pub fn get(&self, key: &Key) -> Option<&VerifiedEntry> {
        let index = self.entries.binary_search_by(|entry| entry.key().cmp(key)).ok()?;
        self.entries.get(index)
    }

    /// One entry for each key that was asked about, in key order.
    pub fn iter(&self) -> core::slice::Iter<'_, VerifiedEntry> {
        self.entries.iter()
    }

    /// The entries themselves.
    pub fn into_entries(self) -> Vec<VerifiedEntry> {
        self.entries
    }
}

impl<'a> IntoIterator for &'a VerifiedEntries {
    type Item = &'a VerifiedEntry;
    type IntoIter = core::slice::Iter<'a, VerifiedEntry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl MultiProof {
    /// Checks the proof for these keys, in any order, against `root`.
    ///
    /// Shown is of each key what a single proof shows, see [`crate::Proof::verify`].
    /// Cost: one hash of 128 bytes a node, a level at a time through the many-lane kernel. Memory: less than twenty
    /// times the encoding and three KiB a key, whatever the bytes.
    ///
    /// # Errors
    ///
    /// [`MultiProofError`], whenever anything was altered or belongs to other keys or another root.
    pub fn verify(&self, root: &Root, keys: &[Key]) -> Result<VerifiedEntries, MultiProofError> {
        let asked = AskedKeys::new(keys, self.root_depth)?;
        let mut check = Check {
            root_depth: self.root_depth,
            shown: asked.all().map(|_| None).collect(),
            asked,
            tree: Rebuild::default(),
            stack: Vec::new(),
        };
        check.stack.push(Task { range: check.asked.all(), slot: self.root_depth, place: None });
        let elements = || MultiProofError::Elements { got: self.codes.len() };
        let mut reader = Reader::new(&self.bodies, usize::MAX).expect("no slice is longer");
        for &code in &self.codes {
            let task = check.stack.pop().ok_or_else(elements)?;
            check.element(&Part::read(code, &mut reader).expect("all bodies were read when decoding"), &task)?;
        }
        if !check.stack.is_empty() {
            return Err(elements());
        }
        let got = check.tree.root()?;
        if got != *root {
            return Err(MultiProofError::RootMismatch { got, want: *root });
        }
        let keys = check.asked.get(&check.asked.all()).iter().map(|asked| asked.key);
        let mut entries: Vec<_> = keys.zip(check.shown).map(|(key, entry)| VerifiedEntry::new(key, entry)).collect();
        entries.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        Ok(VerifiedEntries { entries })
    }
}

/// A slot of which the element comes next: its keys, its depth and where it hangs.
struct Task {
    range: Range<usize>,
    slot: u8,
    place: Option<Place>,
}

/// The state of a check.
struct Check {
    root_depth: u8,
    asked: AskedKeys,
    /// Value and sum of each key asked about, as claimed so far.
    shown: Vec<Option<(Vec<u8>, u64)>>,
    tree: Rebuild,
    /// Slots to come, the next one last.
    stack: Vec<Task>,
}

impl Check {
    fn element(&mut self, part: &Part<'_>, task: &Task) -> Result<(), MultiProofError> {
        let &Task { ref range, slot, place } = task;
        match part {
            Part::Empty => Ok(()),
            Part::Own { index, value, sum } => self.own_leaf(task, *index, value, *sum),
            Part::Other { key, content, value_len, sum } => {
                let same_slot = KeyPath::new(key).agrees(&self.asked.first(range).path, self.root_depth, slot);
                if !same_slot || self.asked.get(range).iter().any(|asked| asked.key == *key) {
                    return Err(MultiProofError::OtherLeafUnfit { depth: slot });
                }
                self.tree.leaf(place, leaf_block(slot, key, content, *value_len, *sum));
                Ok(())
            }
            Part::Diverging { skip, sum, children } => {
                check_skip(skip.len, slot)?;
                if !self.asked.agreeing(range, slot, skip).is_empty() {
                    return Err(MultiProofError::NotDiverging { depth: slot });
                }
                self.tree.closed(place, inner_block(slot, skip, children, *sum));
                Ok(())
            }
            Part::Inner { skip_len, skip, rest, off_path } => {
                check_skip(*skip_len, slot)?;
                let agreeing = self.agreeing(task, *skip_len, skip.as_ref())?;
                self.inner(slot, place, &agreeing, *skip_len, *rest, off_path)
            }
        }
    }

    fn own_leaf(&mut self, task: &Task, index: Option<u64>, value: &[u8], sum: u64) -> Result<(), MultiProofError> {
        let keys = self.asked.get(&task.range);
        let form = MultiProofError::Form { depth: task.slot };
        // An index is sent if and only if there is a choice.
        let index = match (index, keys.len()) {
            (None, 1) => 0,
            (Some(index), 2..) => usize::try_from(index).unwrap_or(usize::MAX),
            _ => return Err(form),
        };
        let key = keys.get(index).ok_or(form)?.key;
        // Decoding bounds the length far below u16.
        let value_len = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.tree.leaf(task.place, leaf_block(task.slot, &key, &content(value), value_len, sum));
        if let Some(shown) = self.shown.get_mut(task.range.start.saturating_add(index)) {
            *shown = Some((value.to_vec(), sum));
        }
        Ok(())
    }

    /// The keys that have the skipped trits of the slot's inner node: at least one.
    fn agreeing(&self, task: &Task, skip_len: u8, skip: Option<&Skip>) -> Result<Range<usize>, MultiProofError> {
        let all_share = self.asked.share(&task.range, task.slot, skip_len);
        let agreeing = match skip {
            None if all_share => task.range.clone(),
            Some(skip) if !all_share => self.asked.agreeing(&task.range, task.slot, skip),
            // The trits are sent if and only if the keys do not say them.
            _ => 0..0,
        };
        if agreeing.is_empty() { Err(MultiProofError::Form { depth: task.slot }) } else { Ok(agreeing) }
    }

    fn inner(
        &mut self,
        slot: u8,
        place: Option<Place>,
        agreeing: &Range<usize>,
        skip_len: u8,
        rest: u64,
        off_path: &OffPath,
    ) -> Result<(), MultiProofError> {
        let branch = slot.saturating_add(skip_len);
        let skip = Skip::of_path(&self.asked.first(agreeing).path, slot, skip_len);
        let turns = self.asked.turns(agreeing, branch);
        let parent = match off_path {
            OffPath::Midstate(midstate) if only_last(&turns) => self.tree.midstate(place, slot, &skip, midstate, rest),
            OffPath::Siblings(siblings) if !only_last(&turns) => {
                let mut siblings = siblings.iter();
                let mut children = [EMPTY_HASH; 3];
                for (child, _) in children.iter_mut().zip(&turns).filter(|(_, range)| range.is_empty()) {
                    *child = siblings.next().copied().unwrap_or(EMPTY_HASH);
                }
                if siblings.any(|hash| *hash != EMPTY_HASH) {
                    return Err(MultiProofError::Form { depth: slot });
                }
                // Fewer than two children even if none on the path is empty. Refused here already, so that memory is
                // bounded: an element either sends a hash, or is one of the few in which keys part or a chain begins.
                let on_path = turns.iter().filter(|range| !range.is_empty()).count();
                if on_path.saturating_add(present(&children)) < 2 && skip_len < SKIP_TRITS_MAX {
                    return Err(RebuildError::FewChildren(slot).into());
                }
                self.tree.inner(place, slot, &skip, &children, rest)
            }
            _ => return Err(MultiProofError::Form { depth: slot }),
        };
        for (turn, range) in [0, 1, 2].into_iter().zip(turns).rev().filter(|(_, range)| !range.is_empty()) {
            self.stack.push(Task { range, slot: branch.saturating_add(1), place: Some(Place { parent, turn }) });
        }
        Ok(())
    }
}
