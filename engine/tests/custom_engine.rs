//! The example engine, built from the single crates, says what [`Llm`] says.

#[allow(dead_code, reason = "its `main` is for people")]
#[path = "../examples/custom_engine.rs"]
mod custom_engine;

use engine::llm::{EngineConfig, Llm};
use engine::sampling::SamplingParams;

#[test]
fn an_engine_of_ones_own_generates_the_same_text() {
    let mut llm = Llm::embedded(EngineConfig::default()).unwrap();
    for prompt in ["In the beginning", "And the LORD said unto", "Alice was"] {
        let output = llm.generate(&[prompt], &SamplingParams::greedy(32)).unwrap().remove(0);
        let ids = custom_engine::generate(&output.prompt_token_ids, 32).unwrap();
        assert_eq!(ids, output.outputs[0].token_ids, "{prompt}");
    }
}
