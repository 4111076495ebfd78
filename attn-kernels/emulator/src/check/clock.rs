//! What happens before what among the warps of a CTA: vector clocks.
//!
//! Time is one counter for the whole CTA, and a step of it is a synchronisation. An access is stamped
//! with the time at which it was made. `seen[w][v]` is the time up to which accesses of warp `v` come
//! before everything that warp `w` does from now on; `seen[w][w]` is that of the last synchronisation
//! among the lanes of `w`. Lanes share their warp's row: what one lane waited for, all count as having
//! waited for. So a race may be missed where lanes of one warp synchronise with others separately, but
//! none is reported that is not there.

/// What a barrier, or an atomic variable, passes on: a time per warp.
pub(crate) type Clock = Vec<u32>;

/// The order known to each warp.
#[derive(Debug, Default)]
pub(crate) struct Order {
    warps: usize,
    now: u32,
    /// `warps` rows of `warps + 1` entries; the last column is the asynchronous copies.
    seen: Vec<u32>,
    /// The least entry of each row.
    floor: Vec<u32>,
    /// Whether asynchronous copies (by barrier) happened at all; if not, their column is not looked at.
    copies: bool,
}

impl Order {
    pub(crate) fn reset(&mut self, warps: usize) {
        self.warps = warps;
        self.now = 1;
        self.seen.clear();
        self.seen.resize(warps * (warps + 1), 0);
        self.floor.clear();
        self.floor.resize(warps, 0);
        self.copies = false;
    }

    /// The number that stands for asynchronous copies in place of a warp.
    pub(crate) fn proxy(&self) -> usize {
        self.warps
    }

    pub(crate) fn now(&self) -> u32 {
        self.now
    }

    /// Every access stamped up to this time comes before what the warp does now.
    #[inline]
    pub(crate) fn floor(&self, warp: usize) -> u32 {
        self.floor[warp]
    }

    /// Whether an access of `other` at `time` comes before what `warp` does now. For `other == warp`:
    /// of another lane.
    #[inline]
    pub(crate) fn ordered(&self, warp: usize, other: usize, time: u32) -> bool {
        time <= self.seen[warp * (self.warps + 1) + other]
    }

    /// Lanes of a warp synchronise (`bar.warp.sync`).
    pub(crate) fn sync_lanes(&mut self, warp: usize) {
        self.seen[warp * (self.warps + 1) + warp] = self.now;
        self.now += 1;
        self.refloor(warp);
    }

    /// A warp arrives somewhere: what it did and knows goes into the clock.
    pub(crate) fn release(&mut self, warp: usize, into: &mut Clock) {
        let width = self.warps + 1;
        into.resize(width, 0);
        let row = &self.seen[warp * width..(warp + 1) * width];
        for (to, &from) in into.iter_mut().zip(row) {
            *to = (*to).max(from);
        }
        into[warp] = self.now;
        self.now += 1;
    }

    /// An asynchronous copy completes on the clock of its barrier.
    pub(crate) fn release_copies(&mut self, into: &mut Clock) {
        into.resize(self.warps + 1, 0);
        into[self.warps] = self.now;
        self.now += 1;
        if !self.copies {
            self.copies = true;
            (0..self.warps).for_each(|w| self.refloor(w));
        }
    }

    /// A warp waited: what the clock holds comes before what it does now.
    pub(crate) fn acquire(&mut self, warp: usize, from: &Clock) {
        let width = self.warps + 1;
        let row = &mut self.seen[warp * width..(warp + 1) * width];
        for (to, &from) in row.iter_mut().zip(from) {
            *to = (*to).max(from);
        }
        self.refloor(warp);
    }

    fn refloor(&mut self, warp: usize) {
        let width = self.warps + 1;
        let known = if self.copies { width } else { self.warps };
        let row = &self.seen[warp * width..warp * width + known];
        self.floor[warp] = row.iter().copied().min().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_orders_all_and_an_arrival_orders_one_way() {
        let mut order = Order::default();
        order.reset(3);
        let before = order.now();
        let mut clock = Clock::new();
        order.release(0, &mut clock);
        let after = order.now();
        order.acquire(1, &clock);
        assert!(order.ordered(1, 0, before), "warp 1 waited for warp 0");
        assert!(!order.ordered(1, 0, after), "but not for what came later");
        assert!(!order.ordered(0, 1, before), "and not the other way");
        assert!(!order.ordered(2, 0, before));
        let mut next = Clock::new();
        order.release(1, &mut next);
        order.acquire(2, &next);
        assert!(order.ordered(2, 0, before), "order is transitive");
        assert_eq!(order.floor(0), 0);
    }
}
