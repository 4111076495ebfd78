//! A library of matrix products, computed here on the host: that the decoder asks one for the right
//! products. (What it does not show is that cublasLt computes them: see `cublaslt.rs`.)

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use attn_kernels::Batch;
use attn_kernels::cuda::{CudaBackend, CudaDevice, Driver};
use cudarc::driver::result::{memcpy_dtoh_sync, memcpy_htod_sync};
use fp8_format::ElementType;
use kv_scales::Checkpoint;

use super::super::gemm::{Gemm, Library};
use super::super::{CudaDecoder, CudaWeights, MODULES, head_dim};
use crate::Error;
use crate::cache::CacheLayout;
use crate::config::ModelConfig;
use crate::model::{Executor, Step};
use crate::ops::WeightType;
use crate::weights::Weights;

struct Host {
    device: CudaDevice,
    calls: AtomicUsize,
    /// One call at a time.
    lock: Mutex<()>,
}

impl Host {
    fn bf16(&self, at: u64, count: usize) -> Vec<f32> {
        let mut bytes = vec![0u8; count * 2];
        self.device.stream().context().bind_to_thread().unwrap();
        // SAFETY: the decoder's tensors are at least that long.
        unsafe { memcpy_dtoh_sync(&mut bytes, at) }.unwrap();
        let mut values = vec![0.0; count];
        WeightType::Bf16.to_f32(&bytes, &mut values);
        values
    }
}

impl Library for Host {
    fn multiply(&self, gemm: &Gemm) -> Result<(), Error> {
        let _alone = self.lock.lock().unwrap();
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.device.synchronize()?;
        let Gemm { weight, x, y, out, rows, depth, stride, accumulate } = *gemm;
        let (weight, x) = (self.bf16(weight, out * depth), self.bf16(x, rows * depth));
        let mut to = vec![0.0f32; (rows - 1) * stride + out];
        // SAFETY: as above.
        unsafe { memcpy_dtoh_sync(&mut to, y) }.unwrap();
        for (x, y) in x.chunks_exact(depth).zip(to.chunks_mut(stride)) {
            for (y, w) in y[..out].iter_mut().zip(weight.chunks_exact(depth)) {
                let terms = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                let before = if accumulate { f64::from(*y) } else { 0.0 };
                *y = (before + terms.sum::<f64>()) as f32;
            }
        }
        // SAFETY: as above.
        unsafe { memcpy_htod_sync(y, &to) }.unwrap();
        Ok(())
    }
}

pub(super) fn on_the_host() {
    let device = CudaDevice::with_modules(0, MODULES).unwrap();
    let backend = Arc::new(CudaBackend::new(device.clone()));
    let checkpoint = Checkpoint::from_memory(crate::assets::files()).unwrap();
    let config = ModelConfig::from_json(checkpoint.config().unwrap(), None).unwrap();
    let weights = Weights::load(&checkpoint, &config).unwrap();
    let layout = CacheLayout::uniform(&config, 16, ElementType::F16, ElementType::F16);
    let width = head_dim(backend.as_ref(), &config, layout.layers()).unwrap();
    let weights = CudaWeights::upload(backend.as_ref(), &config, &weights, width).unwrap();
    let (weights, layout) = (Arc::new(weights), layout.with_head_dim(width));
    let host = Arc::new(Host { device, calls: AtomicUsize::new(0), lock: Mutex::new(()) });
    let run = |library: Option<Arc<dyn Library>>| {
        let caches = layout.clone().into_layers(2);
        let (weights, backend) = (Arc::clone(&weights), Arc::clone(&backend));
        let decoder = CudaDecoder::new(config.clone(), weights, backend, caches).unwrap();
        let mut batch = Batch::new();
        batch.push(9, 9, [1]);
        let step = Step {
            batch: &batch,
            tokens: &[7, 1999, 3, 3, 500, 12, 77, 1024, 9],
            positions: &[0, 1, 2, 3, 4, 5, 6, 7, 8],
            slots: &[16, 17, 18, 19, 20, 21, 22, 23, 24],
            logits_rows: &[8, 2],
        };
        let mut logits = Vec::new();
        decoder.with_library(library).step(&step, &mut (), &mut logits).unwrap();
        logits
    };
    let ours = run(None);
    let theirs = run(Some(Arc::clone(&host) as Arc<dyn Library>));
    // Seven layers of three planes in each decoder layer, and the output.
    assert_eq!(host.calls.load(Ordering::Relaxed), 4 * 7 * 3 + 3);
    let largest = ours.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        // Beside the order of f32 sums, a bit of Q may fall to the other side in f16.
        assert!((ours - theirs).abs() <= 1e-3 * largest, "{theirs} for {ours}");
    }
    assert_eq!((ours.len(), theirs.len()), (2 * 2048, 2 * 2048));
}
