//! What calls bring to the device beside tensors: gathered on the host, sent in one copy.

use crate::cuda::work::Task;

/// What one call sends to the device: parts that begin at multiples of 16 bytes.
#[derive(Debug, Default)]
pub(super) struct Upload(pub(super) Vec<u8>);

impl Upload {
    fn begin(&mut self) -> u64 {
        self.0.resize(self.0.len().next_multiple_of(16), 0);
        self.0.len() as u64
    }

    pub(super) fn add(&mut self, words: &[u32]) -> u64 {
        let at = self.begin();
        self.0.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        at
    }

    pub(super) fn add_slots(&mut self, slots: &[i64]) -> u64 {
        let at = self.begin();
        self.0.extend(slots.iter().flat_map(|s| s.to_le_bytes()));
        at
    }

    pub(super) fn add_tasks(&mut self, tasks: &[Task]) -> u64 {
        let at = self.begin();
        self.0.extend(tasks.iter().flat_map(Task::words).flat_map(u32::to_le_bytes));
        at
    }
}
