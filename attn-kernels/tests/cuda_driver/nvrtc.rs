//! Kernels that do not ship, compiled at run time: right, kept on disk, and made again when damaged.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use attn_kernels::cuda::{Compiler, CudaBackend, CudaDevice, Driver};
use attn_kernels::{AttentionShape, Backend, Batch, CacheShape, Error};
use fp8_format::ElementType::{Bf16, F8E4M3, F8E5M2, F16, Int8};

use crate::attention::check_pair;

/// Set where the compiler must be there: by `cargo xtask test`.
const REQUIRED: &str = "REQUIRE_LIBNVRTC";

pub(crate) fn compiled(plain: &CudaDevice) {
    if !Compiler::is_available() {
        assert!(std::env::var_os(REQUIRED).is_none(), "{REQUIRED} is set and there is no libnvrtc");
        writeln!(std::io::stderr(), "skipped: no libnvrtc").expect("stderr is open");
        return absent(plain);
    }
    let (major, minor) = plain.compute_capability();
    let name = format!("nvrtc-{major}{minor}-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let open = || {
        let compiler = Compiler::new().cache_in(&folder);
        CudaDevice::with_compiler(0, &[], compiler).unwrap()
    };
    let device = open();
    check_pair(&device, (F16, F8E4M3), 64, false, 16);
    // Neither the pair nor the head dimension ships; of the second only the head dimension.
    check_pair(&device, (F8E5M2, Int8), 96, true, 32);
    check_pair(&device, (Bf16, Bf16), 96, false, 16);
    assert!(!device.has("attention_f16_f16", "attention_f16_f16_d72_m1").unwrap());
    let entries = files(&folder);
    assert_eq!(entries.len(), 3, "{entries:?}");

    // Another program finds them there, and changes nothing.
    let before: Vec<_> =
        entries.iter().map(|path| fs::metadata(path).unwrap().modified()).collect();
    check_pair(&open(), (F16, F8E4M3), 64, false, 16);
    let after: Vec<_> = entries.iter().map(|path| fs::metadata(path).unwrap().modified()).collect();
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    // A damaged one is made again, as it was.
    let whole: Vec<Vec<u8>> = entries.iter().map(|path| fs::read(path).unwrap()).collect();
    entries.iter().zip(&whole).for_each(|(path, text)| fs::write(path, &text[..999]).unwrap());
    check_pair(&open(), (F16, F8E4M3), 64, false, 16);
    let healed =
        entries.iter().zip(&whole).filter(|(path, text)| fs::read(path).unwrap() == **text).count();
    assert_eq!((healed, files(&folder).len()), (1, 3));
    fs::remove_dir_all(&folder).unwrap();
    let uncached = CudaDevice::with_compiler(0, &[], Compiler::new().without_cache()).unwrap();
    assert!(uncached.has("attention_f16_e4m3", "attention_f16_e4m3_d64_m2").unwrap());
    assert!(!folder.exists());
}

/// Without the compiler the kernel is named, when the plan is made.
fn absent(device: &CudaDevice) {
    let backend = CudaBackend::new(device.clone());
    let shape = CacheShape::new(4, 16, 1, 64, F16, F8E4M3);
    let mut batch = Batch::new();
    batch.push(1, 1, [1]);
    let error = backend.plan(&shape, &AttentionShape::new(2, 0.1), &batch).unwrap_err();
    assert_eq!(error, Error::NoCompiler { kernel: "attention_f16_e4m3_d64_m1".to_owned() });
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}
