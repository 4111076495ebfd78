//! A step in the steady state is launches alone: counted, and captured into a graph.

use std::cell::RefCell;
use std::ops::Range;

use attn_kernels::cuda::{
    CudaBackend, CudaBuffer, CudaDevice, CudaMemory, CudaPinned, CudaTensor, Driver, Launch,
};
use attn_kernels::{
    AttnMath, Backend, Batch, CacheShape, Error, KvCache, KvScale, LayerScales, Plan,
};
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use fp8_format::ElementType::F8E4M3;

use crate::common::Rng;

/// A device that notes what is asked of it.
#[derive(Debug)]
struct Counting {
    device: CudaDevice,
    calls: RefCell<Vec<&'static str>>,
}

impl Counting {
    fn note(&self, call: &'static str) -> &CudaDevice {
        self.calls.borrow_mut().push(call);
        &self.device
    }
}

impl Driver for Counting {
    type Memory = CudaMemory;
    type Pinned = CudaPinned;

    fn has(&self, module: &str, kernel: &str) -> Result<bool, Error> {
        self.note("has").has(module, kernel)
    }

    fn shared_limit(&self) -> u32 {
        self.device.shared_limit()
    }

    fn resident_ctas(&self, m: &str, k: &str, threads: u32, shared: u32) -> Result<usize, Error> {
        self.note("resident_ctas").resident_ctas(m, k, threads, shared)
    }

    fn alloc(&self, bytes: usize) -> Result<CudaMemory, Error> {
        self.note("alloc").alloc(bytes)
    }

    fn owns(&self, memory: &CudaMemory) -> bool {
        self.device.owns(memory)
    }

    fn address(&self, memory: &CudaMemory) -> u64 {
        memory.address()
    }

    fn write(&self, memory: &CudaMemory, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.note("write").write(memory, offset, bytes)
    }

    fn pinned(&self, bytes: usize) -> Result<CudaPinned, Error> {
        self.note("pinned").pinned(bytes)
    }

    fn write_pinned(
        &self,
        memory: &CudaMemory,
        offset: usize,
        from: &CudaPinned,
        range: Range<usize>,
    ) -> Result<(), Error> {
        self.note("write_pinned").write_pinned(memory, offset, from, range)
    }

    fn read(&self, memory: &CudaMemory, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        self.note("read").read(memory, offset, bytes)
    }

    fn copy(
        &self,
        from: (&CudaMemory, usize),
        to: (&CudaMemory, usize),
        bytes: usize,
    ) -> Result<(), Error> {
        self.note("copy").copy(from, to, bytes)
    }

    unsafe fn launch(&self, launch: &Launch<'_>) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { self.note("launch").launch(launch) }
    }

    fn synchronize(&self) -> Result<(), Error> {
        self.note("synchronize").synchronize()
    }
}

const HEADS: usize = 8;
const KV_HEADS: usize = 2;
const D: usize = 64;

type Tensor = CudaTensor<CudaMemory>;

/// Layers with scales of their own, and the tensors of a step.
struct Step {
    caches: Vec<KvCache<CudaBuffer<CudaMemory>>>,
    scales: Vec<LayerScales>,
    q: Vec<Tensor>,
    k: Vec<Tensor>,
    v: Vec<Tensor>,
    out: Vec<Tensor>,
    plan: Plan,
    slots: Vec<i64>,
}

/// A decode step of two sequences over three layers, whose contexts are stored already.
fn step<D1: Driver<Memory = CudaMemory>>(backend: &CudaBackend<D1>) -> Step {
    let shape = CacheShape::new(60, 16, KV_HEADS, D, F8E4M3, F8E4M3);
    let (mut rng, lens) = (Rng::new(4), [600, 33]);
    let tables: [Vec<u32>; 2] = [(1..39).collect(), vec![50, 40, 45]];
    let slot = |s: usize, t: usize| i64::from(tables[s][t / 16]) * 16 + (t % 16) as i64;
    let mut step = Step {
        caches: Vec::new(),
        scales: Vec::new(),
        q: Vec::new(),
        k: Vec::new(),
        v: Vec::new(),
        out: Vec::new(),
        plan: {
            let mut batch = Batch::new();
            batch.push(1, lens[0], tables[0].iter().copied());
            batch.push(1, lens[1], tables[1].iter().copied());
            let mut attention = attn_kernels::AttentionShape::new(HEADS, 0.125);
            attention.math = AttnMath::Fp8Q;
            backend.plan(&shape, &attention, &batch).unwrap()
        },
        slots: vec![slot(0, lens[0] - 1), slot(1, lens[1] - 1)],
    };
    for layer in 0..3 {
        let base = 0.01 * (layer + 1) as f32;
        let scales = LayerScales {
            q: KvScale::PerTensor(base * 1.1),
            k: KvScale::PerHead([base, base * 2.0].into()),
            v: KvScale::PerTensor(base * 3.0),
            prob: None,
        };
        let mut cache = backend.new_cache(shape.clone()).unwrap();
        for (s, len) in lens.into_iter().enumerate() {
            let slots: Vec<i64> = (0..len - 1).map(|t| slot(s, t)).collect();
            let mut fresh = || backend.upload(&rng.normals((len - 1) * KV_HEADS * D, 1.0)).unwrap();
            let (k, v) = (fresh(), fresh());
            backend.append(&mut cache, &scales, &k, &v, &slots).unwrap();
        }
        step.caches.push(cache);
        step.scales.push(scales);
        for (list, n) in [
            (&mut step.q, 2 * HEADS * D),
            (&mut step.k, 2 * KV_HEADS * D),
            (&mut step.v, 2 * KV_HEADS * D),
            (&mut step.out, 2 * HEADS * D),
        ] {
            list.push(backend.zeros(n).unwrap());
        }
    }
    step
}

impl Step {
    /// New contents for the inputs.
    fn fill<D1: Driver<Memory = CudaMemory>>(&self, backend: &CudaBackend<D1>, seed: u64) {
        let mut rng = Rng::new(seed);
        for tensor in self.q.iter().chain(&self.k).chain(&self.v) {
            backend.write(tensor, &rng.normals(tensor.len(), 1.0)).unwrap();
        }
    }

    fn run<D1: Driver<Memory = CudaMemory>>(
        &mut self,
        backend: &CudaBackend<D1>,
    ) -> Result<(), Error> {
        for layer in 0..3 {
            let (cache, scales) = (&mut self.caches[layer], &self.scales[layer]);
            backend.append(cache, scales, &self.k[layer], &self.v[layer], &self.slots)?;
            let (q, out) = (&self.q[layer], &mut self.out[layer]);
            backend.attention(&self.plan, cache, scales, q, out, None)?;
        }
        Ok(())
    }

    fn results<D1: Driver<Memory = CudaMemory>>(&self, backend: &CudaBackend<D1>) -> Vec<Vec<f32>> {
        self.out.iter().map(|out| backend.download(out).unwrap()).collect()
    }
}

pub(crate) fn counted(device: &CudaDevice) {
    let backend = CudaBackend::new(Counting { device: device.clone(), calls: RefCell::default() });
    let calls = || std::mem::take(&mut *backend.driver().calls.borrow_mut());
    let mut step = step(&backend);
    step.fill(&backend, 1);
    calls();
    // The first time each layer's Q scales are sent (K's and V's were, when contexts were stored), and
    // the slots, once for all layers.
    step.run(&backend).unwrap();
    let first = calls();
    let count = |name: &str| first.iter().filter(|call| **call == name).count();
    assert_eq!((count("write"), count("read"), count("synchronize")), (1 + 3, 0, 0), "{first:?}");
    // From then on launches alone: per layer one append, attention with its contexts split, one merge.
    step.run(&backend).unwrap();
    let steady = calls();
    assert!(steady.iter().all(|call| *call == "launch"), "{steady:?}");
    assert_eq!(steady.len(), 3 * 3);
    // Other slots are sent once; another plan is one copy.
    step.slots[1] += 1;
    step.run(&backend).unwrap();
    assert_eq!(calls().iter().filter(|call| **call != "launch").collect::<Vec<_>>(), [&"write"]);
    let (cache, attention) = (step.plan.cache().clone(), step.plan.attention().clone());
    let batch = step.plan.batch().clone();
    step.plan = backend.plan(&cache, &attention, &batch).unwrap();
    calls();
    step.plan = backend.plan(&cache, &attention, &batch).unwrap();
    let planned = calls();
    assert_eq!(planned.iter().filter(|call| **call == "write").count(), 1, "{planned:?}");
    assert!(!planned.contains(&"alloc") && !planned.contains(&"synchronize"), "{planned:?}");
}

pub(crate) fn captured(device: &CudaDevice) {
    let context = device.stream().context().clone();
    // SAFETY: there is one stream, and no memory of cudarc's own kind.
    unsafe { context.disable_event_tracking() };
    let backend = CudaBackend::new(device.clone());
    let mut step = step(&backend);
    // What the graph should give: the same step, launched call by call.
    let mut expected = Vec::new();
    for seed in [1, 2, 3] {
        step.fill(&backend, seed);
        step.run(&backend).unwrap();
        expected.push(step.results(&backend));
    }
    assert!(expected[0] != expected[1] && expected[1] != expected[2]);

    // A capture that allocates, waits or copies from pageable memory is refused or invalid.
    let stream = device.stream();
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    step.run(&backend).unwrap();
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().expect("a graph");
    assert_eq!(step.results(&backend), expected[2], "recorded, not run");
    for (seed, expected) in [1, 2, 3].into_iter().zip(&expected) {
        step.fill(&backend, seed);
        graph.launch().unwrap();
        assert!(step.results(&backend) == *expected, "replay {seed}");
    }
    // A plan of another backend gives the same; it is sent with the call.
    let other = CudaBackend::new(device.clone());
    let (cache, attention) = (step.plan.cache().clone(), step.plan.attention().clone());
    step.plan = other.plan(&cache, &attention, &step.plan.batch().clone()).unwrap();
    step.run(&backend).unwrap();
    assert!(step.results(&backend) == expected[2]);
}

/// What must be sent is refused in a capture, and sent by the next call outside of it.
pub(crate) fn not_captured(device: &CudaDevice) {
    let context = device.stream().context().clone();
    // SAFETY: there is one stream, and no memory of cudarc's own kind.
    unsafe { context.disable_event_tracking() };
    let backend = CudaBackend::new(device.clone());
    let steps = || {
        let mut step = step(&backend);
        step.fill(&backend, 1);
        step.run(&backend).unwrap();
        step
    };
    let (mut step, mut eager) = (steps(), steps());
    let spare = backend.zeros(1 << 20).unwrap();
    let mut pinned = Some(device.pinned(64).unwrap());
    let mut spare = Some(spare);
    device.synchronize().unwrap();
    let (free, _) = device.memory_info().unwrap();

    let stream = device.stream();
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    step.slots[1] -= 1;
    for _ in 0..2 {
        let refused = step.run(&backend).unwrap_err();
        assert!(matches!(refused, Error::Captured { .. }), "{refused}");
    }
    let text = backend.zeros(16).unwrap_err().to_string();
    assert!(text.starts_with("cannot allocate while the stream is captured"), "{text}");
    assert!(matches!(device.pinned(64), Err(Error::Captured { .. })));
    assert!(matches!(device.synchronize(), Err(Error::Captured { .. })));
    assert!(matches!(backend.download(&step.out[0]), Err(Error::Captured { .. })));
    assert!(matches!(
        backend.write(&step.q[0], &[0.0; 2 * HEADS * D]),
        Err(Error::Captured { .. })
    ));
    // Memory that is let go meanwhile is freed later.
    spare.take();
    pinned.take();
    // Nothing of that ended the capture. (An empty graph may be none.)
    stream.end_capture(CUgraphInstantiate_flags(0)).unwrap();

    step.run(&backend).unwrap();
    eager.slots[1] -= 1;
    let other = CudaBackend::new(device.clone());
    eager.run(&other).unwrap();
    assert!(step.results(&backend) == eager.results(&backend), "the new slots were not sent");
    for (a, b) in step.caches.iter().zip(&eager.caches) {
        assert!(backend.codes(a.k()).unwrap() == backend.codes(b.k()).unwrap());
    }
    drop(backend.zeros(16).unwrap());
    device.synchronize().unwrap();
    if crate::gate::is_emulated(device) {
        // A GPU's pool need not give it back.
        let (now, _) = device.memory_info().unwrap();
        assert!(now >= free + (1 << 20) * 4 - (1 << 20), "{now} free, {free} before");
    }
}
