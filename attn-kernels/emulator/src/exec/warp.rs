//! A warp: its registers, its local memory, and the fragments that its lanes are in. A fragment is a
//! set of lanes that stand at the same instruction.

use super::async_copy::Copies;
use super::moves::space_of;
use super::regs::{Lanes, Regs, Unset, lanes};
use super::stop::Stop;
use crate::check::FaultKind;
use crate::isa::{Addr, Reg, Space, Src};

/// Whether a fragment can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    /// At a `.sync` instruction that needs lanes which are elsewhere.
    Converge,
    /// Past a CTA barrier that is not complete.
    Barrier(u8),
}

/// Lanes at one instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) pc: u32,
    pub(crate) mask: u32,
    pub(crate) state: State,
    /// When it was last chosen to run.
    pub(crate) ran: u64,
}

/// A warp of a CTA.
#[derive(Debug, Default)]
pub(crate) struct Warp {
    /// Its number in the CTA.
    pub(crate) index: u32,
    /// The lanes that exist; the last warp of a CTA may have fewer than 32.
    pub(crate) members: u32,
    /// Those that have not exited.
    pub(crate) alive: u32,
    pub(crate) regs: Regs,
    pub(crate) fragments: Vec<Fragment>,
    pub(crate) copies: Copies,
    /// Local memory: `local_words` words of lane 0, then of lane 1 …, and which bytes are written.
    pub(crate) local: Vec<u32>,
    pub(crate) local_written: Vec<u8>,
    pub(crate) local_bytes: u32,
    /// Counts choices of fragments.
    pub(crate) turns: u64,
    /// The last fragment let others run: the one that waits longest is next.
    pub(crate) yielded: bool,
}

impl Warp {
    /// Lanes at the first instruction.
    pub(crate) fn reset(&mut self, index: u32, members: u32, local_bytes: u32) {
        self.index = index;
        self.members = members;
        self.alive = members;
        self.fragments.clear();
        self.fragments.push(Fragment { pc: 0, mask: members, state: State::Ready, ran: 0 });
        self.copies.reset();
        self.local_bytes = local_bytes;
        let words = local_bytes.div_ceil(4) as usize * 32;
        self.local.clear();
        self.local.resize(words, 0);
        self.local_written.clear();
        self.local_written.resize(words, 0);
        self.turns = 0;
        self.yielded = false;
    }

    /// The thread number of a lane in its CTA.
    #[inline]
    pub(crate) fn thread(&self, lane: usize) -> u16 {
        (self.index * 32) as u16 + lane as u16
    }

    /// The addresses of a memory operand.
    #[inline]
    pub(crate) fn addresses(&self, addr: &Addr, mask: u32) -> Result<Lanes<u64>, Unset> {
        let mut room = [0; 32];
        let base = self.regs.get64(addr.base, mask, &mut room)?;
        if let Src::Reg(Reg::R32(_)) = addr.base {
            // An address of 32 bits wraps: compilers count on it, with a negative base.
            return Ok(base.map(|b| u64::from((b as u32).wrapping_add(addr.offset as u32))));
        }
        Ok(base.map(|b| b.wrapping_add_signed(addr.offset)))
    }

    /// Offsets in shared memory. A generic address must lie there.
    pub(crate) fn shared_addresses(&self, addr: &Addr, mask: u32) -> Result<Lanes<u64>, Stop> {
        let at = self.addresses(addr, mask)?;
        if addr.generic
            && let Some(lane) = lanes(mask).find(|&lane| space_of(at[lane]) != Space::Shared)
        {
            let detail = "a generic address that is none of shared memory";
            return Err(Stop::new(FaultKind::OutOfBounds, 1 << lane, detail).at(at[lane]));
        }
        Ok(at.map(|a| a & 0xffff_ffff))
    }

    /// An operand that is the same in all lanes, or the lowest lane's.
    pub(crate) fn first32(&self, src: Src, mask: u32) -> Result<u32, Unset> {
        let values = self.regs.copy32(src, mask)?;
        Ok(values[mask.trailing_zeros() as usize & 31])
    }

    /// Takes lanes out of the warp; those that wait for them look again.
    pub(crate) fn exit(&mut self, mask: u32) {
        self.alive &= !mask;
        self.wake(State::Converge);
    }

    /// Makes the fragments in a state ready.
    pub(crate) fn wake(&mut self, state: State) {
        for f in &mut self.fragments {
            if f.state == state {
                f.state = State::Ready;
            }
        }
    }

    /// Adds lanes that stand at `pc`.
    pub(crate) fn place(&mut self, pc: u32, mask: u32, state: State) {
        if mask == 0 {
            return;
        }
        let ran = self.turns;
        self.fragments.push(Fragment { pc, mask, state, ran });
    }

    /// Joins fragments at equal instructions, the waiting ones too: the instruction looks again
    /// whether all it needs have come.
    pub(crate) fn merge(&mut self) {
        let joins = |s: State| matches!(s, State::Ready | State::Converge);
        let mut i = 0;
        while i < self.fragments.len() {
            let mut j = i + 1;
            while j < self.fragments.len() {
                let (a, b) = (self.fragments[i], self.fragments[j]);
                if a.pc == b.pc && joins(a.state) && joins(b.state) {
                    self.fragments[i].mask |= b.mask;
                    self.fragments[i].state = State::Ready;
                    self.fragments.swap_remove(j);
                } else {
                    j += 1;
                }
            }
            i += 1;
        }
    }

    /// Writes the destination of an instruction that gives every lane a 32-bit value.
    pub(crate) fn give32(&mut self, dst: Option<Reg>, mask: u32, value: &Lanes<u32>) {
        if let Some(dst) = dst {
            self.regs.put32(dst, mask, value);
        }
    }
}
