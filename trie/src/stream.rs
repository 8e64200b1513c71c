//! Writes past the processor's caches, for what is written now and read much later, if ever.
//!
//! What a log takes in during a batch is as large as what the batch changes. Written in the ordinary way it would
//! push out of the caches what is needed next.

/// Lasts around calls of [`write`], in a function that has the memory written to for itself until it returns. Until it is
/// dropped nobody may read what was written.
#[derive(Debug)]
pub(crate) struct Stream(());

impl Stream {
    pub(crate) fn open() -> Self {
        Self(())
    }
}

impl Drop for Stream {
    /// Such writes come in no order of their own; after this all of them are done, for other threads too. Also when
    /// unwinding.
    #[inline]
    #[allow(unsafe_code, reason = "the fence that has to follow `write`")]
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE is part of every x86-64 processor; a fence touches no memory.
        unsafe {
            std::arch::x86_64::_mm_sfence();
        }
    }
}

/// Writes `cell` to `to`. A [`Stream`] must be open, and be dropped before `to` is read or written again.
#[inline]
#[allow(unsafe_code, reason = "the compiler has no other way to write past the caches")]
pub(crate) fn write<T: bytemuck::Pod>(to: &mut T, cell: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128i, _mm_load_si128, _mm_stream_si128};
        const LANE: usize = size_of::<__m128i>();
        const { assert!(size_of::<T>().is_multiple_of(LANE) && align_of::<T>() >= LANE) };
        let (to, from) = (std::ptr::from_mut(to).cast::<__m128i>(), std::ptr::from_ref(cell).cast::<__m128i>());
        for lane in 0..const { size_of::<T>() / LANE } {
            // SAFETY: SSE2 is part of every x86-64 processor. Both pointers come from references to a `T`, which has so
            // many lanes and is aligned like one (both asserted above), and any bytes are a `T`, which is `Pod`.
            // `Stream` fences before anything else accesses the target.
            unsafe {
                _mm_stream_si128(to.add(lane), _mm_load_si128(from.add(lane)));
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        *to = *cell;
    }
}
