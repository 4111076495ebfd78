//! Append, attention, copies and gathering against the reference.

use attn_kernels::cuda::{CudaBackend, CudaDevice};
use attn_kernels::{AttnMath, Backend, KvLayout, KvScale, ReferenceBackend};
use fp8_format::ElementType::{self, Bf16, F8E4M3, F8E5M2, F16, Int8};

use crate::common::{World, bits, errors};
use crate::slices::Slices;

/// Beyond the rounding of Q and P to what the tensor cores multiply.
const BOUND: f64 = 2e-3;

fn check(device: &CudaDevice, stored: ElementType, d: usize, dynamic: bool, bs: usize) {
    check_pair(device, (stored, stored), d, dynamic, bs);
}

/// Prefill, decode and a sequence of one token, all in one batch; then the blocks moved.
pub(crate) fn check_pair(
    device: &CudaDevice,
    (k, v): (ElementType, ElementType),
    d: usize,
    dynamic: bool,
    bs: usize,
) {
    let cuda = Slices(CudaBackend::new(device.clone()));
    let world = World::new(5, 8, 2, d, &[530, 17, 1]);
    let layout = if dynamic { KvLayout::Nhd } else { KvLayout::Hnd };
    let shape = world.shape(bs, layout, k, v).with_per_token_head(dynamic, dynamic);
    let world = world.with_scales(&shape, true);
    let tables = world.tables(&shape, 7);
    let name = format!("{} {k:?}/{v:?} d {d}", device.name());
    let mut on_device = world.fill(&cuda, &shape, &tables);
    let mut on_host = world.fill(&ReferenceBackend, &shape, &tables);
    let queries = [(0, 500, 530), (1, 16, 17), (2, 0, 1)];
    let attention = world.attention();
    let want = world.attend(&ReferenceBackend, &on_host, &attention, &tables, &queries);
    let got = world.attend(&cuda, &on_device, &attention, &tables, &queries);
    let (worst, _) = errors(&got.0, &want.0);
    assert!(worst <= BOUND, "{name}: {worst}");
    let (worst, _) = errors(&got.1, &want.1);
    assert!(worst <= BOUND, "{name}: lse {worst}");

    let copies = [(tables[0][0], 0), (tables[1][0], tables[0][0]), (0, tables[1][0])];
    cuda.copy_blocks(&mut on_device, &copies).unwrap();
    ReferenceBackend.copy_blocks(&mut on_host, &copies).unwrap();
    for (side, device, host) in
        [("K", on_device.k(), on_host.k()), ("V", on_device.v(), on_host.v())]
    {
        assert!(cuda.0.codes(device).unwrap() == host.bytes(), "{name}: {side}'s codes");
        let scales = cuda.0.scales(&shape, device).unwrap();
        assert!(scales == host.scales(), "{name}: {side}'s scales");
    }
}

/// Every type on one device.
pub(crate) fn reference(device: &CudaDevice) {
    for stored in [F8E4M3, F8E5M2, Int8, F16, Bf16] {
        check(device, stored, 64, false, 16);
    }
    check(device, F8E4M3, 128, true, 32);
}

/// The device loads the text that is for it.
pub(crate) fn architecture(device: &CudaDevice) {
    let arch = device.module_arch("attention_e4m3_e4m3").unwrap().expect("it ships");
    let expected = match device.compute_capability() {
        (9, 0) => "sm_90a",
        (10, 0) => "sm_100a",
        (12, 0) => "sm_120a",
        capability if capability >= (8, 9) => "sm_89",
        _ => "sm_80",
    };
    assert_eq!(arch, expected);
    assert_eq!(device.module_arch("no_such_module").unwrap(), None);
    check(device, F8E4M3, 128, false, 16);
}

/// A row alone, in a batch, decoded and prefilled: one result.
pub(crate) fn invariance(device: &CudaDevice) {
    let cuda = Slices(CudaBackend::new(device.clone()));
    let world = World::new(9, 8, 2, 64, &[700, 300]);
    let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
    let world = world.with_scales(&shape, true);
    let tables = world.tables(&shape, 3);
    let cache = world.fill(&cuda, &shape, &tables);
    let attend = |queries: &[(usize, usize, usize)]| {
        bits(&world.attend(&cuda, &cache, &world.attention(), &tables, queries).0)
    };
    let row = 8 * 64;
    let alone = attend(&[(0, 699, 700)]);
    assert_eq!(attend(&[(1, 100, 300), (0, 699, 700)])[200 * row..], alone);
    assert_eq!(attend(&[(0, 600, 700)])[99 * row..], alone);
}

/// Scales and slots are kept on the device: others of the same number must not be taken for them.
pub(crate) fn renewed(device: &CudaDevice) {
    let cuda = Slices(CudaBackend::new(device.clone()));
    let mut world = World::new(12, 4, 2, 64, &[24, 24]);
    let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
    let tables = world.tables(&shape, 3);
    let mut on_device = cuda.new_cache(shape.clone()).unwrap();
    let mut on_host = ReferenceBackend.new_cache(shape.clone()).unwrap();
    let attention = world.attention().with_math(AttnMath::Fp8Q);
    for (round, base) in [0.01, 0.02, 0.015].into_iter().enumerate() {
        world.scales.k = KvScale::PerHead([base, base * 1.5].into());
        world.scales.v = KvScale::PerHead([base * 2.0, base].into());
        world.scales.q = KvScale::PerTensor(base * 1.2);
        let s = round % 2;
        let slots = World::slots(&tables[s], 16, 0..24);
        let (k, v) = (&world.k[s], &world.v[s]);
        cuda.append(&mut on_device, &world.scales, k, v, &slots).unwrap();
        ReferenceBackend.append(&mut on_host, &world.scales, k, v, &slots).unwrap();
        assert!(cuda.0.codes(on_device.k()).unwrap() == on_host.k().bytes(), "round {round}: K");
        assert!(cuda.0.codes(on_device.v()).unwrap() == on_host.v().bytes(), "round {round}: V");
        let got = world.attend(&cuda, &on_device, &attention, &tables, &[(s, 20, 24)]);
        let want = world.attend(&ReferenceBackend, &on_host, &attention, &tables, &[(s, 20, 24)]);
        let (worst, _) = errors(&got.0, &want.0);
        assert!(worst <= 2e-3, "round {round}: {worst}");
        // Read under other scales: they are the call's, not the store's.
        world.scales.k = KvScale::PerTensor(base * 0.5);
        let got = world.attend(&cuda, &on_device, &attention, &tables, &[(s, 20, 24)]);
        let want = world.attend(&ReferenceBackend, &on_host, &attention, &tables, &[(s, 20, 24)]);
        let (worst, _) = errors(&got.0, &want.0);
        assert!(worst <= 2e-3, "round {round}, other scales: {worst}");
    }
}
