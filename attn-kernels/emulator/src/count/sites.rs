//! Counters per instruction of a kernel, and their sums.

/// The classes of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Moves, special registers, packing, address conversion.
    Move,
    /// Integer arithmetic, logic, bit fields.
    Integer,
    /// 16-bit floating point, packed or not.
    Half,
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// Functions of the special function unit: `ex2`, `lg2`, `rcp`, `rsqrt`, `sin`, `cos`, `tanh`, `sqrt`, `div`.
    Special,
    /// Conversions.
    Convert,
    /// Comparison, selection, predicates.
    Compare,
    /// Loads of global (and generic, if they went there) memory.
    GlobalLoad,
    /// Stores to it.
    GlobalStore,
    /// Loads of shared memory, `ldmatrix` included.
    SharedLoad,
    /// Stores to it.
    SharedStore,
    /// Local memory: spills and arrays of a thread.
    Local,
    /// Parameters and constants.
    Constant,
    /// Atomics and reductions in memory.
    Atomic,
    /// `cp.async`, its groups and waits.
    AsyncCopy,
    /// Shuffles, votes, `redux`, `bar.warp.sync`.
    Warp,
    /// `mma`, `movmatrix`.
    Matrix,
    /// Barriers of the CTA and mbarriers, fences.
    Barrier,
    /// Branches and exits.
    Control,
}

impl Class {
    /// All of them, in the order of the type.
    pub const ALL: [Self; 20] = [
        Self::Move,
        Self::Integer,
        Self::Half,
        Self::Float,
        Self::Double,
        Self::Special,
        Self::Convert,
        Self::Compare,
        Self::GlobalLoad,
        Self::GlobalStore,
        Self::SharedLoad,
        Self::SharedStore,
        Self::Local,
        Self::Constant,
        Self::Atomic,
        Self::AsyncCopy,
        Self::Warp,
        Self::Matrix,
        Self::Barrier,
        Self::Control,
    ];
}

/// Executions of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassCount {
    /// Once per warp (or part of a warp) that executed it.
    pub warp: u64,
    /// Once per thread whose guard was true.
    pub thread: u64,
}

/// Loads or stores of global memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GlobalTraffic {
    /// Instructions per warp that reached memory.
    pub requests: u64,
    /// Bytes that the threads asked for.
    pub bytes: u64,
    /// Distinct 32-byte sectors of each request, summed: what crosses from L1 to L2 without reuse.
    pub sectors: u64,
}

/// Loads or stores of shared memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedTraffic {
    /// Instructions per warp.
    pub requests: u64,
    /// Bytes that the threads asked for.
    pub bytes: u64,
    /// Passes over the 32 banks that the requests need.
    pub wavefronts: u64,
    /// Those of them that are due to bank conflicts.
    pub conflicts: u64,
}

/// The counts of one instruction of the PTX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// Its line, from 1.
    pub line: u32,
    /// Its class.
    pub class: Class,
    /// Executions by warps.
    pub warp: u64,
    /// Executions by threads.
    pub thread: u64,
    /// Requests that reached memory.
    pub requests: u64,
    /// Bytes requested.
    pub bytes: u64,
    /// 32-byte sectors (global) or wavefronts (shared).
    pub sectors: u64,
    /// Extra wavefronts of bank conflicts (shared), or executions that split the warp (branches).
    pub extra: u64,
}

/// The counts of a launch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// CTAs that ran.
    pub ctas: u64,
    /// Instructions executed by warps.
    pub warp_instructions: u64,
    /// Instructions executed by threads.
    pub thread_instructions: u64,
    /// Global loads (`cp.async` sources too).
    pub global_load: GlobalTraffic,
    /// Global stores.
    pub global_store: GlobalTraffic,
    /// Global atomics.
    pub global_atomic: GlobalTraffic,
    /// Shared loads, `ldmatrix` too.
    pub shared_load: SharedTraffic,
    /// Shared stores (`cp.async` destinations too).
    pub shared_store: SharedTraffic,
    /// `mma` instructions by warps.
    pub mma: u64,
    /// Multiply-adds of those.
    pub mma_macs: u64,
    /// Branches executed by warps.
    pub branches: u64,
    /// Those that went both ways.
    pub divergent_branches: u64,
    /// Arrivals of warps at CTA barriers.
    pub barriers: u64,
    /// Every instruction that ran, in the order of the text.
    pub sites: Vec<Site>,
    classes: [ClassCount; Class::ALL.len()],
}

impl Counters {
    /// The executions of one class.
    #[must_use]
    pub fn class(&self, class: Class) -> ClassCount {
        self.classes[class as usize]
    }

    /// Lanes that worked, of all that could have.
    #[must_use]
    pub fn lane_utilization(&self) -> f64 {
        self.thread_instructions as f64 / (32 * self.warp_instructions).max(1) as f64
    }

    /// The sites of one line of the text.
    pub fn line(&self, line: u32) -> impl Iterator<Item = &Site> {
        self.sites.iter().filter(move |site| site.line == line)
    }

    /// Sums up the tallies of a launch.
    pub(crate) fn of(tally: &Tally, facts: impl Iterator<Item = (u32, Class, u64)>) -> Self {
        let mut sums = Self { ctas: tally.ctas, ..Self::default() };
        for (t, (line, class, macs)) in tally.sites.iter().zip(facts) {
            if t.warp == 0 {
                continue;
            }
            sums.warp_instructions += t.warp;
            sums.thread_instructions += t.thread;
            let count = &mut sums.classes[class as usize];
            count.warp += t.warp;
            count.thread += t.thread;
            for (traffic, part) in [
                (&mut sums.global_load, t.load),
                (&mut sums.global_store, t.store),
                (&mut sums.global_atomic, t.atomic),
            ] {
                traffic.requests += part.requests;
                traffic.bytes += part.bytes;
                traffic.sectors += part.sectors;
            }
            for (traffic, part) in
                [(&mut sums.shared_load, t.shared_load), (&mut sums.shared_store, t.shared_store)]
            {
                traffic.requests += part.requests;
                traffic.bytes += part.bytes;
                traffic.wavefronts += part.wavefronts;
                traffic.conflicts += part.conflicts;
            }
            match class {
                Class::Matrix if macs > 0 => {
                    sums.mma += t.warp;
                    sums.mma_macs += t.warp * macs;
                }
                Class::Control => {
                    sums.branches += t.warp;
                    sums.divergent_branches += t.divergent;
                }
                Class::Barrier => sums.barriers += t.barriers,
                _ => {}
            }
            let global = [t.load, t.store, t.atomic];
            let shared = [t.shared_load, t.shared_store];
            sums.sites.push(Site {
                line,
                class,
                warp: t.warp,
                thread: t.thread,
                requests: global.iter().map(|g| g.requests).sum::<u64>()
                    + shared.iter().map(|s| s.requests).sum::<u64>(),
                bytes: global.iter().map(|g| g.bytes).sum::<u64>()
                    + shared.iter().map(|s| s.bytes).sum::<u64>(),
                sectors: global.iter().map(|g| g.sectors).sum::<u64>()
                    + shared.iter().map(|s| s.wavefronts).sum::<u64>(),
                extra: t.divergent + shared.iter().map(|s| s.conflicts).sum::<u64>(),
            });
        }
        sums
    }
}

/// What the machine counts at one instruction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SiteTally {
    pub(crate) warp: u64,
    pub(crate) thread: u64,
    pub(crate) divergent: u64,
    pub(crate) barriers: u64,
    pub(crate) load: GlobalTraffic,
    pub(crate) store: GlobalTraffic,
    pub(crate) atomic: GlobalTraffic,
    pub(crate) shared_load: SharedTraffic,
    pub(crate) shared_store: SharedTraffic,
}

/// What the machine counts: one entry per instruction. Sums do not depend on the order of CTAs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) ctas: u64,
    pub(crate) sites: Vec<SiteTally>,
}

impl Tally {
    pub(crate) fn new(instructions: usize) -> Self {
        Self { ctas: 0, sites: vec![SiteTally::default(); instructions] }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.ctas += other.ctas;
        for (a, b) in self.sites.iter_mut().zip(&other.sites) {
            a.warp += b.warp;
            a.thread += b.thread;
            a.divergent += b.divergent;
            a.barriers += b.barriers;
            a.load.merge(b.load);
            a.store.merge(b.store);
            a.atomic.merge(b.atomic);
            a.shared_load.merge(b.shared_load);
            a.shared_store.merge(b.shared_store);
        }
    }
}

impl GlobalTraffic {
    #[inline]
    pub(crate) fn add(&mut self, bytes: u64, sectors: u64) {
        self.merge(Self { requests: 1, bytes, sectors });
    }

    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.sectors += other.sectors;
    }
}

impl SharedTraffic {
    #[inline]
    pub(crate) fn add(&mut self, bytes: u64, wavefronts: u64, conflicts: u64) {
        self.merge(Self { requests: 1, bytes, wavefronts, conflicts });
    }

    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.wavefronts += other.wavefronts;
        self.conflicts += other.conflicts;
    }
}

/// How many distinct 32-byte sectors the active lanes touch. An aligned access of at most 32 bytes
/// touches one.
pub(crate) fn sectors(addresses: &[u64; 32], mask: u32) -> u64 {
    let mut previous = u64::MAX;
    let mut count = 0;
    let mut sorted = true;
    let mut rest = mask;
    while rest != 0 {
        let sector = addresses[rest.trailing_zeros() as usize] >> 5;
        sorted &= previous == u64::MAX || sector >= previous;
        count += u64::from(sector != previous);
        previous = sector;
        rest &= rest - 1;
    }
    if sorted {
        return count;
    }
    let mut list = [0u64; 32];
    let mut n = 0;
    let mut rest = mask;
    while rest != 0 {
        list[n] = addresses[rest.trailing_zeros() as usize] >> 5;
        n += 1;
        rest &= rest - 1;
    }
    list[..n].sort_unstable();
    1 + list[..n].windows(2).filter(|w| w[0] != w[1]).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_are_counted_once_in_any_order() {
        let at = |f: &dyn Fn(u64) -> u64| std::array::from_fn(|i| f(i as u64));
        assert_eq!(sectors(&at(&|i| 4 * i), !0), 4);
        assert_eq!(sectors(&at(&|i| 4 * (31 - i)), !0), 4);
        assert_eq!(sectors(&at(&|i| 16 * i), !0), 16);
        assert_eq!(sectors(&at(&|_| 4096), !0), 1);
        assert_eq!(sectors(&at(&|i| 128 * i), 0xf), 4);
        assert_eq!(sectors(&at(&|i| 32 * (i % 2)), !0), 2);
    }
}
