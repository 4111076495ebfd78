//! The shared memory of a CTA: its words, and their shadow.

use super::regs::{Lanes, lanes};
use super::stop::Stop;
use crate::check::{FaultKind, Hazard, Shadow, Thread, Watch};

/// Shared memory and who touched it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    words: Vec<u32>,
    bytes: u32,
    /// log2 of the bytes of one piece of the shadow.
    shift: u32,
    pub(crate) shadow: Shadow,
    /// The first read of unwritten bytes. It is reported at the end of the CTA, because a write that
    /// comes later with no barrier between would make it a race.
    early: Option<Stop>,
    /// Such a write came; the thread that had read.
    pub(crate) overtaken: Option<Thread>,
}

impl Shared {
    /// `granule` is the bytes of a piece of the shadow: 1, 2 or 4.
    pub(crate) fn reset(&mut self, bytes: u32, granule: u32, warps: usize, watch: Watch) {
        self.bytes = bytes;
        self.shift = granule.trailing_zeros();
        self.early = None;
        self.overtaken = None;
        self.words.clear();
        self.words.resize(bytes.div_ceil(4) as usize, 0);
        self.shadow.reset((bytes.next_multiple_of(4) >> self.shift) as usize, warps, watch);
    }

    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Checks bounds and alignment of an access of `bytes` by each lane of the mask.
    pub(crate) fn admit(&self, at: &Lanes<u64>, mask: u32, bytes: u32) -> Result<Lanes<u32>, Stop> {
        let limit = u64::from(self.bytes).checked_sub(u64::from(bytes));
        for lane in lanes(mask) {
            let address = at[lane];
            if limit.is_none_or(|limit| address > limit) {
                let detail =
                    format!("{bytes} bytes of shared memory, of which the CTA has {}", self.bytes);
                return Err(Stop::new(FaultKind::OutOfBounds, 1 << lane, detail).at(address));
            }
            if address & u64::from(bytes - 1) != 0 {
                let detail = format!("{bytes} bytes of shared memory");
                return Err(Stop::new(FaultKind::Misaligned, 1 << lane, detail).at(address));
            }
        }
        Ok(at.map(|a| a as u32))
    }

    #[inline]
    fn pieces(&self, at: u32, bytes: u32) -> std::ops::Range<usize> {
        (at >> self.shift) as usize
            ..((at + bytes) >> self.shift).max((at >> self.shift) + 1) as usize
    }

    /// Marks a read and gives the word there; the access was admitted.
    #[inline]
    pub(crate) fn read_word(&mut self, at: u32, me: Thread) -> Result<u32, Stop> {
        if self.shift == 2 {
            if let Err(hazard) = self.shadow.read((at >> 2) as usize, me) {
                self.bad_read(hazard, at, me)?;
            }
        } else {
            self.read_pieces(at, 4, me)?;
        }
        Ok(self.words[(at >> 2) as usize])
    }

    fn read_pieces(&mut self, at: u32, bytes: u32, me: Thread) -> Result<(), Stop> {
        for piece in self.pieces(at, bytes) {
            if let Err(hazard) = self.shadow.read(piece, me) {
                self.bad_read(hazard, at, me)?;
            }
        }
        Ok(())
    }

    #[cold]
    fn bad_read(&mut self, hazard: Hazard, at: u32, me: Thread) -> Result<(), Stop> {
        let stop = self.stop(hazard, at, me);
        if hazard != Hazard::Unwritten {
            return Err(stop);
        }
        self.early.get_or_insert(stop);
        Ok(())
    }

    /// A read of unwritten bytes since this was asked last.
    #[inline]
    pub(crate) fn take_early(&mut self) -> Option<Stop> {
        self.early.take()
    }

    /// Reads 1 or 2 bytes.
    pub(crate) fn read_part(&mut self, at: u32, bytes: u32, me: Thread) -> Result<u32, Stop> {
        self.read_pieces(at, bytes, me)?;
        Ok(self.words[(at >> 2) as usize] >> ((at & 3) * 8) & ((1 << (bytes * 8)) - 1))
    }

    /// Marks a write and replaces the word there.
    #[inline]
    pub(crate) fn write_word(&mut self, at: u32, value: u32, me: Thread) -> Result<(), Stop> {
        let same = self.words[(at >> 2) as usize] == value;
        for piece in self.pieces(at, 4) {
            if let Err(hazard) = self.shadow.write(piece, me, same) {
                return Err(self.stop(hazard, at, me));
            }
        }
        self.words[(at >> 2) as usize] = value;
        Ok(())
    }

    /// Writes 1 or 2 bytes.
    pub(crate) fn write_part(
        &mut self,
        at: u32,
        bytes: u32,
        value: u32,
        me: Thread,
    ) -> Result<(), Stop> {
        let shift = (at & 3) * 8;
        let field = ((1u32 << (bytes * 8)) - 1) << shift;
        let old = self.words[(at >> 2) as usize];
        let new = old & !field | value << shift & field;
        for piece in self.pieces(at, bytes) {
            if let Err(hazard) = self.shadow.write(piece, me, old == new) {
                return Err(self.stop(hazard, at, me));
            }
        }
        self.words[(at >> 2) as usize] = new;
        Ok(())
    }

    /// An atomic or volatile access of `bytes`, up to 16; it may be read or replaced with
    /// [`Self::peek`] and [`Self::poke`].
    pub(crate) fn atomic(
        &mut self,
        at: u32,
        bytes: u32,
        me: Thread,
        reads: bool,
        writes: bool,
    ) -> Result<(), Stop> {
        for piece in self.pieces(at, bytes) {
            let done = if writes {
                self.shadow.atomic(piece, me, reads)
            } else {
                self.shadow.volatile_read(piece, me)
            };
            if let Err(hazard) = done {
                return Err(self.stop(hazard, at, me));
            }
        }
        Ok(())
    }

    /// The word at an address, unchecked by the shadow.
    pub(crate) fn peek(&self, at: u32) -> u32 {
        self.words[(at >> 2) as usize]
    }

    /// Replaces bytes without the shadow: what lands of asynchronous copies, mbarrier objects.
    pub(crate) fn poke(&mut self, at: u32, data: &[u8]) {
        for (i, &byte) in data.iter().enumerate() {
            let at = at + i as u32;
            let shift = (at & 3) * 8;
            let word = &mut self.words[(at >> 2) as usize];
            *word = *word & !(0xff << shift) | u32::from(byte) << shift;
        }
    }

    /// An asynchronous copy into these bytes begins.
    pub(crate) fn start_copy(&mut self, at: u32, bytes: u32, me: Thread) -> Result<(), Stop> {
        for piece in self.pieces(at, bytes) {
            if let Err(hazard) = self.shadow.start_copy(piece, me) {
                return Err(self.stop(hazard, at, me));
            }
        }
        Ok(())
    }

    /// It ends, as a write of `writer`.
    pub(crate) fn land(&mut self, at: u32, data: &[u8], writer: Thread) {
        for piece in self.pieces(at, data.len() as u32) {
            self.shadow.land(piece, writer);
        }
        self.poke(at, data);
    }

    /// The piece around a byte counts as never written.
    pub(crate) fn unwrite(&mut self, at: u32) {
        self.shadow.unwrite((at >> self.shift) as usize);
    }

    /// The bytes belong to the machine from now on (an mbarrier object), as a write of `me`.
    pub(crate) fn own(&mut self, at: u32, bytes: u32, me: Thread) -> Result<(), Stop> {
        for piece in self.pieces(at, bytes) {
            if let Err(hazard) = self.shadow.own(piece, me) {
                return Err(self.stop(hazard, at, me));
            }
        }
        Ok(())
    }

    /// They do not any more, and count as never written.
    pub(crate) fn disown(&mut self, at: u32, bytes: u32) {
        for piece in self.pieces(at, bytes) {
            self.shadow.unwrite(piece);
        }
    }

    #[cold]
    fn stop(&mut self, hazard: Hazard, at: u32, me: Thread) -> Stop {
        if let Hazard::Late(reader) = hazard {
            self.overtaken = Some(reader);
        }
        let who = |t: Thread| {
            if self.shadow.is_proxy(t) {
                "a bulk copy".to_owned()
            } else {
                format!("warp {} lane {}", t >> 5, t & 31)
            }
        };
        let (kind, detail) = match hazard {
            Hazard::Owned => (
                FaultKind::IllegalMbarrier,
                "an mbarrier object lives here, which only mbarrier operations may touch"
                    .to_owned(),
            ),
            Hazard::Unwritten => {
                (FaultKind::UninitializedMemory, "shared memory that no thread wrote".to_owned())
            }
            Hazard::Pending(t) if self.shadow.is_proxy(t) => (
                FaultKind::ReadBeforeWait,
                "a bulk copy wrote it and this warp did not wait on its mbarrier".to_owned(),
            ),
            Hazard::Pending(t) => (
                FaultKind::ReadBeforeWait,
                format!("cp.async of {} has not been waited for", who(t)),
            ),
            Hazard::Unordered(t, _) | Hazard::Late(t) => {
                let wrote = matches!(hazard, Hazard::Unordered(_, true));
                let did = if wrote { "wrote" } else { "read" };
                if t >> 5 == me >> 5 {
                    let detail = format!("{} {did} it with no bar.warp.sync between", who(t));
                    (FaultKind::WarpRace, detail)
                } else {
                    let detail = format!("{} {did} it with no barrier between", who(t));
                    (FaultKind::SharedRace, detail)
                }
            }
        };
        Stop::new(kind, 1 << (me & 31), detail).at(at.into())
    }
}
