//! The address space: which allocation stands where, with guard space between, and which ranges were
//! freed. Addresses are never given twice, so a stale pointer is always known as one.

use super::{Allocation, HostPages};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// First address given out; far above the windows of shared, local and param memory.
const FIRST: u64 = 0x7f00_0000_0000 >> 3;
/// One past the last: 48 bits.
const LAST: u64 = 1 << 47;
/// Unmapped bytes after each allocation.
const GUARD: u64 = 1 << 20;
/// Alignment of every allocation, as the CUDA driver promises.
const ALIGN: u64 = 512;

/// The allocations at one moment, in order of address. A launch keeps one, so its hot path takes no lock.
pub(crate) type Snapshot = Arc<Vec<Arc<Allocation>>>;

/// Why memory could not be had or given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// More than the device, or the host, has; the free bytes.
    Full(u64),
    /// No allocation starts there.
    Unknown,
}

/// What a range of addresses touches.
pub(crate) enum Place {
    /// All of it is in the allocation, from that offset.
    Inside(Arc<Allocation>, u64),
    /// It leaves every live allocation. The nearest one below (or above), as (name, base, size), and
    /// whether it was freed.
    Outside(Option<(String, u64, u64, bool)>),
}

struct Freed {
    base: u64,
    size: u64,
    name: String,
}

struct Book {
    next: u64,
    used: u64,
    count: u64,
    freed: Vec<Freed>,
}

/// The global memory of a device.
pub(crate) struct AddressSpace {
    live: RwLock<Snapshot>,
    book: Mutex<Book>,
    total: u64,
}

impl AddressSpace {
    pub(crate) fn new(total: u64) -> Self {
        let book = Book { next: FIRST, used: 0, count: 0, freed: Vec::new() };
        Self { live: RwLock::default(), book: Mutex::new(book), total }
    }

    /// (free, total) bytes.
    pub(crate) fn info(&self) -> (u64, u64) {
        (self.total - self.lock().used, self.total)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `size` bytes (above zero); without a name it is called by its number.
    pub(crate) fn alloc(
        &self,
        name: Option<&str>,
        size: usize,
        align: u64,
        read_only: bool,
    ) -> Result<Arc<Allocation>, Trouble> {
        let mut book = self.lock();
        let free = self.total - book.used;
        let bytes = size as u64;
        let align = align.max(ALIGN);
        let base = book.next.next_multiple_of(align);
        if bytes > free || LAST - base < bytes.saturating_add(GUARD) {
            return Err(Trouble::Full(free));
        }
        let name = name.map_or_else(|| format!("#{}", book.count), str::to_owned);
        let made = Allocation::new(base, size, name, read_only).ok_or(Trouble::Full(free))?;
        let made = Arc::new(made);
        book.count += 1;
        book.used += bytes;
        book.next = base + bytes + GUARD;
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        // Mostly the last: only memory of the host stands at higher addresses.
        let at = live.partition_point(|a| a.base < base);
        Arc::make_mut(&mut live).insert(at, Arc::clone(&made));
        Ok(made)
    }

    /// Lets kernels reach the first `size` bytes of `pages`, at the host's own address.
    pub(crate) fn map(&self, pages: &Arc<HostPages>, size: usize) -> Result<(), Trouble> {
        let mut book = self.lock();
        let full = Trouble::Full(self.total - book.used);
        let name = format!("#{} of the host", book.count);
        let made = Arc::new(Allocation::of_host(pages, size, name).ok_or(full)?);
        let (base, end) = (made.base, made.base + made.size);
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let at = live.partition_point(|a| a.base < base);
        // The host's addresses are not ours to choose: none of the device's stands there, but one
        // could.
        let before = at.checked_sub(1).is_some_and(|i| live[i].base + live[i].size > base);
        if before || live.get(at).is_some_and(|next| next.base < end) {
            return Err(full);
        }
        book.count += 1;
        // The host's allocator, unlike this one, gives an address again.
        book.freed.retain(|f| f.base >= end || f.base + f.size <= base);
        Arc::make_mut(&mut live).insert(at, made);
        Ok(())
    }

    /// Frees the allocation that starts at `base`; its name and range stay known.
    pub(crate) fn free(&self, base: u64) -> Result<(), Trouble> {
        let mut book = self.lock();
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let at = live.binary_search_by_key(&base, |a| a.base).map_err(|_| Trouble::Unknown)?;
        let gone = Arc::make_mut(&mut live).remove(at);
        if !gone.of_host {
            book.used -= gone.size;
        }
        book.freed.push(Freed { base, size: gone.size, name: gone.name.clone() });
        Ok(())
    }

    /// What the `bytes` from `address` touch.
    pub(crate) fn place(&self, address: u64, bytes: u64) -> Place {
        let live = self.snapshot();
        let after = live.partition_point(|a| a.base <= address);
        if let Some(a) = after.checked_sub(1).map(|i| &live[i]) {
            let offset = address - a.base;
            if bytes <= a.size && offset <= a.size - bytes {
                return Place::Inside(Arc::clone(a), offset);
            }
            if offset < a.size + GUARD / 2 {
                return Place::Outside(Some((a.name.clone(), a.base, a.size, false)));
            }
        }
        let book = self.lock();
        let stale = book.freed.iter().find(|f| {
            address.saturating_add(bytes) > f.base && address < f.base + f.size + GUARD / 2
        });
        if let Some(f) = stale {
            let inside = address >= f.base && address < f.base + f.size;
            return Place::Outside(Some((f.name.clone(), f.base, f.size, inside)));
        }
        let near = live.get(after).filter(|a| a.base - address <= GUARD / 2);
        Place::Outside(near.map(|a| (a.name.clone(), a.base, a.size, false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_have_guard_space_and_the_nearest_is_named() {
        let space = AddressSpace::new(1 << 20);
        let a = space.alloc(Some("a"), 100, 1, false).unwrap();
        let b = space.alloc(None, 100, 1, false).unwrap();
        assert!(b.base - a.base >= 100 + GUARD && b.base.is_multiple_of(ALIGN) && b.name == "#1");
        assert!(matches!(space.place(a.base + 96, 4), Place::Inside(x, 96) if x.name == "a"));
        for address in [a.base + 97, a.base + 100, a.base - 1] {
            let Place::Outside(Some((name, _, size, freed))) = space.place(address, 4) else {
                panic!("{address:#x} is outside")
            };
            assert_eq!((name.as_str(), size, freed), ("a", 100, false));
        }
        assert!(matches!(space.place(0, 4), Place::Outside(None)));
    }

    #[test]
    fn freed_ranges_stay_known_and_addresses_are_not_reused() {
        let space = AddressSpace::new(1000);
        let a = space.alloc(Some("a"), 600, 1, false).unwrap().base;
        assert!(matches!(space.alloc(None, 600, 1, false), Err(Trouble::Full(400))));
        space.free(a).unwrap();
        assert_eq!(space.free(a), Err(Trouble::Unknown));
        let b = space.alloc(Some("b"), 600, 1, false).unwrap().base;
        assert_ne!(a, b);
        assert_eq!(space.info(), (400, 1000));
        assert!(matches!(space.place(a + 8, 4), Place::Outside(Some((n, _, _, true))) if n == "a"));
    }

    #[test]
    fn memory_of_the_host_keeps_its_address_and_takes_none_of_the_device() {
        let space = AddressSpace::new(1000);
        let pages = HostPages::new(5000).unwrap();
        let base = pages.address() as u64;
        space.map(&pages, 5000).unwrap();
        let after = space.alloc(Some("after"), 8, 1, false).unwrap();
        assert_eq!(space.info(), (992, 1000));
        assert!(space.snapshot().is_sorted_by_key(|a| a.base) && after.base < base);
        let Place::Inside(a, 4996) = space.place(base + 4996, 4) else { panic!("it is inside") };
        assert!(a.written(4996, 4) && matches!(space.place(base + 4997, 4), Place::Outside(_)));
        assert_eq!(space.map(&pages, 8), Err(Trouble::Full(992)), "it stands there already");
        space.free(base).unwrap();
        assert_eq!(space.info(), (992, 1000));
        assert!(matches!(space.place(base, 4), Place::Outside(Some((_, _, 5000, true)))));
        space.map(&pages, 8).unwrap();
        assert!(matches!(space.place(base, 4), Place::Inside(..)), "an address may come again");
    }
}
