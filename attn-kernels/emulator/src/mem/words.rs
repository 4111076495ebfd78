//! The words an allocation stands in: its own, or pages that the host program reads and writes too.

use super::zeroed::{zeroed_pages, zeroed_words};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// Words of one page: drivers give out page-locked memory in pages.
const PAGE_WORDS: usize = 1024;

/// One page, zeroed when it is made.
#[repr(align(4096))]
pub(super) struct Page(
    #[expect(dead_code, reason = "used as the words of a whole slice of pages")]
    [AtomicU32; PAGE_WORDS],
);

/// Pages of host memory that a kernel may reach as well (page-locked and managed memory). They stay
/// until their last holder is gone, so a launch that still runs never reads memory that was given back.
pub(crate) struct HostPages(Box<[Page]>);

impl HostPages {
    /// Zeroed pages with room for `bytes`; `None` if the host has not that much memory.
    pub(crate) fn new(bytes: usize) -> Option<Arc<Self>> {
        let pages = zeroed_pages(bytes.div_ceil(size_of::<Page>()))?;
        Some(Arc::new(Self(pages)))
    }

    /// The address of the first byte, for the host and, since addresses are unified, for kernels. The
    /// host program uses it like a pointer from `malloc`, beside the atomic accesses of kernels.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr().expose_provenance()
    }
}

/// A slice of words: allocated for it alone, or those of `pages`.
pub(super) struct Words {
    start: NonNull<AtomicU32>,
    count: usize,
    pages: Option<Arc<HostPages>>,
}

// SAFETY: `start` points to memory that is `self`'s own or held by `pages`; it holds atomics, which
// threads may share.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// `count` words of zero, or `None` if the host has not that much memory.
    pub(super) fn zeroed(count: usize) -> Option<Self> {
        let own = NonNull::new(Box::into_raw(zeroed_words(count)?))?;
        Some(Self { start: own.cast(), count, pages: None })
    }

    /// All words of `pages`.
    pub(super) fn of(pages: &Arc<HostPages>) -> Self {
        let (start, count) = (NonNull::from(&*pages.0).cast(), pages.0.len() * PAGE_WORDS);
        Self { start, count, pages: Some(Arc::clone(pages)) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if self.pages.is_none() {
            let own = std::ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.count);
            // SAFETY: without pages, this is the box that `zeroed` took apart, and it goes only once.
            drop(unsafe { Box::from_raw(own) });
        }
    }
}

impl Deref for Words {
    type Target = [AtomicU32];

    #[inline]
    fn deref(&self) -> &[AtomicU32] {
        // SAFETY: `start` and `count` are those of words that are `self`'s own or that `pages` holds,
        // neither moved nor freed before `self` is; a `Page` is nothing but its words.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn pages_are_the_same_words_for_host_and_device_and_outlive_their_maker() {
        let pages = HostPages::new(5000).unwrap();
        assert!(pages.address().is_multiple_of(4096));
        let (words, again) = (Words::of(&pages), Words::of(&pages));
        assert_eq!(words.len(), 2048);
        words[1500].store(7, Relaxed);
        let host = std::ptr::with_exposed_provenance::<u32>(pages.address());
        // SAFETY: the 1500th word of 2048, to which nobody writes now.
        assert_eq!(unsafe { host.add(1500).read() }, 7);
        drop((pages, words));
        assert_eq!(again[1500].load(Relaxed), 7);
        assert!(Words::zeroed(10).unwrap().iter().all(|word| word.load(Relaxed) == 0));
    }
}
