//! The model compiled into the binary: its files, named as in a checkpoint directory.

use std::borrow::Cow;

/// What the embedded model is called where a directory's name would stand.
pub const NAME: &str = "tiny-llama (embedded)";

/// The embedded model's files, as `kv_scales::Checkpoint::from_memory` takes them.
#[must_use]
pub fn files() -> Vec<(String, Cow<'static, [u8]>)> {
    macro_rules! files {
        ($($name:literal),*) => {
            vec![$((
                $name.to_owned(),
                Cow::Borrowed(include_bytes!(concat!("../assets/tiny-llama/", $name)).as_slice()),
            )),*]
        };
    }
    files![
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json"
    ]
}
