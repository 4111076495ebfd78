//! probe
use engine::llm::*;
use engine::sampling::SamplingParams;
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let dt = std::env::args().nth(2).unwrap();
    let cfg = EngineConfig { kv_cache_dtype: Some(dt.parse().unwrap()), ..Default::default() };
    let mut llm = if dir == "-" { Llm::embedded(cfg) } else { Llm::load(dir, cfg) }.unwrap();
    let out = llm
        .generate(&["In the beginning", "And the LORD said unto"], &SamplingParams::greedy(40))
        .unwrap();
    for o in &out {
        println!("{:?}", o);
    }
    for w in llm.warnings() {
        println!("{w:?}");
    }
    println!("{}", llm.capacity());
}
