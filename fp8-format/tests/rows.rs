//! Rows, dynamic scales, and refusals.

use fp8_format::{
    Error, F8E4M3, F8E5M2, F8E5M2Fnuz, Rows, absmax, absmax_encode, codes_as_bytes, decode_slice,
    decode_slice_i8, encode_slice, encode_slice_i8, try_absmax_encode, try_absmax_encode_rows,
    try_decode_rows, try_decode_slice, try_encode_rows, try_encode_slice,
};
use proptest::prelude::*;

const BAD_SCALES: [f32; 6] = [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

#[test]
fn a_bad_scale_is_refused_before_anything_is_written() {
    let src = [1.0_f32; 40];
    let mut dst = [F8E4M3::from_bits(0x5a); 40];
    let mut back = [7.0_f32; 40];
    for scale in BAD_SCALES {
        let error = try_encode_slice(&src, scale, &mut dst).unwrap_err();
        assert!(matches!(error, Error::InvalidScale { .. }));
        assert_eq!(
            error.to_string(),
            format!("scale is {scale}, must be finite and greater than 0")
        );
        assert!(try_decode_slice(&dst, scale, &mut back).is_err());
    }
    assert!(codes_as_bytes(&dst).iter().all(|&byte| byte == 0x5a));
    assert_eq!(back, [7.0; 40]);
    // Subnormal scales are scales.
    let tiny = f32::from_bits(3);
    encode_slice(&[tiny, 2.0 * tiny], tiny, &mut dst[..2]);
    assert_eq!(dst[0].to_f32(), 1.0);
    assert_eq!(dst[1].to_f32(), 2.0);
}

#[test]
fn unequal_lengths_are_refused() {
    let mut dst = [F8E4M3::ZERO; 3];
    let error = try_encode_slice(&[1.0_f32; 4], 1.0, &mut dst).unwrap_err();
    assert_eq!(error.to_string(), "source has 4 elements, destination 3");
    let error = try_decode_slice(&dst, 1.0, &mut [0.0_f32; 2]).unwrap_err();
    assert_eq!(error, Error::LengthMismatch { src: 3, dst: 2 });
    assert!(try_absmax_encode(&[1.0_f32; 2], &mut dst).is_err());
}

#[test]
#[should_panic(expected = "encode_slice: source has 1 elements, destination 0")]
fn encode_slice_panics_on_unequal_lengths() {
    encode_slice(&[1.0_f32], 1.0, &mut [] as &mut [F8E4M3]);
}

#[test]
#[should_panic(expected = "decode_slice: scale is NaN")]
fn decode_slice_panics_on_a_bad_scale() {
    decode_slice(&[F8E4M3::ONE], f32::NAN, &mut [0.0_f32]);
}

#[test]
fn empty_slices_are_fine() {
    encode_slice(&[] as &[f32], 1.0, &mut [] as &mut [F8E4M3]);
    decode_slice(&[] as &[F8E4M3], 1.0, &mut [] as &mut [f32]);
    assert_eq!(absmax(&[] as &[f32]), 0.0);
    assert_eq!(absmax_encode(&[] as &[f32], &mut [] as &mut [F8E4M3]), 1e-6);
}

#[test]
fn int8_round_trip() {
    let src: Vec<f32> = (-300..300).map(|i| i as f32 * 0.1).collect();
    let (mut codes, mut back) = (vec![0_i8; 600], vec![0.0_f32; 600]);
    let scale = absmax(&src) / 127.0;
    encode_slice_i8(&src, scale, &mut codes);
    decode_slice_i8(&codes, scale, &mut back);
    assert_eq!((codes[0], codes[300], codes[599]), (-127, 0, 127));
    for (x, y) in src.iter().zip(back) {
        assert!((x - y).abs() <= scale * 0.5001, "{x} {y}");
    }
}

#[test]
fn a_dynamic_scale_uses_the_whole_range() {
    let mut codes = [F8E4M3::ZERO; 3];
    let scale = absmax_encode(&[1.0_f32, -3.5, 0.0], &mut codes);
    assert_eq!(scale, 3.5 / 448.0);
    assert_eq!(codes[1], F8E4M3::MIN_CODE);
    assert_eq!(absmax_encode(&[0.0_f32; 3], &mut codes), 1e-6);
    let mut codes = [F8E5M2Fnuz::ZERO; 2];
    assert_eq!(absmax_encode(&[57344.0_f32, 1.0], &mut codes), 1.0);
    let mut codes = [0_i8; 2];
    assert_eq!(absmax_encode(&[254.0_f32, 1.0], &mut codes), 2.0);
    for bad in [f32::NAN, f32::NEG_INFINITY] {
        let mut codes = [F8E5M2::ONE; 2];
        let error = try_absmax_encode(&[1.0, bad], &mut codes).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 0, .. }), "{error}");
        assert_eq!(codes, [F8E5M2::ONE; 2]);
    }
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let src = [1.0_f32; 100];
    let mut dst = [F8E4M3::NAN; 100];
    let rows = Rows { count: 4, len: 25, src_stride: 25, dst_stride: 25 };
    assert!(try_encode_rows(&src, rows, &[1.0], &mut dst).is_ok());
    let wrong = [
        (Rows { count: 5, ..rows }, "rows need 125 elements of the source, it has 100"),
        (Rows { dst_stride: 26, ..rows }, "rows need 103 elements of the destination, it has 100"),
        (Rows { dst_stride: 24, ..rows }, "destination rows of 25 elements overlap at stride 24"),
        (
            Rows { src_stride: usize::MAX, ..rows },
            &format!("rows need {} elements of the source, it has 100", usize::MAX),
        ),
    ];
    for (rows, message) in wrong {
        let error = try_encode_rows(&src, rows, &[1.0], &mut dst).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(try_absmax_encode_rows(&src, rows, &mut [0.0; 5][..rows.count], &mut dst).is_err());
    }
    let error = try_encode_rows(&src, rows, &[1.0; 3], &mut dst).unwrap_err();
    assert_eq!(error.to_string(), "3 scales for 4 rows, must be as many or 1");
    let error = try_encode_rows(&src, rows, &[1.0, 1.0, -1.0, 1.0], &mut dst).unwrap_err();
    assert_eq!(error, Error::InvalidScale { scale: -1.0 });
    assert!(try_absmax_encode_rows(&src, rows, &mut [0.0; 3], &mut dst).is_err());
    let none = Rows { count: 0, ..rows };
    assert!(try_encode_rows(&[] as &[f32], none, &[1.0], &mut [] as &mut [F8E4M3]).is_ok());
    assert!(try_decode_rows(&[] as &[F8E4M3], none, &[], &mut [] as &mut [f32]).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn rows_are_slices_side_by_side(
        count in 0..6_usize,
        len in 0..150_usize,
        src_gap in 0..9_usize,
        dst_gap in 0..9_usize,
        shift in 0..40_usize,
        per_row in any::<bool>(),
    ) {
        let rows = Rows { count, len, src_stride: len + src_gap, dst_stride: len + dst_gap };
        let src: Vec<f32> = (0..count * rows.src_stride + shift)
            .map(|i| ((i * 31) % 211) as f32 * 1.5 - 150.0)
            .collect();
        let src = &src[shift..];
        let scales: Vec<f32> =
            if per_row { (0..count).map(|i| 0.3 + i as f32).collect() } else { vec![0.37] };

        let poison = F8E4M3::from_bits(0x5a);
        let mut dst = vec![poison; count * rows.dst_stride + shift];
        let mut expected = dst.clone();
        try_encode_rows(src, rows, &scales, &mut dst[shift..]).unwrap();
        for i in 0..count {
            let from = &src[i * rows.src_stride..][..len];
            let to = &mut expected[shift + i * rows.dst_stride..][..len];
            encode_slice(from, scales[i % scales.len()], to);
        }
        prop_assert_eq!(codes_as_bytes(&dst), codes_as_bytes(&expected));

        let back_rows = Rows { src_stride: rows.dst_stride, dst_stride: rows.src_stride, ..rows };
        let mut back = vec![-1e30_f32; count * rows.src_stride];
        let mut expected_back = back.clone();
        try_decode_rows(&dst[shift..], back_rows, &scales, &mut back).unwrap();
        for i in 0..count {
            let from = &dst[shift + i * rows.dst_stride..][..len];
            let to = &mut expected_back[i * rows.src_stride..][..len];
            decode_slice(from, scales[i % scales.len()], to);
        }
        prop_assert_eq!(back, expected_back);

        let mut dynamic = vec![0.0; count];
        try_absmax_encode_rows(src, rows, &mut dynamic, &mut dst[shift..]).unwrap();
        for (i, scale) in dynamic.into_iter().enumerate() {
            let from = &src[i * rows.src_stride..][..len];
            let mut codes = vec![poison; len];
            prop_assert_eq!(scale, absmax_encode(from, &mut codes));
            let to = &dst[shift + i * rows.dst_stride..][..len];
            prop_assert_eq!(codes_as_bytes(to), codes_as_bytes(&codes));
        }
    }
}
