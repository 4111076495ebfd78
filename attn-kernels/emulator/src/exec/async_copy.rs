//! `cp.async` and `cp.async.bulk` (PTX ISA, "Data Movement and Conversion Instructions: Asynchronous
//! copy"). The source is read when the copy is issued; what was read reaches shared memory when it is
//! waited for (or when the mbarrier that waits for it is served). Until then the destination must not
//! be touched.

use super::cta::Cta;
use super::mbarrier::Complete;
use super::memory::{Request, aligned};
use super::regs::{Lanes, lanes};
use super::stop::Stop;
use super::warp::Warp;
use crate::check::FaultKind;
use crate::count::sectors;
use crate::isa::{Addr, Op};

/// One `cp.async` of a warp.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    /// Lanes whose part has not landed.
    lanes: u32,
    /// The group that the lanes committed it to, counted per lane.
    group: Option<u32>,
    bytes: u32,
    at: Lanes<u32>,
    data: [[u8; 16]; 32],
    /// Which bytes of the source were ever written.
    written: [u16; 32],
}

/// The copies of a warp that are under way.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    list: Vec<Copy>,
    /// Groups that each lane has committed.
    committed: Lanes<u32>,
}

impl Copies {
    pub(crate) fn reset(&mut self) {
        self.list.clear();
        self.committed = [0; 32];
    }

    /// `cp.async.commit_group`: what each lane has issued and not committed becomes its next group.
    pub(crate) fn commit(&mut self, mask: u32) {
        for i in 0..self.list.len() {
            let open = self.list[i].lanes & mask;
            if self.list[i].group.is_some() || open == 0 {
                continue;
            }
            if open != self.list[i].lanes {
                // The lanes that do not commit keep their part open.
                let mut rest = self.list[i].clone();
                rest.lanes &= !open;
                self.list[i].lanes = open;
                self.list.push(rest);
            }
            // Lanes may have committed different numbers of groups before.
            let mut left = open;
            while left != 0 {
                let group = self.committed[left.trailing_zeros() as usize];
                let same = lanes(left).filter(|&l| self.committed[l] == group);
                let same = same.fold(0, |all, l| all | 1 << l);
                left &= !same;
                if left == 0 {
                    self.list[i].lanes = same;
                    self.list[i].group = Some(group);
                } else {
                    let mut part = self.list[i].clone();
                    part.lanes = same;
                    part.group = Some(group);
                    self.list.push(part);
                }
            }
        }
        lanes(mask).for_each(|l| self.committed[l] += 1);
    }

    /// Bulk copies to global memory are done when they are issued.
    pub(crate) fn commit_bulk(&mut self, _mask: u32) {}
}

/// A copy that completes on an mbarrier.
#[derive(Debug)]
pub(crate) struct Landing {
    pieces: Vec<(u32, Vec<u8>, Option<Vec<bool>>)>,
    bar: u32,
    complete: Complete,
}

impl Cta<'_> {
    /// `cp.async`.
    pub(super) fn copy_async(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        mask: u32,
        op: &Op,
    ) -> Result<(), Stop> {
        let Op::CpAsync { bytes, dst, src, src_bytes, ignore, .. } = op else { return Ok(()) };
        let bytes = u32::from(*bytes);
        let to = warp.addresses(dst, mask)?;
        let from = warp.addresses(src, mask)?;
        let size = match src_bytes {
            Some(src) => warp.regs.copy32(*src, mask)?.map(|n| n.min(bytes)),
            None => [bytes; 32],
        };
        let ignored = match ignore {
            Some(p) => warp.regs.pred(*p, mask)?,
            None => 0,
        };
        let at = self.shared.admit(&to, mask, bytes)?;
        let request = Request { pc, at: &from, mask, bytes, strong: false };
        aligned(request, true)?;
        let mut copy = Copy {
            lanes: mask,
            group: None,
            bytes,
            at,
            data: [[0; 16]; 32],
            written: [u16::MAX; 32],
        };
        let reading = lanes(mask & !ignored).filter(|&l| size[l] > 0).fold(0, |m, l| m | 1 << l);
        let mut rest = reading;
        while rest != 0 {
            // Only the bytes that are read have to exist.
            let least = lanes(rest).map(|l| size[l]).min().unwrap_or(1);
            let (index, found) = self.find(Request { mask: rest, bytes: least, ..request })?;
            rest &= !found;
            let a = &*self.grid.snapshot[index];
            for lane in lanes(found) {
                let offset = from[lane] - a.base;
                let n = size[lane];
                if u64::from(n) > a.size - offset {
                    let detail = format!("{n} bytes of global memory, past the end");
                    let stop = Stop::new(FaultKind::OutOfBounds, 1 << lane, detail);
                    return Err(stop.at_global(from[lane], n.into()));
                }
                for (k, part) in copy.data[lane].chunks_exact_mut(4).enumerate() {
                    if 4 * (k as u32) < n {
                        let word = a.word(offset + 4 * k as u64);
                        let kept = (n - 4 * k as u32).min(4);
                        let word = word & (u32::MAX >> (32 - 8 * kept));
                        part.copy_from_slice(&word.to_le_bytes());
                    }
                }
                if !a.written(offset, n) {
                    for byte in 0..n {
                        if !a.written(offset + u64::from(byte), 1) {
                            copy.written[lane] &= !(1 << byte);
                        }
                    }
                }
            }
        }
        for lane in lanes(mask) {
            self.shared.start_copy(at[lane], bytes, warp.thread(lane))?;
        }
        let read: u32 = lanes(reading).map(|l| size[l]).sum();
        if reading != 0 {
            let site = &mut self.tally.sites[pc as usize];
            site.load.add(read.into(), sectors(&from, reading));
        }
        self.count_shared(pc, &at, mask, bytes, false);
        warp.copies.list.push(copy);
        Ok(())
    }

    /// `cp.async.wait_group` for all but the last `pending` groups; `None` waits for everything.
    pub(super) fn wait_copies(&mut self, warp: &mut Warp, mask: u32, pending: Option<u32>) {
        let committed = warp.copies.committed;
        let base = warp.index * 32;
        let mut i = 0;
        while i < warp.copies.list.len() {
            let copy = &mut warp.copies.list[i];
            let due = lanes(copy.lanes & mask).filter(|&lane| match (pending, copy.group) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(pending), Some(group)) => group < committed[lane].saturating_sub(pending),
            });
            let due = due.fold(0, |all, l| all | 1 << l);
            copy.lanes &= !due;
            for lane in lanes(due) {
                let data = &copy.data[lane][..copy.bytes as usize];
                let writer = base as u16 + lane as u16;
                self.shared.land(copy.at[lane], data, writer);
                self.unwrite(copy.at[lane], copy.bytes, |k| copy.written[lane] >> k & 1 == 1);
            }
            if copy.lanes == 0 {
                warp.copies.list.remove(i);
            } else {
                i += 1;
            }
        }
    }

    /// What was copied from unwritten bytes is as unwritten as they.
    fn unwrite(&mut self, at: u32, bytes: u32, written: impl Fn(u32) -> bool) {
        for k in 0..bytes {
            if !written(k) {
                self.shared.unwrite(at + k);
            }
        }
    }

    /// `cp.async.mbarrier.arrive`: arrives when all that the lanes have issued has landed.
    pub(super) fn copies_to_mbarrier(
        &mut self,
        warp: &mut Warp,
        mask: u32,
        noinc: bool,
        bar: &Addr,
    ) -> Result<(), Stop> {
        let at = warp.shared_addresses(bar, mask)?;
        let at = self.shared.admit(&at, mask, 8)?;
        for lane in lanes(mask) {
            if !noinc {
                self.expect_arrival(warp, lane, at[lane])?;
            }
            let mut pieces = Vec::new();
            for copy in &mut warp.copies.list {
                if copy.lanes >> lane & 1 == 1 {
                    copy.lanes &= !(1 << lane);
                    let bits = copy.written[lane];
                    let written = (0..copy.bytes).map(|k| bits >> k & 1 == 1).collect();
                    let data = copy.data[lane][..copy.bytes as usize].to_vec();
                    pieces.push((copy.at[lane], data, Some(written)));
                }
            }
            let complete = Complete::Arrive(warp.index);
            self.landings.push_back(Landing { pieces, bar: at[lane], complete });
        }
        warp.copies.list.retain(|c| c.lanes != 0);
        Ok(())
    }

    /// `cp.async.bulk` between global and shared memory.
    pub(super) fn bulk(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        mask: u32,
        op: &Op,
    ) -> Result<(), Stop> {
        let Op::Bulk { to_shared, dst, src, bytes, bar } = op else { return Ok(()) };
        let to = warp.addresses(dst, mask)?;
        let from = warp.addresses(src, mask)?;
        let sizes = warp.regs.copy32(*bytes, mask)?;
        let bars = match bar {
            Some(bar) => Some(warp.addresses(bar, mask)?),
            None => None,
        };
        for lane in lanes(mask) {
            let one = 1 << lane;
            let size = sizes[lane];
            if size % 16 != 0 {
                let detail = format!("a bulk copy of {size} bytes, it takes a multiple of 16");
                return Err(Stop::new(FaultKind::Misaligned, one, detail));
            }
            if size == 0 {
                continue;
            }
            let (global, near) =
                if *to_shared { (from[lane], to[lane]) } else { (to[lane], from[lane]) };
            let near = near & 0xffff_ffff;
            if near + u64::from(size) > u64::from(self.shared.bytes()) {
                let detail = format!("{size} bytes of shared memory");
                return Err(Stop::new(FaultKind::OutOfBounds, one, detail).at(near));
            }
            if (near | global) % 16 != 0 {
                let stop = Stop::new(FaultKind::Misaligned, one, "a bulk copy needs 16");
                return Err(if near % 16 != 0 {
                    stop.at(near)
                } else {
                    stop.at_global(global, 16)
                });
            }
            let request = Request { pc, at: &[global; 32], mask: one, bytes: size, strong: false };
            let (index, _) = self.find(request)?;
            let a = &*self.grid.snapshot[index];
            let offset = global - a.base;
            let near = near as u32;
            let me = warp.thread(lane);
            let sectors = u64::from(size).div_ceil(32);
            let site = &mut self.tally.sites[pc as usize];
            if *to_shared {
                let mut data = vec![0; size as usize];
                a.read(offset, &mut data);
                site.load.add(size.into(), sectors);
                let unwritten = a.first_unwritten(offset, size.into()).is_some();
                let written = unwritten
                    .then(|| (0..u64::from(size)).map(|k| a.written(offset + k, 1)).collect());
                self.shared.start_copy(near, size, me)?;
                let bar = bars.map_or(0, |bars| bars[lane] as u32);
                let complete = Complete::Bytes(size);
                let pieces = vec![(near, data, written)];
                self.landings.push_back(Landing { pieces, bar, complete });
            } else {
                super::memory::writable(a, request, one)?;
                site.store.add(size.into(), sectors);
                for word in 0..size / 4 {
                    let value = self.shared.read_word(near + 4 * word, me)?;
                    a.set_word(offset + 4 * u64::from(word), value);
                }
                self.note_early(warp, pc);
            }
        }
        Ok(())
    }

    /// Bulk copies to global memory are done when they are issued: nothing to wait for.
    pub(super) fn wait_bulk(&mut self, _warp: &mut Warp, _mask: u32, _pending: u32) {}

    /// Lets the copies that complete on mbarriers land. Says whether there was one.
    pub(super) fn land_next(&mut self) -> bool {
        let any = !self.landings.is_empty();
        while let Some(landing) = self.landings.pop_front() {
            let proxy = self.shared.shadow.proxy();
            for (at, data, written) in &landing.pieces {
                self.shared.land(*at, data, proxy);
                if let Some(written) = written {
                    self.unwrite(*at, data.len() as u32, |k| written[k as usize]);
                }
            }
            self.complete(landing.bar, landing.complete);
        }
        any
    }
}
