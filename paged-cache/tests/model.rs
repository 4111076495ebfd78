//! Random operations against the naive model, thousands of them; a failure is shrunk to the fewest
//! steps. The long run is the example `model_check`, whose model this is.

#[path = "../examples/model_check/check.rs"]
mod check;
#[path = "../examples/model_check/model.rs"]
mod model;
#[path = "../examples/model_check/ops.rs"]
mod ops;

use proptest::prelude::*;

fn op() -> impl Strategy<Value = model::Op> {
    (0..ops::KINDS, any::<u32>(), any::<u32>()).prop_map(|(kind, a, b)| model::Op { kind, a, b })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cache_agrees_with_the_model(
        shape in any::<u64>(),
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        check::run(shape, ops);
    }
}
