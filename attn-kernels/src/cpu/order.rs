//! The order in which a conversion leaves a token's elements: queries are brought into it, outputs
//! out of it.

/// Elements that change places among themselves.
const GROUP: usize = 32;

/// Where `Interleaved` has the elements of a group: place j holds element `INTERLEAVED[j]`. It is
/// what unpacking 32 bytes to 16 and then 32 bits, in halves of 16 bytes, makes of them.
const INTERLEAVED: [usize; GROUP] = [
    1, 3, 5, 7, 17, 19, 21, 23, 9, 11, 13, 15, 25, 27, 29, 31, //
    0, 2, 4, 6, 16, 18, 20, 22, 8, 10, 12, 14, 24, 26, 28, 30,
];

/// An order of the elements of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Natural,
    /// Each whole group of 32 as unpacking leaves it; a rest of 8, 16 or 24 as it is.
    Interleaved,
}

impl Order {
    /// Brings a row into this order: `to[place] = f(from[element])`.
    pub(crate) fn arrange(self, from: &[f32], to: &mut [f32], f: impl Fn(f32) -> f32) {
        self.each(from, to, |from, to, place, element| to[place] = f(from[element]));
    }

    /// Brings a row out of this order: `to[element] = f(from[place])`.
    pub(crate) fn restore(self, from: &[f32], to: &mut [f32], f: impl Fn(f32) -> f32) {
        self.each(from, to, |from, to, place, element| to[element] = f(from[place]));
    }

    fn each(
        self,
        from: &[f32],
        to: &mut [f32],
        f: impl Fn(&[f32; GROUP], &mut [f32; GROUP], usize, usize),
    ) {
        let (groups, rest) = from.as_chunks::<GROUP>();
        let (to_groups, to_rest) = to.as_chunks_mut::<GROUP>();
        for (from, to) in groups.iter().zip(to_groups) {
            for (place, &element) in INTERLEAVED.iter().enumerate() {
                f(from, to, place, if self == Self::Natural { place } else { element });
            }
        }
        // The rest in a group of its own, which stays in its order.
        let (mut last, mut to_last) = ([0.0; GROUP], [0.0; GROUP]);
        last[..rest.len()].copy_from_slice(rest);
        (0..rest.len()).for_each(|i| f(&last, &mut to_last, i, i));
        to_rest.copy_from_slice(&to_last[..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restoring_undoes_arranging() {
        for order in [Order::Natural, Order::Interleaved] {
            for len in [8, 24, 32, 40, 128, 136] {
                let row: Vec<f32> = (0..len).map(|i| i as f32).collect();
                let (mut there, mut back) = (vec![-1.0; len], vec![-1.0; len]);
                order.arrange(&row, &mut there, |x| 2.0 * x);
                order.restore(&there, &mut back, |x| 0.5 * x);
                assert_eq!(back, row, "{order:?} {len}");
                let grouped = order == Order::Interleaved && len >= GROUP;
                assert_eq!(there != row.iter().map(|x| 2.0 * x).collect::<Vec<_>>(), grouped);
            }
        }
    }
}
