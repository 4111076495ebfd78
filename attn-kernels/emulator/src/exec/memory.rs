//! Loads and stores of every space. An access of a lane is one aligned block of 1 to 32 bytes,
//! handled as words; the registers are cut out of it.

use super::cta::Cta;
use super::local::{load_local, store_local};
use super::moves::space_of;
use super::regs::{Lanes, lanes};
use super::stop::Stop;
use super::warp::Warp;
use crate::check::FaultKind;
use crate::count::{sectors, wavefronts};
use crate::isa::{Access, Addr, Num, Ordering, Reg, Space, Src};
use crate::mem::Allocation;

/// A memory access of a warp.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    /// Place of the instruction.
    pub(super) pc: u32,
    /// Addresses in the space, and the lanes that use them.
    pub(super) at: &'a Lanes<u64>,
    pub(super) mask: u32,
    /// Bytes per lane.
    pub(super) bytes: u32,
    /// Not `weak`: orders, and does not race with its like.
    pub(super) strong: bool,
}

fn bad_size(mask: u32, bytes: usize) -> Stop {
    Stop::new(FaultKind::IllegalOperand, mask, format!("an access of {bytes} bytes"))
}

impl Cta<'_> {
    pub(super) fn load(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        mask: u32,
        access: Access,
        dst: &[Option<Reg>],
        addr: &Addr,
    ) -> Result<(), Stop> {
        let bytes = access.ty.bits() as usize / 8 * dst.len();
        match bytes {
            1 | 2 | 4 => self.load_words::<1>(warp, pc, mask, access, dst, addr),
            8 => self.load_words::<2>(warp, pc, mask, access, dst, addr),
            16 => self.load_words::<4>(warp, pc, mask, access, dst, addr),
            32 => self.load_words::<8>(warp, pc, mask, access, dst, addr),
            _ => Err(bad_size(mask, bytes)),
        }
    }

    fn load_words<const N: usize>(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        mask: u32,
        access: Access,
        dst: &[Option<Reg>],
        addr: &Addr,
    ) -> Result<(), Stop> {
        let at = warp.addresses(addr, mask)?;
        let bytes = access.ty.bits() / 8 * dst.len() as u32;
        let strong = !matches!(access.order, Ordering::Weak);
        let mut words = [[0u32; 32]; N];
        let mut rest = mask;
        while rest != 0 {
            let (space, mask) = same_space(access.space, &at, rest);
            rest &= !mask;
            let near = offsets(access.space, space, &at);
            let at = near.as_ref().unwrap_or(&at);
            let request = Request { pc, at, mask, bytes, strong };
            match space {
                Space::Shared => self.load_shared(warp, request, &mut words)?,
                Space::Local => {
                    load_local(warp, request, self.grid.checks.uninitialized, &mut words)?;
                }
                Space::Param => self.load_param(request, &mut words)?,
                _ => self.load_global(warp, request, &mut words)?,
            }
        }
        let element = access.ty.bits();
        for (i, &dst) in dst.iter().enumerate() {
            let Some(dst) = dst else { continue };
            if element == 64 {
                let out = std::array::from_fn(|l| {
                    u64::from(words[2 * i % N][l]) | u64::from(words[(2 * i + 1) % N][l]) << 32
                });
                warp.regs.put64(dst, mask, &out);
            } else if element == 32 && (!access.ty.signed() || matches!(dst, Reg::R32(_))) {
                warp.regs.put32(dst, mask, &words[i % N]);
            } else {
                let shift = i as u32 * element;
                let word = &words[shift as usize / 32 % N];
                let out = word.map(|w| extend(access.ty, w >> (shift % 32)));
                warp.regs.put64(dst, mask, &out);
            }
        }
        Ok(())
    }

    /// The allocation that the lowest lane of a request is in, and the lanes that are in it too.
    pub(super) fn find(&mut self, request: Request<'_>) -> Result<(usize, u32), Stop> {
        let live = &self.grid.snapshot;
        let first = request.mask.trailing_zeros() as usize & 31;
        let address = request.at[first];
        let inside = |a: &Allocation| address.wrapping_sub(a.base) < a.size;
        if !live.get(self.recent).is_some_and(|a| inside(a)) {
            let after = live.partition_point(|a| a.base <= address);
            match after.checked_sub(1) {
                Some(i) if inside(&live[i]) => self.recent = i,
                _ => {
                    let stop = Stop::new(
                        FaultKind::OutOfBounds,
                        1 << first,
                        format!("{} bytes of global memory", request.bytes),
                    );
                    return Err(stop.at_global(address, request.bytes.into()));
                }
            }
        }
        let a = &live[self.recent];
        let mut found = 0;
        let mut tail = 0;
        let limit = a.size.wrapping_sub(request.bytes.into());
        for lane in 0..32 {
            let offset = request.at[lane].wrapping_sub(a.base);
            found |= u32::from(offset < a.size) << lane;
            tail |= u32::from(offset < a.size && (offset > limit || limit > a.size)) << lane;
        }
        let tail = tail & request.mask;
        if tail != 0 {
            let lane = tail.trailing_zeros() as usize;
            let detail = format!("{} bytes of global memory, past the end", request.bytes);
            let stop = Stop::new(FaultKind::OutOfBounds, 1 << lane, detail);
            return Err(stop.at_global(request.at[lane], request.bytes.into()));
        }
        Ok((self.recent, found & request.mask))
    }

    fn load_global<const N: usize>(
        &mut self,
        warp: &Warp,
        request: Request<'_>,
        words: &mut [Lanes<u32>; N],
    ) -> Result<(), Stop> {
        if request.strong {
            self.acquire_global(warp);
        }
        aligned(request, true)?;
        let check = self.grid.checks.uninitialized;
        let mut rest = request.mask;
        while rest != 0 {
            let (index, mask) = self.find(Request { mask: rest, ..request })?;
            rest &= !mask;
            let a = &*self.grid.snapshot[index];
            let mut unwritten = 0u32;
            for lane in lanes(mask) {
                let offset = request.at[lane] - a.base;
                if !a.written(offset, request.bytes) {
                    unwritten |= 1 << lane;
                }
                for (k, word) in words.iter_mut().enumerate() {
                    word[lane] = a.word(offset + 4 * k as u64) >> (offset % 4 * 8);
                }
            }
            if check && unwritten != 0 {
                let lane = unwritten.trailing_zeros() as usize;
                let detail = format!("{} bytes of global memory", request.bytes);
                let stop = Stop::new(FaultKind::UninitializedMemory, unwritten, detail);
                return Err(stop.at_global(request.at[lane], request.bytes.into()));
            }
        }
        let bytes = u64::from(request.mask.count_ones() * request.bytes);
        if request.strong {
            self.release_global(warp);
        }
        let site = &mut self.tally.sites[request.pc as usize];
        site.load.add(bytes, sectors(request.at, request.mask));
        Ok(())
    }

    fn load_shared<const N: usize>(
        &mut self,
        warp: &Warp,
        request: Request<'_>,
        words: &mut [Lanes<u32>; N],
    ) -> Result<(), Stop> {
        let Request { mask, bytes, .. } = request;
        let at = self.shared.admit(request.at, mask, bytes)?;
        for lane in lanes(mask) {
            let me = warp.thread(lane);
            if request.strong {
                self.acquire_shared(warp, at[lane]);
                self.shared.atomic(at[lane], bytes, me, true, false)?;
                for (k, word) in words.iter_mut().enumerate() {
                    word[lane] = self.shared.peek(at[lane] + 4 * k as u32) >> (at[lane] % 4 * 8);
                }
                self.release_shared(warp, at[lane]);
            } else if bytes < 4 {
                words[0][lane] = self.shared.read_part(at[lane], bytes, me)?;
            } else {
                for (k, word) in words.iter_mut().enumerate() {
                    word[lane] = self.shared.read_word(at[lane] + 4 * k as u32, me)?;
                }
            }
        }
        self.note_early(warp, request.pc);
        self.count_shared(request.pc, &at, mask, bytes, true);
        Ok(())
    }

    /// Counts a request of shared memory.
    pub(super) fn count_shared(
        &mut self,
        pc: u32,
        at: &Lanes<u32>,
        mask: u32,
        bytes: u32,
        load: bool,
    ) {
        let (passes, conflicts) = wavefronts(at, mask, bytes);
        let site = &mut self.tally.sites[pc as usize];
        let traffic = if load { &mut site.shared_load } else { &mut site.shared_store };
        traffic.add(u64::from(mask.count_ones() * bytes), passes, conflicts);
    }

    fn load_param<const N: usize>(
        &mut self,
        request: Request<'_>,
        words: &mut [Lanes<u32>; N],
    ) -> Result<(), Stop> {
        aligned(request, false)?;
        let params = self.grid.params;
        let size = request.bytes.min(4) as usize;
        for lane in lanes(request.mask) {
            let at = request.at[lane] & 0xffff_ffff;
            for (k, word) in words.iter_mut().enumerate() {
                let start = at as usize + 4 * k;
                let Some(part) = params.get(start..start + size) else {
                    let detail = format!("a parameter buffer of {} bytes", params.len());
                    return Err(Stop::new(FaultKind::OutOfBounds, 1 << lane, detail).at(at));
                };
                let mut bytes = [0; 4];
                bytes[..size].copy_from_slice(part);
                word[lane] = u32::from_le_bytes(bytes);
            }
        }
        Ok(())
    }

    pub(super) fn store(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        mask: u32,
        access: Access,
        src: &[Src],
        addr: &Addr,
    ) -> Result<(), Stop> {
        let bytes = access.ty.bits() as usize / 8 * src.len();
        match bytes {
            1 | 2 | 4 => self.store_words::<1>(warp, pc, mask, access, src, addr),
            8 => self.store_words::<2>(warp, pc, mask, access, src, addr),
            16 => self.store_words::<4>(warp, pc, mask, access, src, addr),
            32 => self.store_words::<8>(warp, pc, mask, access, src, addr),
            _ => Err(bad_size(mask, bytes)),
        }
    }

    fn store_words<const N: usize>(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        mask: u32,
        access: Access,
        src: &[Src],
        addr: &Addr,
    ) -> Result<(), Stop> {
        let at = warp.addresses(addr, mask)?;
        let element = access.ty.bits();
        let mut words = [[0u32; 32]; N];
        for (i, &src) in src.iter().enumerate() {
            if element == 64 {
                let value = warp.regs.copy64(src, mask)?;
                words[2 * i % N] = value.map(|v| v as u32);
                words[(2 * i + 1) % N] = value.map(|v| (v >> 32) as u32);
            } else {
                let value = warp.regs.copy32(src, mask)?;
                let shift = i as u32 * element;
                let field = u32::MAX >> (32 - element);
                let word = &mut words[shift as usize / 32 % N];
                for (to, from) in word.iter_mut().zip(value) {
                    *to |= (from & field) << (shift % 32);
                }
            }
        }
        let bytes = element / 8 * src.len() as u32;
        let strong = !matches!(access.order, Ordering::Weak);
        let mut rest = mask;
        while rest != 0 {
            let (space, mask) = same_space(access.space, &at, rest);
            rest &= !mask;
            let near = offsets(access.space, space, &at);
            let at = near.as_ref().unwrap_or(&at);
            let request = Request { pc, at, mask, bytes, strong };
            match space {
                Space::Shared => self.store_shared(warp, request, &words)?,
                Space::Local => store_local(warp, request, &words)?,
                Space::Param => {
                    let lane = mask.trailing_zeros() as usize;
                    let stop = Stop::new(FaultKind::ReadOnly, mask, "a kernel parameter");
                    return Err(stop.at(at[lane]));
                }
                _ => self.store_global(warp, request, &words)?,
            }
        }
        Ok(())
    }

    fn store_global<const N: usize>(
        &mut self,
        warp: &Warp,
        request: Request<'_>,
        words: &[Lanes<u32>; N],
    ) -> Result<(), Stop> {
        if request.strong {
            self.acquire_global(warp);
        }
        aligned(request, true)?;
        let mut rest = request.mask;
        while rest != 0 {
            let (index, mask) = self.find(Request { mask: rest, ..request })?;
            rest &= !mask;
            let a = &*self.grid.snapshot[index];
            writable(a, request, mask)?;
            for lane in lanes(mask) {
                let offset = request.at[lane] - a.base;
                if request.bytes < 4 {
                    a.set_part(offset, request.bytes, words[0][lane]);
                } else {
                    for (k, word) in words.iter().enumerate() {
                        a.set_word(offset + 4 * k as u64, word[lane]);
                    }
                }
            }
        }
        let bytes = u64::from(request.mask.count_ones() * request.bytes);
        if request.strong {
            self.release_global(warp);
        }
        let site = &mut self.tally.sites[request.pc as usize];
        site.store.add(bytes, sectors(request.at, request.mask));
        Ok(())
    }

    fn store_shared<const N: usize>(
        &mut self,
        warp: &Warp,
        request: Request<'_>,
        words: &[Lanes<u32>; N],
    ) -> Result<(), Stop> {
        let Request { mask, bytes, .. } = request;
        let at = self.shared.admit(request.at, mask, bytes)?;
        for lane in lanes(mask) {
            let me = warp.thread(lane);
            if request.strong {
                self.acquire_shared(warp, at[lane]);
                self.shared.atomic(at[lane], bytes, me, false, true)?;
                let mut data = [0; 32];
                for (part, word) in data.chunks_exact_mut(4).zip(words) {
                    part.copy_from_slice(&word[lane].to_le_bytes());
                }
                self.shared.poke(at[lane], &data[..bytes as usize]);
                self.release_shared(warp, at[lane]);
            } else if bytes < 4 {
                self.shared.write_part(at[lane], bytes, words[0][lane], me)?;
            } else {
                for (k, word) in words.iter().enumerate() {
                    self.shared.write_word(at[lane] + 4 * k as u32, word[lane], me)?;
                }
            }
        }
        self.count_shared(request.pc, &at, mask, bytes, false);
        Ok(())
    }

    /// `prefetch`: the address must be a valid one; nothing else happens.
    pub(super) fn prefetch(
        &mut self,
        warp: &Warp,
        mask: u32,
        space: Space,
        addr: &Addr,
    ) -> Result<(), Stop> {
        let at = warp.addresses(addr, mask)?;
        let mut rest = mask;
        while rest != 0 {
            let (space, lanes) = same_space(space, &at, rest);
            rest &= !lanes;
            if space == Space::Global {
                let request = Request { pc: 0, at: &at, mask: lanes, bytes: 1, strong: false };
                let (_, found) = self.find(request)?;
                rest |= lanes & !found;
            }
        }
        Ok(())
    }

    /// Before an atomic or volatile access of global memory: what warps did before theirs comes first.
    pub(super) fn acquire_global(&mut self, warp: &Warp) {
        self.shared.shadow.order.acquire(warp.index as usize, &self.global_clock);
    }

    /// After it.
    pub(super) fn release_global(&mut self, warp: &Warp) {
        self.shared.shadow.order.release(warp.index as usize, &mut self.global_clock);
    }

    /// The same for one word of shared memory.
    pub(super) fn acquire_shared(&mut self, warp: &Warp, at: u32) {
        if let Some(clock) = self.words.get(&(at >> 2)) {
            self.shared.shadow.order.acquire(warp.index as usize, clock);
        }
    }

    /// After it.
    pub(super) fn release_shared(&mut self, warp: &Warp, at: u32) {
        let clock = self.words.entry(at >> 2).or_default();
        self.shared.shadow.order.release(warp.index as usize, clock);
    }
}

/// The value of a narrow element as a register of 64 bits holds it.
#[inline]
fn extend(ty: Num, bits: u32) -> u64 {
    let unused = 64 - ty.bits();
    let high = u64::from(bits) << unused;
    if ty.signed() { ((high as i64) >> unused) as u64 } else { high >> unused }
}

/// The offsets in its window of a generic request, if it goes to one.
pub(super) fn offsets(written: Space, space: Space, at: &Lanes<u64>) -> Option<Lanes<u64>> {
    let window = written == Space::Generic && space != Space::Global;
    window.then(|| at.map(|a| a & 0xffff_ffff))
}

/// The space of the lowest lane, and the lanes that are in the same.
pub(super) fn same_space(space: Space, at: &Lanes<u64>, mask: u32) -> (Space, u32) {
    if space != Space::Generic {
        return (space, mask);
    }
    let first = space_of(at[mask.trailing_zeros() as usize & 31]);
    let same = lanes(mask).filter(|&l| space_of(at[l]) == first).fold(0, |all, l| all | 1 << l);
    (first, same)
}

/// Checks the alignment of a request.
pub(super) fn aligned(request: Request<'_>, global: bool) -> Result<(), Stop> {
    let low = u64::from(request.bytes - 1);
    let off = lanes(request.mask).fold(0, |all, l| all | request.at[l]) & low;
    if off == 0 {
        return Ok(());
    }
    let lane = lanes(request.mask).find(|&l| request.at[l] & low != 0).unwrap_or(0);
    let stop = Stop::new(FaultKind::Misaligned, 1 << lane, format!("{} bytes", request.bytes));
    let (address, bytes) = (request.at[lane], request.bytes.into());
    Err(if global { stop.at_global(address, bytes) } else { stop.at(address) })
}

/// Refuses stores to constants.
pub(super) fn writable(a: &Allocation, request: Request<'_>, mask: u32) -> Result<(), Stop> {
    if !a.read_only {
        return Ok(());
    }
    let lane = mask.trailing_zeros() as usize & 31;
    let stop = Stop::new(FaultKind::ReadOnly, mask, "a .const variable");
    Err(stop.at_global(request.at[lane], request.bytes.into()))
}
