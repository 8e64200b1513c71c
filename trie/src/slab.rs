//! Cells in memory: equal-sized, named by a number, never moved one by one.
//!
//! A trie has no allocation per node: cells stand in chunks of [`CHUNK_CELLS`], on huge pages once
//! there is more than one chunk's worth and the settings allow it. With random keys every step down
//! the trie is a cache miss, and with 4 KiB pages a TLB miss as well; 2 MiB pages save the latter.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "arithmetic kernel: numbers of cells come from `alloc` alone and fit u32"
)]

use bytemuck::Pod;
use memmap2::{MmapMut, MmapOptions};

/// Bytes of a cell: two cache lines.
pub(crate) const CELL_BYTES: usize = 128;
/// Cells in a chunk: 2 MiB, one huge page.
const CHUNK_CELLS: usize = 1 << 14;
const CHUNK_BYTES: usize = CHUNK_CELLS * CELL_BYTES;
/// From so many cells on a first chunk gets its whole length.
const EARLY_CELLS: usize = 1 << 10;
/// Cells in a run.
pub(crate) const RUN_CELLS: usize = 64;
/// How many cells before its use a free one is fetched.
const FETCH_AHEAD: usize = 12;
/// Most cells: numbers keep one bit for the kind of cell.
const CELLS_MAX: usize = 1 << 31;

/// Growable store of cells of one type. Number 0 is never given out: it stands for nothing.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Numbers given out so far, 0 included.
    len: u32,
    /// Cells given back.
    free: Vec<u32>,
    /// Runs given out and not given back, and those given back.
    runs: usize,
    free_runs: Vec<u32>,
    huge_pages: bool,
}

#[derive(Debug)]
enum Chunk<T> {
    /// Grows by doubling up to a whole chunk.
    Heap(Vec<T>),
    Mapped(Mapped),
}

/// A whole chunk at a multiple of its size, so that the kernel can back it with one huge page.
#[derive(Debug)]
struct Mapped {
    map: MmapMut,
    start: usize,
}

impl Mapped {
    /// `None` if the system refuses the mapping; the caller takes ordinary memory then.
    fn new() -> Option<Self> {
        let map = MmapOptions::new().len(2 * CHUNK_BYTES).map_anon().ok()?;
        // A hint: without huge pages in the kernel the memory is as good, only slower.
        #[cfg(target_os = "linux")]
        let _hint = map.advise(memmap2::Advice::HugePage);
        let start = map.as_ptr().align_offset(CHUNK_BYTES);
        (start <= CHUNK_BYTES).then_some(Self { map, start })
    }
}

impl<T: Pod> Chunk<T> {
    #[inline]
    fn cells(&self) -> &[T] {
        match self {
            Self::Heap(cells) => cells,
            Self::Mapped(mapped) => bytemuck::cast_slice(&mapped.map[mapped.start..mapped.start + CHUNK_BYTES]),
        }
    }

    #[inline]
    fn cells_mut(&mut self) -> &mut [T] {
        match self {
            Self::Heap(cells) => cells,
            Self::Mapped(mapped) => {
                let range = mapped.start..mapped.start + CHUNK_BYTES;
                bytemuck::cast_slice_mut(&mut mapped.map[range])
            }
        }
    }
}

impl<T: Pod> Slab<T> {
    pub(crate) fn new(huge_pages: bool) -> Self {
        const { assert!(size_of::<T>() == CELL_BYTES && align_of::<T>() <= CELL_BYTES) };
        Self { chunks: Vec::new(), len: 1, free: Vec::new(), runs: 0, free_runs: Vec::new(), huge_pages }
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> &T {
        let number = number as usize;
        &self.chunks[number / CHUNK_CELLS].cells()[number % CHUNK_CELLS]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, number: u32) -> &mut T {
        let number = number as usize;
        &mut self.chunks[number / CHUNK_CELLS].cells_mut()[number % CHUNK_CELLS]
    }

    /// Stores a cell.
    pub(crate) fn alloc(&mut self, cell: T) -> u32 {
        match self.free.pop() {
            Some(number) => {
                // Cells given back lie anywhere: have the next ones at hand when their turn comes.
                if let Some(&soon) = self.free.len().checked_sub(FETCH_AHEAD).and_then(|ahead| self.free.get(ahead)) {
                    self.prefetch(soon);
                }
                *self.get_mut(number) = cell;
                number
            }
            None => self.push(cell),
        }
    }

    fn push(&mut self, cell: T) -> u32 {
        let number = self.len;
        let index = number as usize;
        assert!(index < CELLS_MAX, "a partition holds at most 2^31 cells of a kind; choose more partitions");
        if index / CHUNK_CELLS == self.chunks.len() {
            let chunk = if index < CHUNK_CELLS { Chunk::Heap(vec![T::zeroed()]) } else { self.whole_chunk() };
            self.chunks.push(chunk);
        }
        let huge_pages = self.huge_pages;
        let chunk = &mut self.chunks[index / CHUNK_CELLS];
        match chunk {
            Chunk::Heap(cells) => {
                if cells.len() == EARLY_CELLS {
                    // Reserved at once, memory that is not touched costs nothing; grown by doubling, it would leave holes.
                    cells.reserve_exact(CHUNK_CELLS - EARLY_CELLS);
                }
                cells.push(cell);
                if cells.len() == CHUNK_CELLS
                    && huge_pages
                    && let Some(mapped) = Mapped::new()
                {
                    let cells = std::mem::take(cells);
                    *chunk = Chunk::Mapped(mapped);
                    chunk.cells_mut().copy_from_slice(&cells);
                }
            }
            Chunk::Mapped(_) => chunk.cells_mut()[index % CHUNK_CELLS] = cell,
        }
        self.len += 1;
        number
    }

    fn whole_chunk(&self) -> Chunk<T> {
        match self.huge_pages.then(Mapped::new).flatten() {
            Some(mapped) => Chunk::Mapped(mapped),
            None => Chunk::Heap(Vec::with_capacity(CHUNK_CELLS)),
        }
    }

    /// Gives a cell back; nothing may name it any more.
    pub(crate) fn free(&mut self, number: u32) {
        self.free.push(number);
    }

    /// A run: [`RUN_CELLS`] cells one after the other, to be written and read with [`Self::get_mut`] and [`Self::get`].
    /// Returns the number of the first.
    pub(crate) fn alloc_run(&mut self) -> u32 {
        self.runs += 1;
        if let Some(run) = self.free_runs.pop() {
            return run;
        }
        // All runs fit the list of those given back: to give one back needs no memory.
        self.free_runs.reserve(self.runs);
        // Chunks are whole runs from a multiple of their length on: none lies across two of them.
        while !(self.len as usize).is_multiple_of(RUN_CELLS) {
            let skipped = self.push(T::zeroed());
            self.free.push(skipped);
        }
        let run = self.len;
        for _ in 0..RUN_CELLS {
            self.push(T::zeroed());
        }
        run
    }

    /// Gives a run back.
    pub(crate) fn free_run(&mut self, run: u32) {
        self.runs -= 1;
        self.free_runs.push(run);
    }

    /// Changes every cell, in use or not.
    pub(crate) fn for_each_mut(&mut self, change: impl FnMut(&mut T)) {
        self.chunks.iter_mut().flat_map(Chunk::cells_mut).for_each(change);
    }

    /// Asks the processor to fetch a cell that is needed soon.
    #[inline]
    pub(crate) fn prefetch(&self, number: u32) {
        crate::prefetch::prefetch(self.get(number));
    }

    /// Cells in use, without those of runs.
    pub(crate) fn used(&self) -> usize {
        self.len as usize - 1 - self.free.len() - (self.runs + self.free_runs.len()) * RUN_CELLS
    }

    /// Bytes of memory held, in use or not.
    pub(crate) fn bytes(&self) -> usize {
        let chunk = |chunk: &Chunk<T>| match chunk {
            Chunk::Heap(cells) => cells.capacity() * CELL_BYTES,
            Chunk::Mapped(_) => CHUNK_BYTES,
        };
        self.chunks.iter().map(chunk).sum::<usize>() + (self.free.capacity() + self.free_runs.capacity()) * 4
    }
}

impl<T: Pod> Clone for Slab<T> {
    fn clone(&self) -> Self {
        let mut clone = Self {
            chunks: Vec::with_capacity(self.chunks.len()),
            len: self.len,
            free: self.free.clone(),
            runs: self.runs,
            free_runs: self.free_runs.clone(),
            huge_pages: self.huge_pages,
        };
        for (index, chunk) in self.chunks.iter().enumerate() {
            let mut copy = match chunk {
                Chunk::Heap(cells) => Chunk::Heap(cells.clone()),
                Chunk::Mapped(_) => clone.whole_chunk(),
            };
            match (&mut copy, chunk) {
                // The mapping was refused. A chunk on the heap ends with its last cell, so that the next one is pushed.
                (Chunk::Heap(cells), Chunk::Mapped(_)) => {
                    let used = (self.len as usize - index * CHUNK_CELLS).min(CHUNK_CELLS);
                    cells.extend_from_slice(&chunk.cells()[..used]);
                }
                (Chunk::Mapped(_), _) => copy.cells_mut().copy_from_slice(chunk.cells()),
                (Chunk::Heap(_), Chunk::Heap(_)) => {}
            }
            clone.chunks.push(copy);
        }
        clone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::NodeCell;

    fn filled(huge_pages: bool, count: u64) -> Slab<NodeCell> {
        let mut slab = Slab::new(huge_pages);
        for sum in 1..=count {
            assert_eq!(u64::from(slab.alloc(NodeCell::new(0, 0, sum))), sum);
        }
        slab
    }

    #[test]
    fn clones_grow_whatever_memory_they_get() {
        let chunk = CHUNK_CELLS as u64;
        for count in [chunk - 2, chunk - 1, chunk, 2 * chunk - 1, 2 * chunk, 2 * chunk + 5] {
            for (huge_pages, later) in [(true, true), (true, false), (false, true), (false, false)] {
                let mut slab = filled(huge_pages, count);
                // As if the system had no more mappings to give, or had some again.
                slab.huge_pages = later;
                let mut clone = slab.clone();
                for sum in count + 1..=2 * count {
                    assert_eq!(u64::from(clone.alloc(NodeCell::new(0, 0, sum))), sum);
                }
                for sum in 1..=2 * count {
                    assert_eq!(clone.get(sum as u32).sum, sum, "{count} cells, huge pages {huge_pages}, {later}");
                }
                assert_eq!((slab.used(), clone.used()), (count as usize, 2 * count as usize));
            }
        }
    }
}
