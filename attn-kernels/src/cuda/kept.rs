//! Words that the device has already: sent when they change, not with every call.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Driver;
use crate::error::Error;

/// A list of the host with its copy on the device, in memory that stays where it is while the list
/// does not grow.
#[derive(Debug)]
pub(crate) struct Kept<T, M>(Mutex<Copied<T, M>>);

#[derive(Debug)]
struct Copied<T, M> {
    /// What is in the memory; `None` where that is not known.
    items: Option<Vec<T>>,
    /// With its size in bytes.
    memory: Option<(M, usize)>,
}

impl<T, M> Default for Kept<T, M> {
    fn default() -> Self {
        Self(Mutex::new(Copied { items: None, memory: None }))
    }
}

/// Where a list is on the device. While this is there nobody replaces the list: it is to live until
/// what reads the address was launched.
#[derive(Debug)]
#[must_use = "another thread may replace the list once this is gone"]
pub(crate) struct Placed<'a, T, M> {
    pub(crate) at: u64,
    _list: MutexGuard<'a, Copied<T, M>>,
}

impl<T: PartialEq, M> Kept<T, M> {
    /// Where `len` items are on the device. They are sent, as `bytes` makes them, where they differ
    /// from those given last; else nothing is allocated, on neither side, and nothing sent.
    pub(crate) fn place<D: Driver<Memory = M>>(
        &self,
        driver: &D,
        len: usize,
        item: impl Fn(usize) -> T,
        bytes: impl FnOnce(&[T]) -> Vec<u8>,
    ) -> Result<Placed<'_, T, M>, Error> {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *list;
        let same = |have: &Vec<T>| have.len() == len && (0..len).all(|i| have[i] == item(i));
        if let (Some(have), Some((memory, _))) = (&kept.items, &kept.memory)
            && same(have)
        {
            let at = driver.address(memory);
            return Ok(Placed { at, _list: list });
        }
        let items: Vec<T> = (0..len).map(&item).collect();
        let sent = bytes(&items);
        let grown = match &kept.memory {
            Some((_, size)) if *size >= sent.len() => None,
            _ => {
                let size = sent.len().next_power_of_two().max(64);
                Some((driver.alloc(size)?, size))
            }
        };
        // What fails on the way leaves nothing that claims to be there.
        kept.items = None;
        if let Some(grown) = grown {
            kept.memory = Some(grown);
        }
        let (memory, _) = kept.memory.as_ref().expect("it was there, or has just been made");
        driver.write(memory, 0, &sent)?;
        let at = driver.address(memory);
        kept.items = Some(items);
        Ok(Placed { at, _list: list })
    }
}

impl<M> Kept<u32, M> {
    /// Floats, one per head, compared by their bits.
    pub(crate) fn place_floats<D: Driver<Memory = M>>(
        &self,
        driver: &D,
        len: usize,
        value: impl Fn(usize) -> f32,
    ) -> Result<Placed<'_, u32, M>, Error> {
        let bytes = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.place(driver, len, |i| value(i).to_bits(), bytes)
    }
}
