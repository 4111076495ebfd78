//! Opening a checkpoint: every layout that is read, and every way a file can lie.

mod common;

use std::borrow::Cow;

use common::{directory, f32s, file, llama, raw_shard, shard};
use kv_scales::checkpoint::MAX_HEADER_BYTES;
use kv_scales::{Checkpoint, Error, Location, ResolveOptions, TensorDtype, resolve};

fn one(name: &str) -> Vec<u8> {
    shard(&[f32s(name, &[2], &[1.0, 2.0])], &[])
}

fn index(pairs: &[(&str, &str)]) -> String {
    let map: serde_json::Map<_, _> =
        pairs.iter().map(|(t, f)| ((*t).into(), (*f).into())).collect();
    serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string()
}

fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    checkpoint.tensors().map(|t| t.name.as_str()).collect()
}

const INDEX: &str = "model.safetensors.index.json";

#[test]
fn the_index_wins_then_the_single_file_then_all_files() {
    let listed = index(&[("b", "2.safetensors"), ("a", "1.safetensors")]);
    let (a, b, c, d) = (one("a"), one("b"), one("c"), one("d"));
    let files: [(&str, &[u8]); 5] = [
        ("1.safetensors", &a),
        ("2.safetensors", &b),
        ("model.safetensors", &c),
        ("other.safetensors", &d),
        (INDEX, listed.as_bytes()),
    ];
    for (take, expected, unlisted) in [
        (&files[..], &["a", "b"][..], &["model.safetensors", "other.safetensors"][..]),
        (&files[..4], &["c"], &["1.safetensors", "2.safetensors", "other.safetensors"]),
        (&files[..2], &["a", "b"], &[]),
    ] {
        let dir = directory(take);
        let memory = take.iter().map(|(n, bytes)| file(n, *bytes)).collect();
        for checkpoint in [Checkpoint::open(dir.path()), Checkpoint::from_memory(memory)] {
            let checkpoint = checkpoint.unwrap();
            assert_eq!(names(&checkpoint), expected);
            assert_eq!(checkpoint.unlisted_files(), unlisted);
            for tensor in checkpoint.tensors() {
                let shard = &checkpoint.shards()[tensor.shard];
                let bytes = match &shard.location {
                    Location::File(path) => std::fs::read(path).unwrap(),
                    Location::Memory(bytes) => bytes.to_vec(),
                };
                assert_eq!(bytes.len() as u64, shard.len);
                let at = tensor.offset as usize;
                let range = &bytes[at..at + tensor.len as usize];
                assert_eq!(range, [1.0_f32.to_le_bytes(), 2.0_f32.to_le_bytes()].concat());
                assert_eq!(*checkpoint.read(tensor).unwrap(), *range);
                assert_eq!(checkpoint.tensor(&tensor.name), Some(tensor));
                assert_eq!((tensor.dtype, &tensor.shape[..]), (TensorDtype::F32, &[2][..]));
            }
        }
    }
}

#[test]
fn every_dtype_of_the_format_opens_and_empty_tensors_too() {
    let mut tensors = vec![("empty".to_owned(), "F32", vec![0, 5], vec![])];
    for (dtype, bits) in [
        ("BOOL", 8),
        ("F4", 4),
        ("F6_E2M3", 6),
        ("F6_E3M2", 6),
        ("U8", 8),
        ("I8", 8),
        ("F8_E5M2", 8),
        ("F8_E4M3", 8),
        ("F8_E8M0", 8),
        ("F8_E4M3FNUZ", 8),
        ("F8_E5M2FNUZ", 8),
        ("I16", 16),
        ("U16", 16),
        ("F16", 16),
        ("BF16", 16),
        ("I32", 32),
        ("U32", 32),
        ("F32", 32),
        ("C64", 64),
        ("F64", 64),
        ("I64", 64),
        ("U64", 64),
    ] {
        tensors.push((format!("t.{dtype}"), dtype, vec![2, 4], vec![0; bits]));
    }
    let files = vec![file("model.safetensors", shard(&tensors, &[("format", "pt")]))];
    let checkpoint = Checkpoint::from_memory(files).unwrap();
    assert_eq!(checkpoint.tensors().len(), 23);
    assert_eq!(checkpoint.shards()[0].metadata["format"], "pt");
}

#[test]
fn every_lie_of_a_header_is_refused_by_name() {
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let two = |a: &str, b: &str| {
        let info = |offsets| format!(r#"{{"dtype":"U8","shape":[4],"data_offsets":{offsets}}}"#);
        format!(r#"{{"w":{},"x":{}}}"#, info(a), info(b))
    };
    for (header, data, words) in [
        (entry("F32", "[2]", "[0,8]"), 7, "`w`: bad offsets 0..8: the file has 7 bytes"),
        (entry("F32", "[2]", "[0,8]"), 9, "end at byte 8 of 9 bytes"),
        (entry("F32", "[2]", "[0,4]"), 4, "`w`: bad offsets 0..4: F32 [2] takes 8 bytes"),
        (entry("F32", "[2]", "[8,0]"), 8, "bad offsets 8..0"),
        (entry("F32", "[2]", "[4,12]"), 12, "the tensor before it ends at 0"),
        (entry("F33", "[2]", "[0,8]"), 8, "`w`: unknown dtype `F33`"),
        (entry("F32", "[2]", "[0,-8]"), 8, "\"w\": invalid value: integer `-8`"),
        (entry("F32", "[2]", "[0]"), 8, "\"w\""),
        (entry("F32", "[-2]", "[0,8]"), 8, "\"w\""),
        (entry("F32", "[2.5]", "[0,8]"), 8, "\"w\""),
        (entry("F4", "[3]", "[0,2]"), 2, "takes 12 bits, no whole number of bytes"),
        (entry("U8", "[18446744073709551615,2]", "[0,8]"), 8, "overflows"),
        (two("[0,4]", "[2,6]"), 6, "`x`: bad offsets 2..6: the tensor before it ends at 4"),
        (two("[0,4]", "[5,9]"), 9, "`x`: bad offsets 5..9"),
        (r#"{"w":{"dtype":"U8","shape":[4]}}"#.into(), 4, "data_offsets"),
        (r#"{"w":3}"#.into(), 0, "\"w\""),
        (r#"{"__metadata__":{"a":1}}"#.into(), 0, "bad header"),
        (r#"{"__metadata__":{},"__metadata__":{}}"#.into(), 0, "twice"),
        ("[]".into(), 0, "an object of tensors"),
        ("{".into(), 0, "EOF"),
        ("".into(), 0, "EOF"),
        (r#"{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#.into(), 0, "both in"),
    ] {
        let bytes = raw_shard(&header, &vec![0; data]);
        let error = Checkpoint::from_memory(vec![file("model.safetensors", bytes)]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(words) && message.contains("model.safetensors"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn lengths_are_refused_before_anything_is_allocated() {
    for (bytes, words) in [
        (vec![], "0 bytes, its length field alone needs 8"),
        (vec![1; 7], "7 bytes"),
        (u64::MAX.to_le_bytes().to_vec(), "18446744073709551615 bytes, the limit is 100000000"),
        ((MAX_HEADER_BYTES + 1).to_le_bytes().to_vec(), "100000001"),
        (MAX_HEADER_BYTES.to_le_bytes().to_vec(), "claims 100000000 bytes, the file has 0"),
        (
            3_u64.to_le_bytes().iter().copied().chain(*b"{}").collect(),
            "claims 3 bytes, the file has 2",
        ),
    ] {
        let dir = directory(&[("model.safetensors", &bytes)]);
        let message = Checkpoint::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn broken_indexes_and_configs_are_refused_by_name() {
    for (text, words) in [
        ("{", "EOF"),
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("{}", "weight_map"),
        (r#"{"weight_map":{"a":1}}"#, "invalid type"),
        (r#"{"weight_map":{"a":"../x.safetensors"}}"#, "\"../x.safetensors\" is not the name"),
        (r#"{"weight_map":{"a":"/x.safetensors"}}"#, "is not the name"),
        (r#"{"weight_map":{"a":"x\\y.safetensors"}}"#, "is not the name"),
        (r#"{"weight_map":{"a":"x.bin"}}"#, "is not the name"),
        (r#"{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}"#, "twice"),
        (r#"{"weight_map":{"a":"gone.safetensors"}}"#, "gone.safetensors: shard is missing"),
        (r#"{"weight_map":{"b":"model.safetensors"}}"#, "tensor `b` is not in model.safetensors"),
    ] {
        let files = vec![file(INDEX, text), file("model.safetensors", one("a"))];
        let message = Checkpoint::from_memory(files).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    for (text, words) in [("{", "EOF"), ("[1]", "not a JSON object"), ("\u{feff}{}", "expected")] {
        let files = vec![file("config.json", text)];
        let message = Checkpoint::from_memory(files).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("config.json"), "{message}");
    }
}

#[test]
fn what_is_no_checkpoint_says_what_it_is() {
    let open = |files: &[(&str, &[u8])]| Checkpoint::open(directory(files).path());
    assert!(matches!(open(&[]), Err(Error::NoCheckpoint { .. })));
    let config = llama(1).to_string();
    let config: (&str, &[u8]) = ("config.json", config.as_bytes());
    assert_eq!(open(&[config]).unwrap().tensors().len(), 0);
    for (name, format) in [
        ("model.gguf", "GGUF"),
        ("consolidated.00.pth", "PyTorch pickle"),
        ("pytorch_model.bin", "PyTorch pickle"),
    ] {
        for files in [&[(name, &b""[..])][..], &[config, (name, b"")]] {
            let message = open(files).unwrap_err().to_string();
            assert!(message.contains(format) && message.contains(name), "{message}");
        }
        let dir = directory(&[(name, b"")]);
        let message = Checkpoint::open(&dir.path().join(name)).unwrap_err().to_string();
        assert!(message.contains(format), "{message}");
    }
    let missing = Checkpoint::open(std::path::Path::new("no/such/place")).unwrap_err();
    assert!(missing.to_string().contains("no/such/place"));
    let twice = vec![file("a.safetensors", one("a")), file("a.safetensors", one("a"))];
    assert!(matches!(Checkpoint::from_memory(twice), Err(Error::DuplicateFile { .. })));
    let both = vec![file("a.safetensors", one("a")), file("b.safetensors", one("a"))];
    let message = Checkpoint::from_memory(both).unwrap_err().to_string();
    assert!(message.contains("both in a.safetensors and in b.safetensors"), "{message}");
}

#[test]
fn side_files_are_read_by_plain_name_only() {
    let dir = directory(&[("config.json", b"{\"x\": [NaN]}"), ("tokenizer.json", b"hello")]);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert!(checkpoint.config().unwrap()["x"][0].is_null());
    assert_eq!(checkpoint.file("tokenizer.json").unwrap(), Some(Cow::Borrowed(&b"hello"[..])));
    assert_eq!(checkpoint.file("chat_template.jinja").unwrap(), None);
    for bad in ["../config.json", "/etc/hostname", "a/b", "..", ".", ""] {
        assert!(matches!(checkpoint.file(bad), Err(Error::BadFileName { .. })), "{bad}");
    }
}

#[test]
fn a_file_that_changes_after_opening_is_an_error_not_a_surprise() {
    let model = one("model.layers.0.self_attn.k_scale");
    let dir = directory(&[("model.safetensors", &model)]);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    std::fs::write(dir.path().join("model.safetensors"), &model[..model.len() - 1]).unwrap();
    let tensor = checkpoint.tensors().next().unwrap();
    assert!(matches!(checkpoint.read(tensor), Err(Error::Truncated { .. })));
    let other = Checkpoint::from_memory(vec![file("a.safetensors", one("other"))]).unwrap();
    assert!(matches!(other.read(tensor), Err(Error::NoSuchTensor { .. })));
}

#[test]
fn scales_in_a_file_outside_the_index_are_reported() {
    let scale = |name: &str| shard(&[f32s(name, &[1], &[0.5])], &[]);
    let files = vec![
        file("config.json", llama(1).to_string()),
        file("model.safetensors", one("w")),
        file("scales.safetensors", scale("model.layers.0.self_attn.k_scale")),
        file("lora.safetensors", scale("lora.weight")),
        file("broken.safetensors", *b"x"),
    ];
    let checkpoint = Checkpoint::from_memory(files).unwrap();
    let scales = resolve(&checkpoint, &ResolveOptions::default()).unwrap();
    let [warning] = scales.warnings() else { panic!("{:?}", scales.warnings()) };
    assert_eq!(warning.code.name(), "unlisted_file");
    assert!(warning.message.ends_with(": scales.safetensors"), "{}", warning.message);
}
