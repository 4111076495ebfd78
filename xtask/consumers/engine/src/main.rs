//! Text from the model compiled into the library, through an FP8 paged cache: no download, no files.

use engine::llm::{EngineConfig, Llm};
use engine::sampling::SamplingParams;

fn main() -> Result<(), engine::Error> {
    let mut llm = Llm::embedded(EngineConfig::default())?;
    assert_eq!(llm.kv_cache_dtype(), "fp8_e4m3");
    let prompts = ["In the beginning", "And the LORD said"];
    let together = llm.generate(&prompts, &SamplingParams::greedy(12))?;
    for (prompt, output) in prompts.iter().zip(&together) {
        let alone = llm.generate(&[*prompt], &SamplingParams::greedy(12))?;
        assert_eq!(alone[0].outputs, output.outputs, "a batch changes nothing");
        println!("{prompt}{}", output.outputs[0].text);
    }
    Ok(())
}
