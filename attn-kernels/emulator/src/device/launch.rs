//! Launches: the shape is checked against the kernel and the profile, then the grid runs.

use super::{Device, Error, Kernel};
use crate::count::Counters;
use crate::exec::{Grid, run};
use std::sync::{Arc, OnceLock};

/// The shape of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchConfig {
    /// CTAs along x, y, z.
    pub grid: [u32; 3],
    /// Threads of a CTA along x, y, z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
}

impl LaunchConfig {
    /// Along x only, without dynamic shared memory.
    #[must_use]
    pub const fn linear(ctas: u32, threads: u32) -> Self {
        Self { grid: [ctas, 1, 1], block: [threads, 1, 1], shared_bytes: 0 }
    }
}

/// What a launch did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaunchReport {
    /// The counts.
    pub counters: Counters,
}

/// Host threads, started when first needed.
pub(super) struct Pool {
    threads: usize,
    pool: OnceLock<rayon::ThreadPool>,
}

impl Pool {
    pub(super) fn new(threads: usize) -> Self {
        let host = || std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads: if threads == 0 { host() } else { threads }, pool: OnceLock::new() }
    }

    fn get(&self) -> Result<&rayon::ThreadPool, Error> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let made = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .thread_name(|i| format!("cuda-emulator-{i}"))
            .build()
            .map_err(|e| Error::Threads { threads: self.threads, reason: e.to_string() })?;
        Ok(self.pool.get_or_init(|| made))
    }
}

impl Device {
    /// Runs a kernel over a grid and returns when it is done. `params` is the parameter buffer, laid
    /// out as [`Params`](crate::Params) does.
    ///
    /// # Errors
    /// [`Error::LaunchShape`], [`Error::ParameterBytes`], [`Error::WrongDevice`] before anything runs;
    /// [`Error::Fault`] if a check fails.
    pub fn launch(
        &self,
        kernel: &Kernel,
        shape: LaunchConfig,
        params: &[u8],
    ) -> Result<LaunchReport, Error> {
        if !Arc::ptr_eq(&self.inner, &kernel.module.device) {
            return Err(Error::WrongDevice { kernel: kernel.name().to_owned() });
        }
        self.check_shape(kernel, &shape)?;
        if params.len() != kernel.param_bytes() {
            return Err(Error::ParameterBytes {
                kernel: kernel.name().to_owned(),
                expected: kernel.param_bytes(),
                got: params.len(),
            });
        }
        let config = self.config();
        let grid = Grid {
            program: &kernel.program,
            grid: shape.grid,
            block: shape.block,
            dynamic_shared: shape.shared_bytes,
            params,
            checks: config.checks,
            budget: config.instruction_budget,
            profile: &config.profile,
            memory: self.memory(),
            snapshot: self.memory().snapshot(),
        };
        let ctas = grid.ctas();
        let workers = self.inner.pool.threads.min(usize::try_from(ctas).unwrap_or(usize::MAX));
        let tally = if workers <= 1 || kernel.program.ordered {
            run::in_order(&grid)
        } else {
            run::in_parallel(&grid, self.inner.pool.get()?, workers)
        };
        let tally = tally.map_err(Error::Fault)?;
        Ok(LaunchReport { counters: Counters::of(&tally, kernel.program.facts()) })
    }

    pub(crate) fn check_shape(&self, kernel: &Kernel, shape: &LaunchConfig) -> Result<(), Error> {
        let profile = self.profile();
        let code = &kernel.program.kernel;
        let check = |what, value: u64, least: u64, limit: u64| {
            if (least..=limit).contains(&value) {
                return Ok(());
            }
            Err(Error::LaunchShape { kernel: code.name.clone(), what, value, least, limit })
        };
        for (axis, what) in ["grid.x", "grid.y", "grid.z"].into_iter().enumerate() {
            check(what, shape.grid[axis].into(), 1, profile.max_grid[axis].into())?;
        }
        for (axis, what) in ["block.x", "block.y", "block.z"].into_iter().enumerate() {
            check(what, shape.block[axis].into(), 1, profile.max_block[axis].into())?;
        }
        if let Some(required) = code.required_block {
            for (axis, what) in ["block.x", "block.y", "block.z"].into_iter().enumerate() {
                let exact = required[axis].into();
                check(what, shape.block[axis].into(), exact, exact)?;
            }
        }
        let threads: u64 = shape.block.iter().map(|&n| u64::from(n)).product();
        let limit = code.max_threads.unwrap_or(u32::MAX).min(profile.max_threads_per_block);
        check("threads per block", threads, 1, limit.into())?;
        let shared = u64::from(code.shared_bytes) + u64::from(shape.shared_bytes);
        check("shared bytes", shared, 0, profile.shared_per_block_optin.into())
    }
}
