//! Rows in strided memory: a row of `head_dim` elements per head, with a scale for each or for all.

use super::check_lengths;
use crate::code::Code;
use crate::error::{Error, check_scale};
use crate::format::Overflow;
use crate::simd::Kernels;
use crate::source::Source;

/// The smallest dynamic scale: rows of nothing but zeros get this one.
pub const MIN_DYNAMIC_SCALE: f32 = 1e-6;

/// Where rows lie in a source and in a destination. Strides are in elements, from the start of a
/// row to that of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rows {
    /// How many rows.
    pub count: usize,
    /// Elements in a row.
    pub len: usize,
    /// The stride in the source. Its rows may overlap.
    pub src_stride: usize,
    /// The stride in the destination, `len` or more.
    pub dst_stride: usize,
}

impl Rows {
    fn check(&self, src: usize, dst: usize) -> Result<(), Error> {
        let Self { count, len, src_stride, dst_stride } = *self;
        if count > 1 && dst_stride < len {
            return Err(Error::OverlappingRows { len, stride: dst_stride });
        }
        let sides = [("source", src_stride, src), ("destination", dst_stride, dst)];
        for (side, stride, have) in sides {
            let need = match count {
                0 => Some(0),
                _ => (count - 1).checked_mul(stride).and_then(|start| start.checked_add(len)),
            };
            let need = need.unwrap_or(usize::MAX);
            if need > have {
                return Err(Error::RowsOutOfBounds { side, need, len: have });
            }
        }
        Ok(())
    }

    /// The places of one row.
    fn row<'a, S, D>(&self, i: usize, src: &'a [S], dst: &'a mut [D]) -> (&'a [S], &'a mut [D]) {
        let (from, to) = (i * self.src_stride, i * self.dst_stride);
        (&src[from..][..self.len], &mut dst[to..][..self.len])
    }

    fn check_scales(&self, scales: &[f32]) -> Result<(), Error> {
        if scales.len() != 1 && scales.len() != self.count {
            return Err(Error::ScaleCount { scales: scales.len(), rows: self.count });
        }
        scales.iter().try_for_each(|&scale| check_scale(scale))
    }
}

/// Encodes rows, saturating, each divided by its scale, as [`encode_slice`](crate::encode_slice)
/// does; `scales` has one for each row, or one for all. What lies between rows is left alone.
pub fn try_encode_rows<S: Source, C: Code>(
    src: &[S],
    rows: Rows,
    scales: &[f32],
    dst: &mut [C],
) -> Result<(), Error> {
    rows.check(src.len(), dst.len())?;
    rows.check_scales(scales)?;
    let kernels = Kernels::get();
    for i in 0..rows.count {
        let (src, dst) = rows.row(i, src, dst);
        kernels.encode(src, scales[i % scales.len()], Overflow::Saturate, dst);
    }
    Ok(())
}

/// Decodes rows, each times its scale, as [`decode_slice`](crate::decode_slice) does; `scales` has
/// one for each row, or one for all. What lies between rows is left alone.
pub fn try_decode_rows<C: Code, D: Source>(
    src: &[C],
    rows: Rows,
    scales: &[f32],
    dst: &mut [D],
) -> Result<(), Error> {
    rows.check(src.len(), dst.len())?;
    rows.check_scales(scales)?;
    let kernels = Kernels::get();
    for i in 0..rows.count {
        let (src, dst) = rows.row(i, src, dst);
        kernels.decode(src, scales[i % scales.len()], dst);
    }
    Ok(())
}

/// Encodes `src` with a scale of its own, which uses the whole range, and returns the scale:
/// `max(absmax / MAX, 1e-6)`.
///
/// # Panics
/// If the lengths differ, or an element is infinite or NaN. [`try_absmax_encode`] returns an error
/// instead, and is the one to use on data that is not known to be finite.
#[inline]
#[track_caller]
pub fn absmax_encode<S: Source, C: Code>(src: &[S], dst: &mut [C]) -> f32 {
    match try_absmax_encode(src, dst) {
        Ok(scale) => scale,
        Err(error) => panic!("absmax_encode: {error}"),
    }
}

/// As [`absmax_encode`], returning an error where that panics; nothing is written then.
#[inline]
pub fn try_absmax_encode<S: Source, C: Code>(src: &[S], dst: &mut [C]) -> Result<f32, Error> {
    check_lengths(src.len(), dst.len())?;
    let kernels = Kernels::<S, C>::get();
    let scale = dynamic_scale::<S, C>(kernels, src, 0)?;
    kernels.encode(src, scale, Overflow::Saturate, dst);
    Ok(scale)
}

/// Encodes rows, each with a scale of its own, which goes to `scales`: as [`absmax_encode`] for
/// each. A row that is not finite is an error; rows before it, and their scales, are then written.
pub fn try_absmax_encode_rows<S: Source, C: Code>(
    src: &[S],
    rows: Rows,
    scales: &mut [f32],
    dst: &mut [C],
) -> Result<(), Error> {
    rows.check(src.len(), dst.len())?;
    if scales.len() != rows.count {
        return Err(Error::ScaleCount { scales: scales.len(), rows: rows.count });
    }
    let kernels = Kernels::<S, C>::get();
    for (i, scale) in scales.iter_mut().enumerate() {
        let (src, dst) = rows.row(i, src, dst);
        *scale = dynamic_scale(kernels, src, i)?;
        kernels.encode(src, *scale, Overflow::Saturate, dst);
    }
    Ok(())
}

fn dynamic_scale<S: Source, C: Code>(
    kernels: &Kernels<S, C>,
    src: &[S],
    row: usize,
) -> Result<f32, Error> {
    let absmax = kernels.absmax(src);
    if absmax.is_finite() {
        Ok((absmax / C::ELEMENT_TYPE.max()).max(MIN_DYNAMIC_SCALE))
    } else {
        Err(Error::NotFinite { row, absmax })
    }
}
