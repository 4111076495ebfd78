//! The memory of a cache: zero pages from the system, on huge pages where it grants them.

use memmap2::MmapMut;

use crate::error::Error;

/// A huge page on the machines that have them; the pool begins at a multiple of it.
const ALIGN: usize = 2 << 20;

/// Zeroed memory for blocks. Pages are used only once they are written.
#[derive(Debug)]
pub(crate) struct Pool {
    map: MmapMut,
    start: usize,
    len: usize,
    huge_pages: bool,
}

impl Pool {
    /// Asks the system for `len` bytes (at least 1) and for huge pages under them.
    pub(crate) fn new(len: usize) -> Result<Self, Error> {
        let refuse = |reason: String| Error::OutOfMemory { bytes: len, reason };
        let padded = len.checked_add(ALIGN).ok_or_else(|| refuse("size overflows".into()))?;
        let map = MmapMut::map_anon(padded).map_err(|e| refuse(e.to_string()))?;
        let start = map.as_ptr().align_offset(ALIGN).min(ALIGN);
        let huge_pages = len >= ALIGN && advise_huge(&map);
        Ok(Self { map, start, len, huge_pages })
    }

    /// Whether the system took the wish for huge pages.
    pub(crate) fn huge_pages(&self) -> bool {
        self.huge_pages
    }

    /// Bytes that lie on huge pages now, as far as the system tells: it counts by mapping, and
    /// may have joined this one with a neighbour.
    pub(crate) fn huge_bytes(&self) -> usize {
        let from = self.bytes().as_ptr().addr();
        huge_bytes_between(from, from + self.len).min(self.len)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map[self.start..self.start + self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..self.start + self.len]
    }
}

#[cfg(target_os = "linux")]
fn advise_huge(map: &MmapMut) -> bool {
    let never = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
        .is_ok_and(|mode| mode.contains("[never]"));
    !never && map.advise(memmap2::Advice::HugePage).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_: &MmapMut) -> bool {
    false
}

/// Sums `AnonHugePages` of the mappings that overlap `from..to` (proc(5), `/proc/pid/smaps`).
fn huge_bytes_between(from: usize, to: usize) -> usize {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let (mut inside, mut sum) = (false, 0);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        let address = |s| usize::from_str_radix(s, 16).ok();
        if let Some((a, b)) = first.split_once('-')
            && let (Some(a), Some(b)) = (address(a), address(b))
        {
            inside = a < to && b > from;
        } else if inside && first == "AnonHugePages:" {
            sum += words.next().and_then(|kb| kb.parse::<usize>().ok()).unwrap_or(0) << 10;
        }
    }
    sum
}
