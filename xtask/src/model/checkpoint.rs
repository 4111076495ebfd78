//! Writes `model.safetensors` in bf16, one tensor in memory at a time.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use half::bf16;
use serde_json::{Map, Value, json};

/// What a tensor is called and how large it is; its values are asked for when it is written.
pub(crate) struct Planned<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Box<dyn Fn() -> Vec<f32> + 'a>,
}

/// Writes the tensors, sorted by name, each value rounded to nearest even.
pub(crate) fn write_bf16(path: &Path, mut tensors: Vec<Planned<'_>>) -> Result<()> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut offset = 0;
    for tensor in &tensors {
        let end = offset + 2 * elements(tensor);
        let entry =
            json!({ "dtype": "BF16", "shape": tensor.shape, "data_offsets": [offset, end] });
        ensure!(
            header.insert(tensor.name.clone(), entry).is_none(),
            "tensor {} comes twice",
            tensor.name
        );
        offset = end;
    }
    let mut header = serde_json::to_vec(&Value::Object(header))?;
    header.resize(header.len().next_multiple_of(8), b' ');

    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for tensor in &tensors {
        let values = (tensor.values)();
        ensure!(
            values.len() == elements(tensor),
            "tensor {}: {} values for shape {:?}",
            tensor.name,
            values.len(),
            tensor.shape
        );
        let bytes: Vec<u8> = values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
        file.write_all(&bytes)?;
    }
    let file = file.into_inner().context("cannot write the last bytes")?;
    file.sync_all()?;
    let (len, due) = (file.metadata()?.len(), (8 + header.len() + offset) as u64);
    ensure!(len == due, "{} holds {len} bytes, {due} are due", path.display());
    Ok(())
}

fn elements(tensor: &Planned<'_>) -> usize {
    tensor.shape.iter().product()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_safetensors_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.safetensors");
        let plan = |name: &str, shape: &[usize], values: Vec<f32>| Planned {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values: Box::new(move || values.clone()),
        };
        // 1 + 2^-8 ties to even (down), 1 + 3 * 2^-8 ties to even (up).
        let values = vec![1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -2.5];
        write_bf16(&path, vec![plan("b", &[2, 2], values), plan("a", &[1], vec![0.5])]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(len % 8, 0);
        let header: Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
        assert_eq!(header["a"]["data_offsets"], json!([0, 2]));
        assert_eq!(
            header["b"],
            json!({ "dtype": "BF16", "shape": [2, 2], "data_offsets": [2, 10] })
        );
        let codes: Vec<u16> =
            bytes[8 + len..].chunks(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
        assert_eq!(codes, [0x3F00, 0x3F80, 0x3F80, 0x3F82, 0xC020]);
    }

    #[test]
    fn a_wrong_number_of_values_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let tensor =
            Planned { name: "a".to_owned(), shape: vec![3], values: Box::new(|| vec![0.0; 2]) };
        assert!(write_bf16(&dir.path().join("m"), vec![tensor]).is_err());
    }
}
