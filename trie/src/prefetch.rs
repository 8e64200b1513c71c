//! The one hint to the processor that the compiler does not give by itself.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for the cache line of `cell` that begins `offset` bytes into it. Never faults, changes nothing but time.
#[inline]
#[allow(unsafe_code, reason = "the intrinsic takes a raw pointer; a prefetch of any address is harmless")]
fn prefetch_line<T>(cell: &T, offset: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let line = std::ptr::from_ref(cell).cast::<i8>().wrapping_add(offset);
        // SAFETY: SSE is part of every x86-64 processor, and prefetching does not access memory.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (cell, offset);
}

/// Asks for both cache lines of `cell`.
#[inline]
pub(crate) fn prefetch<T>(cell: &T) {
    prefetch_line(cell, 0);
    prefetch_line(cell, LINE);
}
