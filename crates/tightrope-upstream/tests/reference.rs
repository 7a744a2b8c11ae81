//! Whatever is done to an upstream, it does what a simple list would.

use std::{fs, path::Path};

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_upstream_does_what_the_model_does(data in prop::collection::vec(any::<u8>(), 0..600)) {
        crate::model::run(&data);
    }
}

#[test]
fn inputs_that_the_fuzzer_found_hold() {
    let inputs = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/regressions/upstream_update"
    );
    // A packaged crate has no fuzz directory beside it.
    let Ok(inputs) = fs::read_dir(Path::new(inputs)) else {
        return;
    };
    for input in inputs {
        crate::model::run(&fs::read(input.unwrap().path()).unwrap());
    }
}
