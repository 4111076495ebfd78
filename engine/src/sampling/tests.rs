//! The sampler against statistics, against a plain reading of its rules, and at the edges.

use super::*;

fn params(temperature: f32) -> SamplingParams {
    SamplingParams { temperature, seed: Some(42), ..SamplingParams::default() }
}

fn draws(params: &SamplingParams, logits: &[f32], count: usize) -> Vec<u32> {
    params.validate().unwrap();
    let mut sampler = Sampler::new(params, 0);
    (0..count).map(|_| sampler.sample(logits).unwrap().token).collect()
}

/// Pearson's χ² of the draws against the expected probabilities; a token of probability 0 must not
/// be drawn at all.
fn chi_square(tokens: &[u32], expected: &[f64]) -> f64 {
    let mut counts = vec![0u32; expected.len()];
    tokens.iter().for_each(|&t| counts[t as usize] += 1);
    let mut sum = 0.0;
    for (token, (&count, &p)) in counts.iter().zip(expected).enumerate() {
        if p == 0.0 {
            assert_eq!(count, 0, "token {token} was filtered out, yet drawn");
        } else {
            let mean = p * tokens.len() as f64;
            sum += (f64::from(count) - mean).powi(2) / mean;
        }
    }
    sum
}

/// The rules read plainly: temperature, min_p, top_k, top_p, then renormalize.
fn expected(params: &SamplingParams, logits: &[f32]) -> Vec<f64> {
    let scaled: Vec<f64> =
        logits.iter().map(|&x| (f64::from(x) / f64::from(params.temperature)).exp()).collect();
    let max = scaled.iter().copied().fold(0.0, f64::max);
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    order.retain(|&i| scaled[i] >= f64::from(params.min_p) * max);
    order.truncate(params.top_k.map_or(usize::MAX, |k| k as usize));
    let total: f64 = order.iter().map(|&i| scaled[i]).sum();
    let (mut sum, mut keep) = (0.0, 0);
    while keep < order.len() && (keep == 0 || sum < f64::from(params.top_p) * total) {
        sum += scaled[order[keep]];
        keep += 1;
    }
    let mut p = vec![0.0; logits.len()];
    order[..keep].iter().for_each(|&i| p[i] = scaled[i] / sum);
    p
}

const LOGITS: [f32; 10] = [0.3, -1.2, 2.0, 1.1, 0.0, 1.6, -0.4, 0.9, 1.3, -2.0];

#[test]
fn draws_follow_the_distribution() {
    // (parameters, degrees of freedom, the 99.9% quantile of χ² at those)
    let cases = [
        (params(1.0), 9, 27.88),
        (params(0.5), 9, 27.88),
        (SamplingParams { top_k: Some(4), ..params(1.3) }, 3, 16.27),
        (SamplingParams { top_p: 0.7, ..params(1.0) }, 3, 16.27),
        (SamplingParams { min_p: 0.4, ..params(1.0) }, 3, 16.27),
        (SamplingParams { top_k: Some(6), top_p: 0.8, min_p: 0.1, ..params(0.9) }, 3, 16.27),
    ];
    for (params, freedom, limit) in cases {
        let p = expected(&params, &LOGITS);
        assert_eq!(p.iter().filter(|p| **p > 0.0).count(), freedom + 1, "{params:?}");
        let x = chi_square(&draws(&params, &LOGITS, 50_000), &p);
        assert!(x < limit, "χ² {x:.1} exceeds {limit} for {params:?}");
        // And the test sees a wrong distribution: another temperature must fail it.
        let other = expected(
            &SamplingParams { temperature: 1.1 * params.temperature, ..params.clone() },
            &LOGITS,
        );
        if other.iter().zip(&p).all(|(a, b)| (*a == 0.0) == (*b == 0.0)) {
            let x = chi_square(&draws(&params, &LOGITS, 50_000), &other);
            assert!(x > limit, "χ² {x:.1} does not see a temperature off by a tenth");
        }
    }
}

#[test]
fn a_large_vocabulary_keeps_the_same_nucleus_as_a_full_sort() {
    // The nucleus is larger than the first slice that gets ranked, and many logits are equal.
    let logits: Vec<f32> = (0..5000).map(|i| ((i * 7919) % 97) as f32 / 40.0).collect();
    for top_p in [0.01, 0.3, 0.9, 0.999] {
        let params = SamplingParams { top_p, ..params(1.0) };
        let p = expected(&params, &logits);
        let mut sampler = Sampler::new(&params, 0);
        sampler.sample(&logits).unwrap();
        let mut kept: Vec<u32> = sampler.candidates.iter().map(|c| c.token).collect();
        kept.sort_unstable();
        let nucleus: Vec<u32> = (0..5000).filter(|&i| p[i as usize] > 0.0).collect();
        assert!(kept.len().abs_diff(nucleus.len()) <= 1, "{} {}", kept.len(), nucleus.len());
        assert!(kept.iter().filter(|t| !nucleus.contains(t)).count() <= 1);
    }
}

#[test]
fn greedy_takes_the_largest_and_of_equals_the_lowest_id() {
    assert_eq!(draws(&params(0.0), &[1.0, 3.0, 3.0, 2.0], 3), [1, 1, 1]);
    assert_eq!(draws(&params(0.0), &[f32::NEG_INFINITY, -5.0], 1), [1]);
}

#[test]
fn one_candidate_left_is_the_greedy_choice() {
    let logits = [1.0, 3.0, 3.0, 2.0];
    for params in [
        SamplingParams { top_k: Some(1), ..params(2.0) },
        SamplingParams { top_p: 1e-9, ..params(2.0) },
        SamplingParams { top_p: f32::MIN_POSITIVE, ..params(2.0) },
        SamplingParams { top_k: Some(1), min_p: 1.0, ..params(2.0) },
    ] {
        assert_eq!(draws(&params, &logits, 50), [1; 50], "{params:?}");
    }
    // A temperature so small that the differences overflow is greedy among equals.
    let tiny = draws(&params(f32::MIN_POSITIVE), &logits, 200);
    assert!(tiny.contains(&1) && tiny.contains(&2) && tiny.iter().all(|t| [1, 2].contains(t)));
}

#[test]
fn filters_wider_than_the_vocabulary_change_nothing() {
    let plain = draws(&params(1.0), &LOGITS, 500);
    for k in [10, 11, u32::MAX] {
        let wide = SamplingParams { top_k: Some(k), top_p: 1.0, ..params(1.0) };
        assert_eq!(draws(&wide, &LOGITS, 500), plain);
    }
}

#[test]
fn a_masked_token_is_never_drawn() {
    let logits = [0.0, f32::NEG_INFINITY, 0.0];
    assert!(!draws(&params(5.0), &logits, 1000).contains(&1));
    assert!(!draws(&SamplingParams { top_p: 0.9999, ..params(5.0) }, &logits, 1000).contains(&1));
}

#[test]
fn the_seed_and_the_stream_decide_and_nothing_else() {
    let first = draws(&params(1.0), &LOGITS, 200);
    assert_eq!(first, draws(&params(1.0), &LOGITS, 200));
    assert_ne!(first, draws(&SamplingParams { seed: Some(43), ..params(1.0) }, &LOGITS, 200));
    let mut second = Sampler::new(&params(1.0), 1);
    let second: Vec<u32> = (0..200).map(|_| second.sample(&LOGITS).unwrap().token).collect();
    assert_ne!(first, second);
    let unseeded = SamplingParams { seed: None, ..params(1.0) };
    assert_ne!(draws(&unseeded, &LOGITS, 200), draws(&unseeded, &LOGITS, 200));
}

#[test]
fn broken_logits_are_an_error() {
    for (logits, says) in [
        (vec![0.0, f32::NAN, 1.0], "token 1 is NaN"),
        (vec![f32::NAN], "token 0 is NaN"),
        (vec![5.0, 1.0, f32::INFINITY], "token 2 is inf"),
        (vec![f32::NEG_INFINITY; 3], "none of the 3 logits"),
        (vec![], "none of the 0 logits"),
    ] {
        for temperature in [0.0, 1.0] {
            let error = Sampler::new(&params(temperature), 0).sample(&logits).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}

#[test]
fn logprobs_are_those_of_the_raw_logits() {
    let params = SamplingParams { logprobs: Some(3), top_k: Some(1), ..params(0.25) };
    let sampled = Sampler::new(&params, 0).sample(&LOGITS).unwrap();
    let sum: f64 = LOGITS.iter().map(|&x| f64::from(x).exp()).sum();
    let logprob = |token: usize| (f64::from(LOGITS[token]) - sum.ln()) as f32;
    assert_eq!(sampled.token, 2);
    assert!((sampled.logprob - logprob(2)).abs() < 1e-6);
    let tokens: Vec<u32> = sampled.top.iter().map(|t| t.0).collect();
    assert_eq!(tokens, [2, 5, 8]);
    assert!(sampled.top.iter().all(|&(t, l)| (l - logprob(t as usize)).abs() < 1e-6));
    let all = SamplingParams { logprobs: Some(99), ..params };
    assert_eq!(Sampler::new(&all, 0).sample(&LOGITS).unwrap().top.len(), LOGITS.len());
}
