//! The sequences: a slab, so that a freed sequence's vectors serve the next one without allocation.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::ids::{BlockId, SeqId};

/// What the cache knows of one sequence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequence {
    pub(crate) table: Vec<BlockId>,
    pub(crate) num_tokens: usize,
}

/// Sequences by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequences {
    places: HashMap<SeqId, usize>,
    slab: Vec<Sequence>,
    vacant: Vec<usize>,
}

impl Sequences {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn contains(&self, seq: SeqId) -> bool {
        self.places.contains_key(&seq)
    }

    pub(crate) fn get(&self, seq: SeqId) -> Result<&Sequence> {
        self.places.get(&seq).map(|&at| &self.slab[at]).ok_or(Error::UnknownSequence(seq))
    }

    pub(crate) fn get_mut(&mut self, seq: SeqId) -> Result<&mut Sequence> {
        self.places.get(&seq).map(|&at| &mut self.slab[at]).ok_or(Error::UnknownSequence(seq))
    }

    /// Adds an empty sequence under an id that is not there yet.
    pub(crate) fn insert(&mut self, seq: SeqId) -> &mut Sequence {
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.slab.push(Sequence::default());
            self.slab.len() - 1
        });
        self.places.insert(seq, at);
        &mut self.slab[at]
    }

    /// Takes a sequence out; [`Self::recycle`] returns its vectors to the slab.
    pub(crate) fn remove(&mut self, seq: SeqId) -> Result<(usize, Sequence)> {
        let at = self.places.remove(&seq).ok_or(Error::UnknownSequence(seq))?;
        Ok((at, std::mem::take(&mut self.slab[at])))
    }

    pub(crate) fn recycle(&mut self, at: usize, mut sequence: Sequence) {
        sequence.table.clear();
        sequence.num_tokens = 0;
        self.slab[at] = sequence;
        self.vacant.push(at);
    }
}
