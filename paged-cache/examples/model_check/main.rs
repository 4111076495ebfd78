//! Random operations on caches of random shapes, each checked against a naive model:
//! `cargo run --release -p paged-cache --example model_check -- --ops 1000000 --seed 1`.

mod check;
mod model;
mod ops;

use model::Op;

/// Steps on one cache before the next shape is tried.
const PER_CACHE: u64 = 400;

fn main() {
    let (mut num_ops, mut seed) = (1_000_000, 1);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let number = args.next().and_then(|value| value.parse::<u64>().ok());
        match (arg.as_str(), number) {
            ("--ops", Some(n)) => num_ops = n,
            ("--seed", Some(n)) => seed = n,
            _ => {
                eprintln!("error: usage: model_check [--ops N] [--seed S]");
                std::process::exit(2);
            }
        }
    }
    let start = std::time::Instant::now();
    let mut random = Random(seed);
    let (mut done, mut caches, mut hits) = (0, 0_u64, 0);
    while done < num_ops {
        let shape = random.next();
        if caches.is_multiple_of(1000) {
            eprintln!("{done} operations, {caches} caches");
        }
        let ops: Vec<Op> = (0..PER_CACHE.min(num_ops - done)).map(|_| random.op()).collect();
        done += ops.len() as u64;
        caches += 1;
        hits += check::run(shape, ops);
    }
    assert!(hits > 0 || num_ops < 1000, "no operation ever hit a prefix: the run tests nothing");
    println!(
        "{done} operations on {caches} caches agree with the model, {hits} tokens were hits; seed {seed}, {:.1} s",
        start.elapsed().as_secs_f64()
    );
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn op(&mut self) -> Op {
        let bits = self.next();
        Op { kind: self.next() as u8, a: bits as u32, b: (bits >> 32) as u32 }
    }
}
