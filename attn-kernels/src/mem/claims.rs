//! Writing one tensor from several threads: equal parts, each handed out once.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

/// A slice cut into parts of `unit` elements that threads take as they need them.
pub(crate) struct Claims<'a> {
    data: *mut f32,
    len: usize,
    unit: usize,
    taken: &'a [AtomicBool],
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: `take` hands out disjoint parts, each to one caller; the pointer gives nothing else.
unsafe impl Send for Claims<'_> {}
// SAFETY: as above; the claims are atomic.
unsafe impl Sync for Claims<'_> {}

impl<'a> Claims<'a> {
    /// Cuts `data`; `taken` is memory to note the claims in, grown as needed.
    pub(crate) fn new(data: &'a mut [f32], unit: usize, taken: &'a mut Vec<AtomicBool>) -> Self {
        taken.clear();
        taken.resize_with(data.len() / unit.max(1), AtomicBool::default);
        Self { data: data.as_mut_ptr(), len: data.len(), unit, taken, borrow: PhantomData }
    }

    /// Part `index`.
    ///
    /// # Panics
    /// If it does not exist or was taken before: a mistake in how work was cut up.
    pub(crate) fn take(&self, index: usize) -> &'a mut [f32] {
        let before = self.taken[index].swap(true, Ordering::Relaxed);
        assert!(!before && (index + 1) * self.unit <= self.len);
        // SAFETY: the part is inside the slice that is borrowed mutably for 'a; the swap lets one
        // caller through, and parts do not overlap.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(index * self.unit), self.unit) }
    }
}
