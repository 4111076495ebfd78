//! What calls bring to the device beside tensors: gathered on the host, sent in one copy, into memory
//! that goes from call to call.

use std::sync::{Arc, Mutex, PoisonError};

use crate::cuda::Driver;
use crate::cuda::work::Task;
use crate::error::Error;

/// What one call sends to the device: parts that begin at multiples of 16 bytes.
#[derive(Debug, Default)]
pub(super) struct Upload(Vec<u8>);

impl Upload {
    fn begin(&mut self) -> u64 {
        self.0.resize(self.0.len().next_multiple_of(16), 0);
        self.0.len() as u64
    }

    pub(super) fn add(&mut self, words: impl IntoIterator<Item = u32>) -> u64 {
        let at = self.begin();
        self.0.extend(words.into_iter().flat_map(u32::to_le_bytes));
        at
    }

    pub(super) fn add_tasks(&mut self, tasks: &[Task]) -> u64 {
        self.add(tasks.iter().flat_map(Task::words))
    }

    /// Sends it; the memory goes back to the pool when the result is dropped, and is then written
    /// again after what was launched meanwhile: the stream keeps the order.
    pub(super) fn send<D: Driver>(
        &self,
        driver: &D,
        pool: &Arc<Pool<D::Memory>>,
    ) -> Result<Area<D::Memory>, Error> {
        let area = Area::take(driver, pool, self.0.len())?;
        driver.write(area.memory(), 0, &self.0)?;
        Ok(area)
    }
}

/// Areas that nobody uses at the moment.
#[derive(Debug)]
pub(super) struct Pool<M>(Mutex<Vec<(M, usize)>>);

impl<M> Default for Pool<M> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

/// Enough for the plans of a step and of the next; more are given back to the device.
const IDLE: usize = 8;

/// Memory of the device on loan.
#[derive(Debug)]
pub(super) struct Area<M> {
    /// Taken by `drop` alone.
    memory: Option<(M, usize)>,
    pool: Arc<Pool<M>>,
}

impl<M> Area<M> {
    /// At least `bytes`, from the pool or else from the device.
    pub(super) fn take<D: Driver<Memory = M>>(
        driver: &D,
        pool: &Arc<Pool<M>>,
        bytes: usize,
    ) -> Result<Self, Error> {
        let mut idle = pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle.iter().position(|&(_, size)| size >= bytes);
        let memory = match found {
            Some(at) => idle.swap_remove(at),
            None => {
                let size = bytes.next_power_of_two().max(4096);
                (driver.alloc(size)?, size)
            }
        };
        drop(idle);
        Ok(Self { memory: Some(memory), pool: pool.clone() })
    }

    pub(super) fn memory(&self) -> &M {
        &self.memory.as_ref().expect("it is there until it is dropped").0
    }
}

impl<M> Drop for Area<M> {
    fn drop(&mut self) {
        let mut idle = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.extend(self.memory.take());
        }
    }
}
