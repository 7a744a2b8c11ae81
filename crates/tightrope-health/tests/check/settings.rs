//! Which settings are refused.

use std::time::Duration;

use tightrope_health::{HealthCheck, HealthCheckError, TcpProbe};
use tightrope_upstream::Upstream;

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    fn check() -> HealthCheck {
        HealthCheck::new(&Upstream::new("test"), TcpProbe::new())
    }
    let refused = [
        (check().with_interval(Duration::ZERO), "interval is zero"),
        (check().with_timeout(Duration::ZERO), "timeout is zero"),
        (
            check().with_unhealthy_interval(Duration::ZERO),
            "unhealthy interval is zero",
        ),
        (
            check().with_changing_interval(Duration::ZERO),
            "changing interval is zero",
        ),
        (
            check().with_idle_interval(Duration::ZERO),
            "idle interval is zero",
        ),
        (check().with_max_in_flight(0), "max in flight is zero"),
        (check().with_rise(0), "rise is zero"),
        (check().with_fall(0), "fall is zero"),
        (
            check().with_jitter(-0.1),
            "jitter is -0.1 and not between 0 and 0.5",
        ),
        (
            check().with_jitter(0.6),
            "jitter is 0.6 and not between 0 and 0.5",
        ),
        (
            check().with_jitter(f64::NAN),
            "jitter is NaN and not between 0 and 0.5",
        ),
    ];
    for (result, words) in refused {
        assert_eq!(result.unwrap_err().to_string(), words);
    }
    let error = check().with_rise(0).unwrap_err();
    assert_eq!(error, HealthCheckError::Rise);
}
