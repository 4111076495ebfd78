//! The cache as a picture: a map of its blocks on one screen.

use std::fmt;

use crate::cache::PagedCache;
use crate::ids::{BlockId, SeqId};

const COLUMNS: usize = 64;
const ROWS: usize = 16;
/// The sequences that get a letter, and are listed.
const NAMED: usize = 26;

/// One character per block, or per run of blocks if there are too many for a screen:
///
/// ```text
/// · never used    - free    + free, can be hit    A… held by one sequence
/// 2…9 shared by so many (* more)                  ! held by a pin or a move only
/// ```
///
/// A run of several blocks shows what most of its used blocks are, and if none is used, its best free
/// one.
impl fmt::Display for PagedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        write!(f, "{} of {} blocks used", stats.used_blocks, stats.total_blocks)?;
        write!(f, ", {} free ({} can be hit)", stats.free_blocks, stats.cached_blocks)?;
        writeln!(f, ", hit rate {:.0}%", 100.0 * stats.hit_rate())?;
        let mut sequences: Vec<_> = self.sequences.iter().filter(|(_, s)| s.level == 0).collect();
        sequences.sort_unstable_by_key(|&(seq, _)| seq);
        let mut owner = vec![b'!'; self.levels[0].pool.len()];
        for (at, (_, sequence)) in sequences.iter().enumerate() {
            let letter = if at < NAMED { b'A' + at as u8 } else { b'#' };
            for block in sequence.tables.iter().flat_map(|table| &table.blocks) {
                owner[block.at()] = letter;
            }
        }
        let blocks = owner.len() - 1;
        let per_cell = blocks.div_ceil(COLUMNS * ROWS);
        for row in 0..blocks.div_ceil(COLUMNS * per_cell) {
            let first = 1 + row * COLUMNS * per_cell;
            write!(f, "{first:>8} ")?;
            let ends = (first..owner.len()).step_by(per_cell).take(COLUMNS);
            for start in ends {
                let cell = start..(start + per_cell).min(owner.len());
                let marks = cell.map(|at| self.mark(BlockId(at as u32), owner[at]));
                write!(f, "{}", char::from(most(marks)))?;
            }
            writeln!(f)?;
        }
        for (at, (seq, sequence)) in sequences.iter().take(NAMED).enumerate() {
            let letter = char::from(b'A' + at as u8);
            let blocks: usize = sequence.tables.iter().map(|table| table.blocks.len()).sum();
            let SeqId(id) = seq;
            writeln!(
                f,
                "       {letter} sequence {id}: {} tokens, {blocks} blocks",
                sequence.num_tokens
            )?;
        }
        if sequences.len() > NAMED {
            writeln!(f, "       # {} more sequences", sequences.len() - NAMED)?;
        }
        Ok(())
    }
}

impl PagedCache {
    fn mark(&self, block: BlockId, owner: u8) -> u8 {
        let pool = &self.levels[0].pool;
        match pool.ref_count(block) {
            0 if pool.is_fresh(block) => 0xB7,
            0 if pool.is_cached(block) => b'+',
            0 => b'-',
            1 => owner,
            shared @ 2..=9 => b'0' + shared as u8,
            _ => b'*',
        }
    }
}

/// The commonest mark of a used block; without one, the best of a free block.
fn most(marks: impl Iterator<Item = u8>) -> u8 {
    let mut counts = [0_usize; 256];
    marks.for_each(|mark| counts[usize::from(mark)] += 1);
    let is_free = |mark: &u8| [0xB7, b'-', b'+'].contains(mark);
    let used = (0..=255_u8).filter(|mark| !is_free(mark) && counts[usize::from(*mark)] > 0);
    used.max_by_key(|&mark| counts[usize::from(mark)]).unwrap_or_else(|| {
        let free = [b'+', b'-', 0xB7];
        free.into_iter().find(|&mark| counts[usize::from(mark)] > 0).unwrap_or(b' ')
    })
}
