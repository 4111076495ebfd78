//! Where a tensor's bytes are: a mapped shard, or one compiled into the binary.

use crate::Error;
use crate::mem::Mapped;
use crate::ops::{Matrix, WeightType};
use kv_scales::{Checkpoint, Location, TensorDtype, TensorEntry};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// The bytes of one shard.
enum Shard {
    Mapped(Mapped),
    Memory(Cow<'static, [u8]>),
}

impl Shard {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }
}

/// A two-dimensional weight, read where it lies.
#[derive(Clone)]
pub struct Tensor {
    shard: Arc<Shard>,
    bytes: Range<usize>,
    dtype: WeightType,
    rows: usize,
    columns: usize,
}

impl Tensor {
    /// The weights, as `[rows][columns]`.
    #[must_use]
    pub fn matrix(&self) -> Matrix<'_> {
        let bytes = &self.shard.bytes()[self.bytes.clone()];
        Matrix::new(bytes, self.dtype, self.rows, self.columns)
    }

    /// How a weight is stored.
    #[must_use]
    pub fn dtype(&self) -> WeightType {
        self.dtype
    }
}

/// The shards of a checkpoint, and which of its tensors have been asked for.
pub(super) struct Source<'a> {
    checkpoint: &'a Checkpoint,
    shards: Vec<Arc<Shard>>,
    used: Vec<&'a str>,
}

impl<'a> Source<'a> {
    /// Maps every shard. Offsets were checked against its length when the checkpoint was opened.
    pub(super) fn open(checkpoint: &'a Checkpoint) -> Result<Self, Error> {
        let open = |shard: &kv_scales::Shard| {
            let bytes = match &shard.location {
                Location::File(path) => Shard::Mapped(Mapped::open(path)?),
                Location::Memory(bytes) => Shard::Memory(bytes.clone()),
            };
            let len = bytes.bytes().len() as u64;
            if len != shard.len {
                return Err(Error::ShardChanged { file: shard.name.clone(), len, was: shard.len });
            }
            Ok(Arc::new(bytes))
        };
        let shards = checkpoint.shards().iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { checkpoint, shards, used: Vec::new() })
    }

    /// A matrix of exactly that shape.
    pub(super) fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Tensor, Error> {
        let (entry, dtype) = self.entry(name, &[rows, columns])?;
        let start = entry.offset as usize;
        Ok(Tensor {
            shard: Arc::clone(&self.shards[entry.shard]),
            bytes: start..start + entry.len as usize,
            dtype,
            rows,
            columns,
        })
    }

    /// A vector of exactly that length, widened: norms and biases are small.
    pub(super) fn vector(&mut self, name: &str, len: usize) -> Result<Box<[f32]>, Error> {
        let (entry, dtype) = self.entry(name, &[len])?;
        let bytes =
            &self.shards[entry.shard].bytes()[entry.offset as usize..][..entry.len as usize];
        let mut out = vec![0.0; len].into_boxed_slice();
        dtype.to_f32(bytes, &mut out);
        Ok(out)
    }

    fn entry(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<(&'a TensorEntry, WeightType), Error> {
        let Some(entry) = self.checkpoint.tensor(name) else {
            return Err(Error::MissingTensor { name: name.into() });
        };
        let dtype = match entry.dtype {
            TensorDtype::F32 => WeightType::F32,
            TensorDtype::F16 => WeightType::F16,
            TensorDtype::Bf16 => WeightType::Bf16,
            other => return Err(Error::TensorDtype { name: name.into(), dtype: other.name() }),
        };
        if entry.shape != shape {
            return Err(Error::TensorShape {
                name: name.into(),
                shape: entry.shape.clone(),
                want: shape.into(),
            });
        }
        self.used.push(&entry.name);
        Ok((entry, dtype))
    }

    /// The tensors nobody asked for, by name.
    pub(super) fn unused(mut self) -> impl Iterator<Item = &'a TensorEntry> {
        self.used.sort_unstable();
        let used = self.used;
        self.checkpoint.tensors().filter(move |t| used.binary_search(&t.name.as_str()).is_err())
    }
}
