//! Runs one closure per panel of output columns, in parallel, each with the only right to write
//! its panel.

use rayon::prelude::*;
use std::marker::PhantomData;

/// A row-major `[rows][width]` output of one matrix product.
pub(crate) struct Output<'a> {
    pub(crate) data: &'a mut [f32],
    pub(crate) width: usize,
}

/// Columns `start..end` of every row of one output.
pub(crate) struct Panel<'a> {
    data: *mut f32,
    rows: usize,
    width: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    _output: PhantomData<&'a mut [f32]>,
}

impl Panel<'_> {
    /// Writes `values` to the columns from `column` on.
    ///
    /// # Panics
    /// If they leave the panel: a bug of the caller.
    #[inline]
    pub(crate) fn store(&mut self, row: usize, column: usize, values: &[f32]) {
        let inside = row < self.rows
            && column >= self.start
            && column <= self.end
            && values.len() <= self.end - column;
        assert!(inside, "row {row}, column {column} outside the panel");
        // SAFETY: inside the output (`row < rows`, `end <= width`, and the output's length is
        // `rows × width`, checked in `for_each_panel`) and inside this panel's columns, which no
        // other panel covers; `values` cannot overlap an output that is exclusively borrowed.
        unsafe {
            let target = self.data.add(row * self.width + column);
            std::ptr::copy_nonoverlapping(values.as_ptr(), target, values.len());
        }
    }
}

struct Base(*mut f32, usize);

// SAFETY: the pointer is only ever used through panels, whose columns are disjoint.
unsafe impl Sync for Base {}

/// At most this many outputs share their input in a decoder (q, k and v).
const MAX_OUTPUTS: usize = 4;

/// Cuts every output into panels of `columns` columns (the last may be narrower) and calls
/// `run(output index, panel)` for each, on the threads of the ambient rayon pool.
///
/// # Panics
/// If an output is not `rows × width` long, or there are more than four: bugs of the caller.
pub(crate) fn for_each_panel(
    outputs: &mut [Output<'_>],
    rows: usize,
    columns: usize,
    run: impl Fn(usize, Panel<'_>) + Sync,
) {
    assert!(outputs.len() <= MAX_OUTPUTS && columns > 0);
    let mut bases = [const { Base(std::ptr::null_mut(), 0) }; MAX_OUTPUTS];
    let mut total = 0;
    for (base, output) in bases.iter_mut().zip(outputs.iter_mut()) {
        assert_eq!(output.data.len(), rows * output.width, "an output of {rows} rows");
        *base = Base(output.data.as_mut_ptr(), output.width);
        total += output.width.div_ceil(columns);
    }
    let bases = &bases;
    let one = |mut task: usize| {
        let mut index = 0;
        while task >= bases[index].1.div_ceil(columns) {
            task -= bases[index].1.div_ceil(columns);
            index += 1;
        }
        let Base(data, width) = bases[index];
        let start = task * columns;
        let end = (start + columns).min(width);
        run(index, Panel { data, rows, width, start, end, _output: PhantomData });
    };
    if total <= 1 || rayon::current_num_threads() == 1 {
        (0..total).for_each(one);
    } else {
        (0..total).into_par_iter().for_each(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_written_once() {
        let (mut a, mut b) = (vec![0.0; 3 * 7], vec![0.0; 3 * 2]);
        let mut outputs = [Output { data: &mut a, width: 7 }, Output { data: &mut b, width: 2 }];
        for_each_panel(&mut outputs, 3, 4, |index, mut panel| {
            for row in 0..3 {
                for column in panel.start..panel.end {
                    panel.store(row, column, &[(index * 100 + row * 10 + column) as f32]);
                }
            }
        });
        for row in 0..3 {
            for column in 0..7 {
                assert_eq!(a[row * 7 + column], (row * 10 + column) as f32);
            }
            for column in 0..2 {
                assert_eq!(b[row * 2 + column], (100 + row * 10 + column) as f32);
            }
        }
    }

    #[test]
    #[should_panic(expected = "outside the panel")]
    fn a_panel_cannot_write_its_neighbour() {
        let mut data = vec![0.0; 8];
        for_each_panel(&mut [Output { data: &mut data, width: 8 }], 1, 4, |_, mut panel| {
            let start = panel.start;
            panel.store(0, start + 3, &[1.0, 2.0]);
        });
    }
}
