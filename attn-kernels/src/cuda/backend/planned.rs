//! What a plan has on its device: made once per step, read by every layer.

use std::any::Any;
use std::sync::Arc;

use super::{Area, CudaBackend, Pool, THREADS, Upload, lock};
use crate::cuda::Driver;
use crate::cuda::names::{AttentionKernel, is_absence, unsupported};
use crate::cuda::work::Work;
use crate::error::Error;
use crate::plan::Plan;

/// A plan's work, its kernels, and its lists on the device.
#[derive(Debug)]
pub(super) struct OnDevice<M> {
    pub(super) work: Work,
    /// For one tile of rows and for two; the second where the device has room for it.
    pub(super) kernels: [Option<AttentionKernel>; 2],
    /// Keeps the lists.
    _area: Area<M>,
    /// Whose device it is.
    backend: Arc<Pool<M>>,
    pub(super) tables: u64,
    /// Tasks of one tile, of two, and joins.
    pub(super) tasks: [u64; 3],
    /// 0 without any.
    pub(super) slopes: u64,
    pub(super) sinks: u64,
    /// States of chunks: kept here too, so that a plan's address stays good when they are moved.
    pub(super) states: Option<Arc<M>>,
}

impl<D: Driver> CudaBackend<D> {
    /// Cuts a plan up for this device and sends what all its calls need.
    pub(super) fn place(&self, plan: &Plan) -> Result<OnDevice<D::Memory>, Error> {
        let one = self.kernel(plan, 1)?;
        let two = match self.kernel(plan, 2) {
            Ok(kernel) => Some(kernel),
            Err(error) if is_absence(&error) => None,
            Err(error) => return Err(error),
        };
        let wanted = self.driver.resident_ctas(&one.module, &one.name, THREADS, one.shared)?;
        let work = Work::new(plan, wanted, two.is_some())
            .ok_or_else(|| unsupported("a batch of more than 2^31 states"))?;

        let mut upload = Upload::default();
        let variant = &plan.attention().variant;
        let mut optional = |values: &Option<Box<[f32]>>| {
            values.as_ref().map(|values| upload.add(values.iter().map(|x| x.to_bits())))
        };
        let (slopes, sinks) = (optional(&variant.alibi_slopes), optional(&variant.sinks));
        let tables = upload.add(plan.batch().tables().iter().copied());
        let lists = [&work.tasks[0], &work.tasks[1], &work.joins];
        let tasks = lists.map(|tasks| upload.add_tasks(tasks));
        let (area, base) = self.send(&upload)?;
        let states = self.states(work.states * (plan.cache().head_dim + 2) * 4)?;
        Ok(OnDevice {
            work,
            kernels: [Some(one), two],
            _area: area,
            backend: self.areas.clone(),
            tables: base + tables,
            tasks: tasks.map(|at| base + at),
            slopes: slopes.map_or(0, |at| base + at),
            sinks: sinks.map_or(0, |at| base + at),
            states,
        })
    }

    /// What this very backend made of a plan.
    pub(super) fn placed<'a>(&self, plan: &'a Plan) -> Option<&'a OnDevice<D::Memory>> {
        let any: &(dyn Any + Send + Sync) = plan.cuda.as_deref()?;
        let found = any.downcast_ref::<OnDevice<D::Memory>>()?;
        Arc::ptr_eq(&found.backend, &self.areas).then_some(found)
    }

    /// At least `bytes` for states, the same memory for all plans until one needs more.
    fn states(&self, bytes: usize) -> Result<Option<Arc<D::Memory>>, Error> {
        if bytes == 0 {
            return Ok(None);
        }
        let mut states = lock(&self.states);
        if let Some((memory, size)) = &*states
            && *size >= bytes
        {
            return Ok(Some(memory.clone()));
        }
        let size = bytes.next_power_of_two();
        let memory = Arc::new(self.driver.alloc(size)?);
        *states = Some((memory.clone(), size));
        Ok(Some(memory))
    }
}
