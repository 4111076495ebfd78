//! The shadow of shared memory: who wrote and who read each piece of it last, and whether that comes
//! before the access at hand (the FastTrack scheme of Flanagan and Freund, 2009, with warps as the
//! unit of synchronisation and lanes told apart within one).

use super::clock::Order;

/// A thread: warp × 32 + lane. Fits 11 bits, the proxy of asynchronous copies included.
pub(crate) type Thread = u16;

/// An mbarrier object stands here.
const OWNED: u16 = 1 << 12;
/// The last write was atomic or volatile.
const ATOMIC: u16 = 1 << 13;
/// Several lanes of the warp read.
const ANY: u16 = 1 << 14;
/// An asynchronous copy into this piece is under way.
const PENDING: u16 = 1 << 15;
/// Nobody may touch the piece.
const CLOSED: u16 = OWNED | PENDING;
/// Several warps read; `rt` is an index into `many`.
const MANY: u16 = u16::MAX;
const THREAD: u16 = (1 << 11) - 1;

/// One piece of shared memory.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// Time of the last write; 0 = never.
    wt: u32,
    /// Time of the last read since; 0 = never.
    rt: u32,
    writer: u16,
    reader: u16,
}

/// The last reads by each warp: (time, thread, possibly `ANY`).
type Readers = Vec<(u32, u16)>;

/// Why an access is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hazard {
    /// Nothing was written there.
    Unwritten,
    /// The destination of an asynchronous copy whose end nobody waited for; the thread that issued it.
    Pending(Thread),
    /// An access that this one is not ordered with: the thread, and whether it wrote.
    Unordered(Thread, bool),
    /// A write of what that thread has read unwritten, with nothing that orders the two.
    Late(Thread),
    /// Part of an mbarrier object.
    Owned,
}

/// Which checks run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watch {
    pub(crate) races: bool,
    pub(crate) unwritten: bool,
    pub(crate) pending: bool,
}

/// The shadow of a CTA's shared memory.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    pub(crate) order: Order,
    cells: Vec<Cell>,
    many: Vec<Readers>,
    spare: Vec<u32>,
    watch: Watch,
}

impl Shadow {
    /// For `pieces` pieces of memory and so many warps.
    pub(crate) fn reset(&mut self, pieces: usize, warps: usize, watch: Watch) {
        self.order.reset(warps);
        self.cells.clear();
        self.cells.resize(pieces, Cell::default());
        // The lists of readers keep their memory.
        self.spare.clear();
        self.spare.extend(0..self.many.len() as u32);
        self.watch = watch;
    }

    /// A thread reads a piece.
    #[inline]
    pub(crate) fn read(&mut self, piece: usize, me: Thread) -> Result<(), Hazard> {
        let warp = usize::from(me >> 5);
        let floor = self.order.floor(warp);
        let cell = &mut self.cells[piece];
        if cell.writer & CLOSED != 0 {
            closed(cell.writer, self.watch)?;
        }
        if cell.wt == 0 && self.watch.unwritten {
            if self.watch.races {
                self.note_reader(piece, me);
            }
            return Err(Hazard::Unwritten);
        }
        if !self.watch.races {
            return Ok(());
        }
        let writer = cell.writer & THREAD;
        if cell.wt > floor
            && writer != me
            && !self.order.ordered(warp, usize::from(writer >> 5), cell.wt)
        {
            return Err(self.unordered_write(piece));
        }
        // The common case: nobody, or only readers that this one comes after.
        if cell.reader != MANY && (cell.rt <= floor || cell.reader == me) {
            cell.rt = self.order.now();
            cell.reader = me;
            return Ok(());
        }
        let warp_read = (me & THREAD & !31) | ANY;
        if cell.rt == self.order.now() && cell.reader & !31 == warp_read {
            return Ok(());
        }
        self.note_reader(piece, me);
        Ok(())
    }

    #[cold]
    fn unordered_write(&self, piece: usize) -> Hazard {
        let writer = self.cells[piece].writer & THREAD;
        if usize::from(writer >> 5) == self.order.proxy() {
            return Hazard::Pending(writer);
        }
        Hazard::Unordered(writer, true)
    }

    fn note_reader(&mut self, piece: usize, me: Thread) {
        let (now, warp) = (self.order.now(), usize::from(me >> 5));
        let cell = &mut self.cells[piece];
        if cell.reader == MANY {
            let entry = &mut self.many[cell.rt as usize][warp];
            let same = entry.1 == me || entry.0 == 0 || self.order.ordered(warp, warp, entry.0);
            *entry = (now, if same { me } else { me | ANY });
            return;
        }
        let other = usize::from((cell.reader & THREAD) >> 5);
        if self.order.ordered(warp, other, cell.rt) {
            (cell.rt, cell.reader) = (now, me);
        } else if other == warp {
            (cell.rt, cell.reader) = (now, me | ANY);
        } else {
            let slot = self.spare.pop().unwrap_or_else(|| {
                self.many.push(Vec::new());
                self.many.len() as u32 - 1
            });
            let readers = &mut self.many[slot as usize];
            readers.clear();
            readers.resize(self.order.proxy(), (0, 0));
            readers[other] = (cell.rt, cell.reader);
            readers[warp] = (now, me);
            (cell.rt, cell.reader) = (slot, MANY);
        }
    }

    /// A thread writes a piece. `same`: the bytes are those that stand there, so another write
    /// is no race.
    #[inline]
    pub(crate) fn write(&mut self, piece: usize, me: Thread, same: bool) -> Result<(), Hazard> {
        self.check_write(piece, me, same, false)?;
        self.note_write(piece, me);
        Ok(())
    }

    /// An atomic or volatile access: ordered with its like, a write to all others.
    pub(crate) fn atomic(&mut self, piece: usize, me: Thread, reads: bool) -> Result<(), Hazard> {
        if reads && self.cells[piece].wt == 0 && self.watch.unwritten {
            return Err(Hazard::Unwritten);
        }
        self.check_write(piece, me, false, true)?;
        self.note_write(piece, me | ATOMIC);
        Ok(())
    }

    /// A volatile read: ordered with atomic and volatile writes, a read to all others.
    pub(crate) fn volatile_read(&mut self, piece: usize, me: Thread) -> Result<(), Hazard> {
        if self.cells[piece].writer & (ATOMIC | CLOSED) == ATOMIC {
            return Ok(());
        }
        self.read(piece, me)
    }

    #[inline]
    fn check_write(
        &mut self,
        piece: usize,
        me: Thread,
        same: bool,
        atomic: bool,
    ) -> Result<(), Hazard> {
        let warp = usize::from(me >> 5);
        let floor = self.order.floor(warp);
        let cell = self.cells[piece];
        if cell.writer & CLOSED != 0 {
            closed(cell.writer, self.watch)?;
        }
        if !self.watch.races {
            return Ok(());
        }
        let writer = cell.writer & THREAD;
        if cell.wt > floor
            && writer != me
            && !same
            && !(atomic && cell.writer & ATOMIC != 0)
            && !self.order.ordered(warp, usize::from(writer >> 5), cell.wt)
        {
            return Err(self.unordered_write(piece));
        }
        if cell.reader == MANY || cell.rt > floor && cell.reader != me {
            self.check_readers(cell, me)?;
        }
        Ok(())
    }

    fn check_readers(&self, cell: Cell, me: Thread) -> Result<(), Hazard> {
        let warp = usize::from(me >> 5);
        let check = |time: u32, reader: u16| {
            let other = usize::from((reader & THREAD) >> 5);
            if time == 0 || reader == me || self.order.ordered(warp, other, time) {
                return Ok(());
            }
            let reader = reader & THREAD;
            Err(if cell.wt == 0 { Hazard::Late(reader) } else { Hazard::Unordered(reader, false) })
        };
        if cell.reader == MANY {
            return self.many[cell.rt as usize].iter().try_for_each(|&(t, r)| check(t, r));
        }
        check(cell.rt, cell.reader)
    }

    #[inline]
    fn note_write(&mut self, piece: usize, writer: u16) {
        let cell = &mut self.cells[piece];
        if cell.reader == MANY {
            self.spare.push(cell.rt);
        }
        *cell = Cell { wt: self.order.now(), rt: 0, writer, reader: 0 };
    }

    /// A thread starts an asynchronous copy into a piece: nobody may touch it until it has landed.
    pub(crate) fn start_copy(&mut self, piece: usize, me: Thread) -> Result<(), Hazard> {
        self.check_write(piece, me, false, false)?;
        self.cells[piece].writer = me | PENDING;
        Ok(())
    }

    /// The copy has landed, as a write of `writer` at this moment.
    pub(crate) fn land(&mut self, piece: usize, writer: Thread) {
        self.note_write(piece, writer);
    }

    /// The piece counts as never written.
    pub(crate) fn unwrite(&mut self, piece: usize) {
        let cell = &mut self.cells[piece];
        if cell.reader == MANY {
            self.spare.push(cell.rt);
        }
        *cell = Cell::default();
    }

    /// An mbarrier object begins here: a write, after which nobody may touch the piece.
    pub(crate) fn own(&mut self, piece: usize, me: Thread) -> Result<(), Hazard> {
        self.check_write(piece, me, false, false)?;
        self.note_write(piece, me | OWNED);
        Ok(())
    }

    /// The thread number of asynchronous copies.
    pub(crate) fn proxy(&self) -> Thread {
        (self.order.proxy() as u16) << 5
    }

    /// Whether a thread number is that of asynchronous copies.
    pub(crate) fn is_proxy(&self, thread: Thread) -> bool {
        usize::from(thread >> 5) == self.order.proxy()
    }
}

/// Why a piece with a `writer` of [`CLOSED`] must not be touched, if that is watched.
#[cold]
fn closed(writer: u16, watch: Watch) -> Result<(), Hazard> {
    if writer & OWNED != 0 {
        return Err(Hazard::Owned);
    }
    if watch.pending { Err(Hazard::Pending(writer & THREAD)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::clock::Clock;
    use super::*;

    fn shadow(warps: usize) -> Shadow {
        let mut s = Shadow::default();
        s.reset(4, warps, Watch { races: true, unwritten: true, pending: true });
        s
    }

    fn barrier(s: &mut Shadow, warps: usize) {
        let mut clock = Clock::new();
        (0..warps).for_each(|w| s.order.release(w, &mut clock));
        (0..warps).for_each(|w| s.order.acquire(w, &clock));
    }

    #[test]
    fn a_barrier_between_makes_it_clean() {
        let mut s = shadow(2);
        for round in 0..3 {
            s.write(0, 3, false).unwrap();
            barrier(&mut s, 2);
            for t in 0..64 {
                s.read(0, t).unwrap();
                s.read(0, 63 - t).unwrap();
            }
            barrier(&mut s, 2);
            s.write(0, 40 + round, false).unwrap();
            barrier(&mut s, 2);
        }
    }

    #[test]
    fn without_one_each_pair_is_a_hazard() {
        let mut s = shadow(2);
        assert_eq!(s.read(1, 0), Err(Hazard::Unwritten));
        assert_eq!(s.write(1, 32, false), Err(Hazard::Late(0)));
        s.write(0, 3, false).unwrap();
        assert_eq!(s.read(0, 35), Err(Hazard::Unordered(3, true)));
        assert_eq!(s.write(0, 35, false), Err(Hazard::Unordered(3, true)));
        assert_eq!(s.read(0, 4), Err(Hazard::Unordered(3, true)), "another lane of the warp");
        s.read(0, 3).unwrap();
        barrier(&mut s, 2);
        s.read(0, 35).unwrap();
        assert_eq!(s.write(0, 3, false), Err(Hazard::Unordered(35, false)), "write after read");
        s.read(0, 3).unwrap();
        assert_eq!(s.write(0, 35, false), Err(Hazard::Unordered(3, false)), "of several readers");
        assert_eq!(s.write(0, 35, true), Err(Hazard::Unordered(3, false)));
    }

    #[test]
    fn lanes_need_a_warp_barrier() {
        let mut s = shadow(1);
        s.write(0, 0, false).unwrap();
        s.order.sync_lanes(0);
        (0..32).for_each(|t| s.read(0, t).unwrap());
        assert!(s.write(0, 0, false).is_err(), "31 other lanes read");
        s.order.sync_lanes(0);
        s.write(0, 0, false).unwrap();
        s.write(0, 1, true).unwrap();
    }

    #[test]
    fn copies_are_untouchable_until_they_land() {
        let mut s = shadow(2);
        s.start_copy(0, 5).unwrap();
        assert_eq!(s.read(0, 5), Err(Hazard::Pending(5)), "nothing stood there before");
        s.land(0, 5);
        s.read(0, 5).unwrap();
        s.start_copy(0, 5).unwrap();
        assert_eq!(s.read(0, 5), Err(Hazard::Pending(5)));
        assert_eq!(s.write(0, 5, false), Err(Hazard::Pending(5)));
        s.land(0, 5);
        assert_eq!(s.read(0, 6), Err(Hazard::Unordered(5, true)), "lane 6 did not wait");
    }

    #[test]
    fn mbarrier_objects_are_nobodys() {
        let mut s = shadow(2);
        s.write(0, 5, false).unwrap();
        assert_eq!(s.own(0, 37), Err(Hazard::Unordered(5, true)), "no barrier between");
        s.own(0, 5).unwrap();
        barrier(&mut s, 2);
        assert_eq!(s.read(0, 5), Err(Hazard::Owned));
        assert_eq!(s.write(0, 40, true), Err(Hazard::Owned));
        assert_eq!(s.atomic(0, 40, true), Err(Hazard::Owned));
        assert_eq!(s.volatile_read(0, 5), Err(Hazard::Owned));
        assert_eq!(s.start_copy(0, 5), Err(Hazard::Owned));
        s.unwrite(0);
        assert_eq!(s.read(0, 5), Err(Hazard::Unwritten));
        s.start_copy(1, 5).unwrap();
        assert_eq!(s.own(1, 5), Err(Hazard::Pending(5)));
    }

    #[test]
    fn bulk_copies_are_read_after_their_barrier() {
        let mut s = shadow(2);
        let proxy = s.proxy();
        s.start_copy(0, 0).unwrap();
        s.land(0, proxy);
        let mut clock = Clock::new();
        s.order.release_copies(&mut clock);
        assert_eq!(s.read(0, 0), Err(Hazard::Pending(proxy)));
        s.order.acquire(0, &clock);
        s.read(0, 0).unwrap();
        assert_eq!(s.read(0, 32), Err(Hazard::Pending(proxy)));
    }

    #[test]
    fn atomics_do_not_race_with_atomics() {
        let mut s = shadow(2);
        s.write(0, 0, false).unwrap();
        barrier(&mut s, 2);
        (0..64).for_each(|t| s.atomic(0, t, true).unwrap());
        assert!(s.read(0, 1).is_err());
        s.volatile_read(0, 1).unwrap();
        barrier(&mut s, 2);
        s.read(0, 1).unwrap();
    }
}
