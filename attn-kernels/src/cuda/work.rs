//! How a plan's work is cut up for a GPU: tiles of packed rows, and splits of long contexts where
//! there are fewer tiles than the device has room for. Results do not depend on it: every split
//! leaves one state per chunk, merged left to right.

use crate::plan::{CHUNK, Plan};

/// Rows that one tensor core product takes.
pub(crate) const TILE_ROWS: usize = 16;
/// Words of a `Task` in `cuda/attention.cuh`.
const TASK_WORDS: usize = 8;

/// Query tokens of a sequence with their chunks: a CTA's work, for every KV head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) row: u32,
    pub(crate) tokens: u32,
    pub(crate) position: u32,
    pub(crate) kv_len: u32,
    pub(crate) table: u32,
    pub(crate) chunks: (u32, u32),
    /// Where the states of its first chunk go; −1: the task finishes its rows.
    pub(crate) partial: i32,
}

impl Task {
    pub(crate) fn words(&self) -> [u32; TASK_WORDS] {
        let (from, to) = self.chunks;
        let partial = self.partial.cast_unsigned();
        [self.row, self.tokens, self.position, self.kv_len, self.table, from, to, partial]
    }
}

/// The tasks of a plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work {
    /// By the number of row tiles of a CTA: one, two.
    pub(crate) tasks: [Vec<Task>; 2],
    /// Whole tasks whose chunks are joined afterwards.
    pub(crate) joins: Vec<Task>,
    /// States of chunks that splits leave.
    pub(crate) states: usize,
}

impl Work {
    /// Cuts a plan up for a device that runs `resident` CTAs at once; with `two_tiles` a CTA may
    /// serve 32 rows. `None`: a count does not fit the kernels' 32 bits.
    pub(crate) fn new(plan: &Plan, resident: usize, two_tiles: bool) -> Option<Self> {
        let heads = plan.cache().num_kv_heads;
        let wholes = wholes(plan, two_tiles)?;
        let longest = longest_part(&wholes, heads, resident);
        let mut work = Self::default();
        for (tiles, whole) in wholes {
            let (from, to) = whole.chunks;
            let chunks = to - from;
            let parts = chunks.div_ceil(longest).max(1);
            if parts == 1 {
                work.tasks[tiles - 1].push(whole);
                continue;
            }
            let rows = whole.tokens as usize * plan.group_size() * heads;
            let first = work.states;
            work.states = first.checked_add(rows.checked_mul(chunks as usize)?)?;
            i32::try_from(work.states).ok()?;
            let state = |chunk: u32| (first + rows * chunk as usize) as i32;
            work.joins.push(Task { partial: state(0), ..whole });
            for part in 0..parts {
                let cut =
                    |part: u32| (u64::from(chunks) * u64::from(part) / u64::from(parts)) as u32;
                let (a, b) = (cut(part), cut(part + 1));
                let chunks = (from + a, from + b);
                work.tasks[tiles - 1].push(Task { chunks, partial: state(a), ..whole });
            }
        }
        Some(work)
    }
}

/// What a CTA costs beside its chunks (arranging Q, filling the ring, leaving a state and having it
/// merged), in chunks. An estimate; results do not depend on it.
const OVERHEAD: f64 = 0.5;

/// The most chunks that a CTA should have, so that the device is done soonest: all work spread over
/// `resident` CTAs at once, and then the longest that may still run (the bound of list scheduling,
/// Graham 1969). More parts spread better and cost more.
fn longest_part(wholes: &[(usize, Task)], heads: usize, resident: usize) -> u32 {
    let chunks = || wholes.iter().map(|(_, task)| task.chunks.1 - task.chunks.0);
    let (Some(most), machines) = (chunks().max(), resident.max(1) as f64) else { return 1 };
    let most = most.max(1);
    let all = chunks().map(f64::from).sum::<f64>();
    let cost = |longest: u32| {
        let parts = chunks().map(|n| f64::from(n.div_ceil(longest).max(1))).sum::<f64>();
        let work = (all + OVERHEAD * parts) * heads as f64;
        work / machines + f64::from(longest) * (1.0 - 1.0 / machines)
    };
    // Lengths between these make no fewer parts of the longest task.
    let mut best = (cost(most), most);
    let mut parts = 2;
    while parts <= most {
        let longest = most.div_ceil(parts);
        let this = cost(longest);
        if this < best.0 {
            best = (this, longest);
        }
        // The next number of parts that shortens them.
        parts = if longest == 1 { break } else { most.div_ceil(longest - 1).max(parts + 1) };
    }
    best.1
}

/// Every tile of rows with all its chunks, and the tiles its CTA has.
fn wholes(plan: &Plan, two_tiles: bool) -> Option<Vec<(usize, Task)>> {
    let group = plan.group_size();
    let mut all = Vec::new();
    for sequence in plan.batch().sequences() {
        let rows = sequence.q_len.checked_mul(group)?;
        let tiles = if rows > TILE_ROWS && two_tiles { 2 } else { 1 };
        let tokens = (TILE_ROWS * tiles / group).max(1);
        for first in (0..sequence.q_len).step_by(tokens) {
            let last = (first + tokens).min(sequence.q_len) - 1;
            let (from, to) =
                (plan.visible(sequence, first).start, plan.visible(sequence, last).end);
            let word = |n: usize| u32::try_from(n).ok().filter(|&n| n <= i32::MAX as u32);
            // Without a causal mask queries may outnumber keys; positions then mean nothing.
            let position = (sequence.kv_len + first).saturating_sub(sequence.q_len);
            let task = Task {
                row: word(sequence.row + first)?,
                tokens: word(last + 1 - first)?,
                position: word(position)?,
                kv_len: word(sequence.kv_len)?,
                table: word(sequence.table.0)?,
                chunks: (word(from / CHUNK)?, word(to.div_ceil(CHUNK).max(from / CHUNK))?),
                partial: -1,
            };
            all.push((tiles, task));
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttentionShape, Batch, CacheShape};
    use fp8_format::ElementType::F8E4M3;

    fn plan(heads: usize, sequences: &[(usize, usize)]) -> Plan {
        let cache = CacheShape::new(1000, 16, 2, 64, F8E4M3, F8E4M3);
        let mut batch = Batch::new();
        for &(q, kv) in sequences {
            batch.push(q, kv, (0..kv.div_ceil(16) as u32).map(|b| b + 1));
        }
        Plan::new(&cache, &AttentionShape::new(heads, 1.0), &batch).unwrap()
    }

    #[test]
    fn every_row_and_chunk_is_in_one_task() {
        let plan = plan(8, &[(1, 2000), (0, 5), (19, 300), (1, 1)]);
        for (wanted, two) in [(1, true), (7, false), (64, true), (100_000, true)] {
            let work = Work::new(&plan, wanted, two).unwrap();
            let mut seen = std::collections::HashSet::new();
            for task in work.tasks.iter().flatten() {
                for row in task.row..task.row + task.tokens {
                    for chunk in task.chunks.0..task.chunks.1 {
                        assert!(seen.insert((row, chunk)), "row {row}, chunk {chunk} twice");
                    }
                }
            }
            // Row 0 sees 8 chunks; rows 1-19 two, but that of position 255 is in the same tile as
            // later ones; row 20 one.
            assert!((0..8).all(|c| seen.contains(&(0, c))));
            assert!((1..20).all(|r| seen.contains(&(r, 0)) && seen.contains(&(r, 1))));
            assert!(seen.contains(&(20, 0)));
            assert_eq!(seen.len(), 8 + 38 + 1);
            assert_eq!(work.joins.is_empty(), wanted == 1, "splits where CTAs are too few");
        }
    }

    #[test]
    fn parts_follow_the_device() {
        let parts = |sequences: &[(usize, usize)], resident| {
            let work = Work::new(&plan(8, sequences), resident, true).unwrap();
            work.tasks.iter().map(Vec::len).sum::<usize>()
        };
        // One sequence of 16 chunks: all the parts there are on a large device, few on a small one.
        assert_eq!(parts(&[(1, 4096)], 528), 16);
        assert_eq!(parts(&[(1, 4096)], 1), 1);
        assert!((2..16).contains(&parts(&[(1, 4096)], 8)));
        // Enough sequences fill it without: hardly any is cut.
        let many = [(1, 4096); 200];
        assert!(parts(&many, 16) <= 400);
        // One that is much longer than the others is cut, they are not.
        let mut uneven = [(1, 256); 100];
        uneven[3] = (1, 16 * 256);
        let work = Work::new(&plan(8, &uneven), 100, true).unwrap();
        assert_eq!(work.joins.len(), 1);
        assert_eq!(work.joins[0].row, 3);
        assert!(parts(&[(0, 0), (1, 1)], 1000) == 1);
    }

    #[test]
    fn states_do_not_overlap() {
        let work = Work::new(&plan(8, &[(1, 3000), (5, 1000)]), 1000, true).unwrap();
        let mut ends: Vec<(usize, usize)> = work
            .joins
            .iter()
            .map(|t| {
                let rows = t.tokens as usize * 8 * (t.chunks.1 - t.chunks.0) as usize;
                (t.partial as usize, t.partial as usize + rows)
            })
            .collect();
        ends.sort_unstable();
        assert!(ends.windows(2).all(|w| w[0].1 <= w[1].0));
        assert_eq!(ends.last().unwrap().1, work.states);
    }
}
