//! Zeroed words from the host's allocator, committed when they are first touched.

use super::words::Page;
use std::alloc::{Layout, alloc_zeroed};
use std::sync::atomic::AtomicU32;

/// `count` words of zero, or `None` if the host has not that much memory. Pages that nobody touches
/// cost nothing, so a device may have more memory than the host.
pub(super) fn zeroed_words(count: usize) -> Option<Box<[AtomicU32]>> {
    // SAFETY: zero is a valid `AtomicU32`.
    unsafe { zeroed(count) }
}

/// As [`zeroed_words`], in whole pages.
pub(super) fn zeroed_pages(count: usize) -> Option<Box<[Page]>> {
    // SAFETY: a page is an array of `AtomicU32`.
    unsafe { zeroed(count) }
}

/// # Safety
/// Bytes of zero must be a valid `T`.
unsafe fn zeroed<T>(count: usize) -> Option<Box<[T]>> {
    if count == 0 {
        return Some(Box::new([]));
    }
    let layout = Layout::array::<T>(count).ok()?;
    // SAFETY: the layout has a size above zero: neither of the two callers' types is empty.
    let pointer = unsafe { alloc_zeroed(layout) }.cast::<T>();
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the block was allocated by the global allocator with the layout of `[T; count]`, zero is a
    // valid `T` by the caller's word, and nobody else holds the pointer.
    Some(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(pointer, count)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn words_are_zero_and_absurd_sizes_are_refused() {
        assert!(zeroed_words(1000).unwrap().iter().all(|w| w.load(Relaxed) == 0));
        assert!(zeroed_words(0).unwrap().is_empty());
        assert!(zeroed_words(usize::MAX / 2).is_none());
    }
}
