//! `config.json` → [`ModelConfig`](config): the shape of a decoder, checked before anything is loaded.
