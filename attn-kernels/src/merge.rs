//! Joining attention over two parts of a context: the algebra of (output, lse).

use crate::error::Error;
use crate::plan::check_length;

/// Merges attention over another part of the keys into `out` and `lse`, row by row.
///
/// `out` and `other_out` are `[rows][head_dim]` (a row being one query token and head), `lse` and
/// `other_lse` are `[rows]`, natural logarithms, as [`Backend::attention`](crate::Backend) writes
/// them. Afterwards `out` and `lse` are those of attention over both parts together, up to
/// rounding: for a prefix shared by many sequences (attended once, without a causal mask), or a
/// context spread over machines. A part without keys (0 and −∞) changes nothing.
pub fn merge_states(
    head_dim: usize,
    out: &mut [f32],
    lse: &mut [f32],
    other_out: &[f32],
    other_lse: &[f32],
) -> Result<(), Error> {
    if head_dim == 0 {
        return Err(Error::ZeroDimension { name: "head_dim" });
    }
    let elements = lse.len().saturating_mul(head_dim);
    check_length("out", out.len(), elements, "rows × head_dim")?;
    check_length("other_out", other_out.len(), elements, "rows × head_dim")?;
    check_length("other_lse", other_lse.len(), lse.len(), "rows")?;
    let rows = out.chunks_exact_mut(head_dim).zip(other_out.chunks_exact(head_dim));
    for ((row, other), (lse, &other_lse)) in rows.zip(lse.iter_mut().zip(other_lse)) {
        if other_lse == f32::NEG_INFINITY {
            continue;
        }
        if *lse == f32::NEG_INFINITY {
            row.copy_from_slice(other);
            *lse = other_lse;
            continue;
        }
        let max = lse.max(other_lse);
        let (a, b) = ((*lse - max).exp(), (other_lse - max).exp());
        let sum = a + b;
        for (x, &y) in row.iter_mut().zip(other) {
            *x = (*x * a + y * b) / sum;
        }
        *lse = max + sum.ln();
    }
    Ok(())
}
