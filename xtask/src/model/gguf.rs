//! Reads a GGUF file (version 2 and 3, little-endian): its metadata and its tensors, as slices.
//!
//! Every count and offset is checked against the bytes that are there before anything is allocated
//! for it, so a truncated or lying file ends in an error.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::dequantize::GgmlType;

/// One metadata value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Any of the integer types and bool.
    Int(i64),
    /// f32 and f64.
    Float(f64),
    /// UTF-8 text.
    Text(String),
    /// A homogeneous array.
    Array(Vec<Value>),
}

/// One tensor: `shape` is row-major, outermost first (GGUF stores it the other way round).
pub(crate) struct Tensor<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: GgmlType,
    pub(crate) data: &'a [u8],
}

/// A parsed file.
pub(crate) struct Gguf<'a> {
    metadata: BTreeMap<String, Value>,
    pub(crate) tensors: Vec<Tensor<'a>>,
}

impl<'a> Gguf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        ensure!(reader.take(4)? == b"GGUF", "no GGUF file: the magic number is missing");
        let version = reader.u32()?;
        ensure!((2..=3).contains(&version), "GGUF version {version} is not supported");
        // A tensor entry is at least 24 bytes long, a metadata entry at least 13.
        let tensor_count = reader.count(24)?;
        let metadata_count = reader.count(13)?;

        let mut metadata = BTreeMap::new();
        for _ in 0..metadata_count {
            let key = reader.text()?;
            let kind = reader.u32()?;
            let value = reader.value(kind).with_context(|| format!("metadata {key}"))?;
            ensure!(metadata.insert(key.clone(), value).is_none(), "metadata {key} comes twice");
        }
        let mut entries = Vec::with_capacity(tensor_count);
        for _ in 0..tensor_count {
            entries.push(Entry::read(&mut reader)?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Int(n)) if *n > 0 && n % 8 == 0 => usize::try_from(*n)?,
            Some(other) => bail!("general.alignment is {other:?}"),
        };
        let start = reader.at.next_multiple_of(alignment);
        let data = bytes.get(start..).context("the file ends before its tensors")?;
        let tensors = entries.into_iter().map(|e| e.tensor(data)).collect::<Result<_>>()?;
        Ok(Self { metadata, tensors })
    }

    pub(crate) fn int(&self, key: &str) -> Result<usize> {
        match self.get(key)? {
            Value::Int(n) => usize::try_from(*n).with_context(|| format!("metadata {key} is {n}")),
            other => bail!("metadata {key} is no integer: {other:?}"),
        }
    }

    pub(crate) fn float(&self, key: &str) -> Result<f64> {
        match self.get(key)? {
            Value::Float(x) => Ok(*x),
            other => bail!("metadata {key} is no float: {other:?}"),
        }
    }

    pub(crate) fn text(&self, key: &str) -> Result<&str> {
        match self.get(key)? {
            Value::Text(text) => Ok(text),
            other => bail!("metadata {key} is no text: {other:?}"),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Vec<&str>> {
        let mut texts = Vec::new();
        for item in self.array(key)? {
            match item {
                Value::Text(text) => texts.push(text.as_str()),
                other => bail!("metadata {key} holds {other:?} where text is due"),
            }
        }
        Ok(texts)
    }

    pub(crate) fn ints(&self, key: &str) -> Result<Vec<i64>> {
        let int = |v: &Value| match v {
            Value::Int(n) => Ok(*n),
            other => bail!("metadata {key} holds {other:?} where an integer is due"),
        };
        self.array(key)?.iter().map(int).collect()
    }

    fn array(&self, key: &str) -> Result<&[Value]> {
        match self.get(key)? {
            Value::Array(items) => Ok(items),
            other => bail!("metadata {key} is no array: {other:?}"),
        }
    }

    fn get(&self, key: &str) -> Result<&Value> {
        self.metadata.get(key).with_context(|| format!("metadata {key} is missing"))
    }
}

/// A tensor as the header describes it.
struct Entry {
    name: String,
    shape: Vec<usize>,
    kind: GgmlType,
    offset: usize,
}

impl Entry {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let name = reader.text()?;
        let rank = reader.u32()?;
        ensure!((1..=4).contains(&rank), "tensor {name} has {rank} dimensions");
        let mut shape = Vec::with_capacity(4);
        for _ in 0..rank {
            shape.push(usize::try_from(reader.u64()?)?);
        }
        shape.reverse();
        let code = reader.u32()?;
        let kind = GgmlType::from_code(code)
            .with_context(|| format!("tensor {name} has type {code}, which is not supported"))?;
        let offset = usize::try_from(reader.u64()?)?;
        Ok(Self { name, shape, kind, offset })
    }

    fn tensor(self, data: &[u8]) -> Result<Tensor<'_>> {
        let Self { name, shape, kind, offset } = self;
        let (block, bytes) = kind.block();
        let columns = shape[shape.len() - 1];
        ensure!(columns % block == 0, "tensor {name}: rows of {columns} are no blocks of {block}");
        let len = shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d))
            .and_then(|n| (n / block).checked_mul(bytes));
        let end = len.and_then(|len| offset.checked_add(len));
        let slice = end.and_then(|end| data.get(offset..end));
        let data = slice.with_context(|| {
            format!("tensor {name} {shape:?} at offset {offset} lies outside of the file")
        })?;
        Ok(Tensor { name, shape, kind, data })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(slice) = rest.get(..n) else {
            bail!("the file ends at {}: {n} bytes due at {}", self.bytes.len(), self.at);
        };
        self.at += n;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count of things that take at least `least` bytes each.
    fn count(&mut self, least: usize) -> Result<usize> {
        let n = self.u64()?;
        let room = (self.bytes.len() - self.at) / least;
        ensure!(n <= room as u64, "a count of {n} at {}, but room for {room}", self.at - 8);
        Ok(usize::try_from(n)?)
    }

    fn text(&mut self) -> Result<String> {
        let n = self.count(1)?;
        let at = self.at;
        let bytes = self.take(n)?.to_vec();
        String::from_utf8(bytes).with_context(|| format!("the text at {at} is no UTF-8"))
    }

    fn value(&mut self, kind: u32) -> Result<Value> {
        Ok(match kind {
            0 => Value::Int(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Int(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Int(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Int(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Int(self.u32()?.into()),
            5 => Value::Int(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Int(u8::from_le_bytes(self.array()?).into()),
            8 => Value::Text(self.text()?),
            9 => self.array_value()?,
            10 => Value::Int(i64::try_from(self.u64()?)?),
            11 => Value::Int(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => bail!("value type {other} is unknown"),
        })
    }

    fn array_value(&mut self) -> Result<Value> {
        let kind = self.u32()?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            // Nested arrays are legal and used by nobody; refusing them bounds the recursion.
            other => bail!("an array of value type {other} is not supported"),
        };
        let n = self.count(least)?;
        Ok(Value::Array((0..n).map(|_| self.value(kind)).collect::<Result<_>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, s: &str) {
        out.extend((s.len() as u64).to_le_bytes());
        out.extend(s.as_bytes());
    }

    /// One f32 tensor of shape [2, 3], an integer, a text, an array of texts.
    fn sample() -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend(1u64.to_le_bytes());
        out.extend(3u64.to_le_bytes());
        text(&mut out, "a.int");
        out.extend(4u32.to_le_bytes());
        out.extend(7u32.to_le_bytes());
        text(&mut out, "a.text");
        out.extend(8u32.to_le_bytes());
        text(&mut out, "hello");
        text(&mut out, "a.list");
        out.extend(9u32.to_le_bytes());
        out.extend(8u32.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        text(&mut out, "x");
        text(&mut out, "yz");
        text(&mut out, "w");
        out.extend(2u32.to_le_bytes());
        out.extend(3u64.to_le_bytes());
        out.extend(2u64.to_le_bytes());
        out.extend(0u32.to_le_bytes());
        out.extend(0u64.to_le_bytes());
        out.resize(out.len().next_multiple_of(32), 0);
        for x in [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0] {
            out.extend(x.to_le_bytes());
        }
        out
    }

    #[test]
    fn reads_metadata_and_tensors() {
        let bytes = sample();
        let file = Gguf::parse(&bytes).unwrap();
        assert_eq!(file.int("a.int").unwrap(), 7);
        assert_eq!(file.text("a.text").unwrap(), "hello");
        assert_eq!(file.texts("a.list").unwrap(), ["x", "yz"]);
        assert!(file.int("a.text").is_err() && file.int("absent").is_err());
        let tensor = &file.tensors[0];
        assert_eq!((tensor.name.as_str(), tensor.shape.as_slice()), ("w", [2, 3].as_slice()));
        assert_eq!(tensor.data.len(), 24);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = sample();
        for n in 0..bytes.len() {
            assert!(Gguf::parse(&bytes[..n]).is_err(), "{n} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn every_lying_byte_is_an_error_or_harmless() {
        let bytes = sample();
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7F, 0xFF] {
                let mut bad = bytes.clone();
                bad[at] = value;
                // No panic and no huge allocation is what is checked; many changes are legal.
                let _ = Gguf::parse(&bad);
            }
        }
        let mut huge = bytes.clone();
        huge[8..16].fill(0xFF);
        assert!(Gguf::parse(&huge).is_err(), "a count beyond the file");
    }
}
