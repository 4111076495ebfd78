//! The CUDA backend over slices, as the other backends are, so that the same tests serve it.

use std::ops::Range;

use attn_kernels::cuda::{CudaBackend, CudaBuffer, Driver};
use attn_kernels::{
    AttentionShape, Backend, Batch, CacheShape, Error, HeadAbsmax, KvCache, LayerScales, Plan,
};

/// Uploads what a call reads, downloads what it writes.
pub(crate) struct Slices<D: Driver>(pub(crate) CudaBackend<D>);

impl<D: Driver> Backend for Slices<D> {
    type Buffer = CudaBuffer<D::Memory>;
    type Input<'a> = &'a [f32];
    type Output<'a> = &'a mut [f32];

    fn new_cache(&self, shape: CacheShape) -> Result<KvCache<Self::Buffer>, Error> {
        self.0.new_cache(shape)
    }

    fn plan(&self, c: &CacheShape, a: &AttentionShape, batch: &Batch) -> Result<Plan, Error> {
        self.0.plan(c, a, batch)
    }

    fn append(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        scales: &LayerScales,
        k: &[f32],
        v: &[f32],
        slots: &[i64],
    ) -> Result<(), Error> {
        let (k, v) = (self.0.upload(k)?, self.0.upload(v)?);
        self.0.append(cache, scales, &k, &v, slots)
    }

    fn attention(
        &self,
        plan: &Plan,
        cache: &KvCache<Self::Buffer>,
        scales: &LayerScales,
        q: &[f32],
        out: &mut [f32],
        lse: Option<&mut [f32]>,
    ) -> Result<(), Error> {
        let q = self.0.upload(q)?;
        let mut device_out = self.0.upload(out)?;
        let mut device_lse = lse.as_ref().map(|lse| self.0.upload(lse)).transpose()?;
        self.0.attention(plan, cache, scales, &q, &mut device_out, device_lse.as_mut())?;
        out.copy_from_slice(&self.0.download(&device_out)?);
        if let (Some(lse), Some(from)) = (lse, &device_lse) {
            lse.copy_from_slice(&self.0.download(from)?);
        }
        Ok(())
    }

    fn copy_blocks(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        self.0.copy_blocks(cache, copies)
    }

    fn append_observed(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        scales: &LayerScales,
        k: &[f32],
        v: &[f32],
        slots: &[i64],
        seen: &mut HeadAbsmax,
    ) -> Result<(), Error> {
        let (k, v) = (self.0.upload(k)?, self.0.upload(v)?);
        self.0.append_observed(cache, scales, &k, &v, slots, seen)
    }

    fn copy_blocks_from(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        source: &KvCache<Self::Buffer>,
        copies: &[(u32, u32)],
    ) -> Result<(), Error> {
        self.0.copy_blocks_from(cache, source, copies)
    }

    fn gather(
        &self,
        cache: &KvCache<Self::Buffer>,
        scales: &LayerScales,
        block_table: &[u32],
        tokens: Range<usize>,
        k: &mut [f32],
        v: &mut [f32],
    ) -> Result<(), Error> {
        let (mut to_k, mut to_v) = (self.0.zeros(k.len())?, self.0.zeros(v.len())?);
        self.0.gather(cache, scales, block_table, tokens, &mut to_k, &mut to_v)?;
        self.0.read(&to_k, k)?;
        self.0.read(&to_v, v)
    }

    fn swap_out(
        &self,
        cache: &KvCache<Self::Buffer>,
        blocks: &[u32],
        host: &mut [u8],
    ) -> Result<(), Error> {
        self.0.swap_out(cache, blocks, host)
    }

    fn swap_in(
        &self,
        cache: &mut KvCache<Self::Buffer>,
        blocks: &[u32],
        host: &[u8],
    ) -> Result<(), Error> {
        self.0.swap_in(cache, blocks, host)
    }
}
