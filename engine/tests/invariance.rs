//! The same sequence gives the same bits, however it is fed.

mod support;

use fp8_format::ElementType;
use kv_scales::Checkpoint;
use support::{Random, Runner};

/// Past the first 256-token chunk of attention, and no multiple of any chunk or block below.
const LONG: usize = 301;

fn sequences() -> Vec<Vec<u32>> {
    let mut random = Random(7);
    let lengths = [LONG, 1, 17, 128, 256, 257, 40, 300];
    let sequence = |len| (0..len).map(|_| (random.next() % 2048) as u32).collect();
    lengths.into_iter().map(sequence).collect()
}

fn runner(element: ElementType, block_size: usize) -> Runner {
    let checkpoint = Checkpoint::from_memory(engine::assets::files()).unwrap();
    Runner::new(&checkpoint, element, block_size)
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

fn threads<R: Send>(n: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(f)
}

fn every_schedule_gives_the_same_bits(element: ElementType) {
    let all = sequences();
    let alone = vec![all[0].clone()];
    let want = threads(1, || bits(&runner(element, 16).logits(&alone, LONG)[0]));
    assert_eq!(want.len(), LONG * 2048);
    assert!(want.iter().all(|bits| f32::from_bits(*bits).is_finite()));
    for num_threads in [1, 2] {
        for chunk in [1, 7, 128] {
            for (name, batch) in [("alone", &alone), ("in a batch of 8", &all)] {
                let got = threads(num_threads, || runner(element, 16).logits(batch, chunk));
                let what = format!("{element}, {name}, chunks of {chunk}, {num_threads} threads");
                assert!(bits(&got[0]) == want, "{what}");
            }
        }
    }
    let other_blocks = bits(&runner(element, 64).logits(&alone, 128)[0]);
    assert!(other_blocks == want, "{element}, blocks of 64");
}

#[test]
fn with_an_f32_cache() {
    every_schedule_gives_the_same_bits(ElementType::F32);
}

#[test]
fn with_an_fp8_cache() {
    every_schedule_gives_the_same_bits(ElementType::F8E4M3);
}

/// The comparison above can fail: another cache dtype gives other bits.
#[test]
fn another_dtype_gives_other_bits() {
    let alone = vec![sequences()[2].clone()];
    let f32 = runner(ElementType::F32, 16).logits(&alone, 128);
    let fp8 = runner(ElementType::F8E4M3, 16).logits(&alone, 128);
    assert_ne!(bits(&f32[0]), bits(&fp8[0]));
}
