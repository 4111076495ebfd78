//! The sequences of one step: how many query and KV tokens each has, and where its blocks are.

/// A reusable list of sequences. Nothing is checked here: [`Backend::plan`](crate::Backend::plan)
/// checks the whole batch against a cache.
///
/// Query rows are concatenated in push order: a sequence's `q_len` rows follow those of the
/// sequence pushed before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    sequences: Vec<Sequence>,
    tables: Vec<u32>,
    rows: usize,
}

/// One sequence of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// Index of its first query row.
    pub(crate) row: usize,
    pub(crate) q_len: usize,
    pub(crate) kv_len: usize,
    /// Where its block table begins and ends in the concatenated tables.
    pub(crate) table: (usize, usize),
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the sequences and keeps the memory.
    pub fn clear(&mut self) {
        self.sequences.clear();
        self.tables.clear();
        self.rows = 0;
    }

    /// Adds a sequence with `q_len` query tokens that are the last of its `kv_len` KV tokens
    /// (`kv_len` counts them, and they are appended before attention runs), whose token `t` is in
    /// block `block_table[t / block_size]`. `q_len` 1 is decoding; more is (chunked) prefill; 0 is
    /// allowed and yields no rows.
    pub fn push(
        &mut self,
        q_len: usize,
        kv_len: usize,
        block_table: impl IntoIterator<Item = u32>,
    ) {
        let start = self.tables.len();
        self.tables.extend(block_table);
        let table = (start, self.tables.len());
        self.sequences.push(Sequence { row: self.rows, q_len, kv_len, table });
        // A sum that overflows cannot match any tensor's length, so saturating is enough.
        self.rows = self.rows.saturating_add(q_len);
    }

    /// Sequences pushed.
    pub fn len(&self) -> usize {
        self.sequences.len()
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Query tokens of all sequences: the rows of `q` and `out`.
    pub fn num_rows(&self) -> usize {
        self.rows
    }

    /// The block table of a sequence, in push order.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn block_table(&self, sequence: usize) -> &[u32] {
        self.table(&self.sequences[sequence])
    }

    pub(crate) fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }

    /// The block tables of all sequences, one after another.
    pub(crate) fn tables(&self) -> &[u32] {
        &self.tables
    }

    pub(crate) fn table(&self, sequence: &Sequence) -> &[u32] {
        &self.tables[sequence.table.0..sequence.table.1]
    }
}
