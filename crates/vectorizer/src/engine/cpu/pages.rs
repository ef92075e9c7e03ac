//! Memory straight from the operating system: zeroed, page-aligned, taken page by page as it is touched, and on
//! huge pages where the kernel gives them, which random access to many rows needs.
#![expect(
    unsafe_code,
    reason = "a memory map is seen as a slice of numbers without a check at every access"
)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytemuck::Pod;
use memmap2::{MmapMut, MmapOptions};

use crate::error::{Result, VectorizerError};

/// A fixed number of zeroed values in pages of their own.
pub(crate) struct Pages<T> {
    map: MmapMut,
    values: NonNull<T>,
    len: usize,
    held: PhantomData<T>,
}

// SAFETY: `values` points into `map`, which this owns alone: it goes from thread to thread as a `Box<[T]>` would.
unsafe impl<T: Send> Send for Pages<T> {}
// SAFETY: a shared `Pages` gives out shared slices only, as a `Box<[T]>` does.
unsafe impl<T: Sync> Sync for Pages<T> {}

impl<T: Pod> Pages<T> {
    /// `len` zeroes. Pages that are never touched take no memory.
    ///
    /// # Errors
    /// [`VectorizerError::BufferAllocationFailed`]
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let bytes = len
            .checked_mul(size_of::<T>())
            .ok_or(VectorizerError::BufferAllocationFailed)?;
        // A map of no bytes is refused by some systems.
        let mut map = MmapOptions::new()
            .len(bytes.max(1))
            .no_reserve_swap()
            .map_anon()
            .map_err(|_| VectorizerError::BufferAllocationFailed)?;
        let values = NonNull::from(&mut map[..]).cast::<T>();
        if !values.is_aligned() {
            return Err(VectorizerError::BufferAllocationFailed);
        }
        Ok(Self {
            map,
            values,
            len,
            held: PhantomData,
        })
    }

    /// Asks for huge pages, here and for what is touched from now on. Whole huge pages are then taken at the first touch.
    pub(crate) fn advise_huge(&self) {
        // A kernel without huge pages refuses; the pages work as well, only slower.
        #[cfg(target_os = "linux")]
        let _ = self.map.advise(memmap2::Advice::HugePage);
    }
}

impl<T> Deref for Pages<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `zeroed` mapped `len` values at an aligned address that stays while `map` lives; zeroes are a `T` (it is `Pod`);
        // writes go through `deref_mut` alone.
        unsafe { std::slice::from_raw_parts(self.values.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Pages<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and `&mut self` shows that no other slice is alive.
        unsafe { std::slice::from_raw_parts_mut(self.values.as_ptr(), self.len) }
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({} values, {} bytes)", self.len, self.map.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_zero_aligned_and_keep_what_is_written() {
        for len in [0, 1, 1000, 1 << 20] {
            let mut pages = Pages::<f32>::zeroed(len).unwrap();
            pages.advise_huge();
            assert_eq!(pages.len(), len);
            assert!(pages.iter().all(|v| *v == 0.0));
            assert!((pages.as_ptr() as usize).is_multiple_of(4096));
            for (i, v) in pages.iter_mut().enumerate() {
                *v = i as f32;
            }
            let moved = pages;
            assert!(moved.iter().enumerate().all(|(i, v)| *v == i as f32));
        }
    }

    #[test]
    fn more_than_there_can_be_is_an_error() {
        for len in [usize::MAX, usize::MAX / 4, 1 << 58] {
            let error = Pages::<f32>::zeroed(len).unwrap_err();
            assert_eq!(error, VectorizerError::BufferAllocationFailed);
        }
    }
}
