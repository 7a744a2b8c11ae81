//! How many results make a verdict.

use tightrope_upstream::Health;

/// How many results in a row change a verdict; neither is 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Passed probes that make an unhealthy endpoint healthy.
    pub(crate) rise: u32,
    /// Failures that make a healthy one unhealthy.
    pub(crate) fall: u32,
}

/// Counts the results of one endpoint. The verdict itself is kept by the upstream and handed in, so
/// that one that others set is respected.
#[derive(Debug, Default)]
pub(crate) struct Threshold {
    probed: bool,
    passes: u32,
    /// Failures in a row, of probes and of live traffic.
    failures: u32,
    /// How many of them live traffic told.
    live: u32,
}

impl Threshold {
    /// A probe passed; tells the new verdict, if it changes.
    ///
    /// The first probe ever decides alone, so that a start is not held up by `rise`, as in Envoy.
    pub(crate) fn passed(&mut self, health: Health, limits: Limits) -> Option<Health> {
        let first = !self.probed;
        self.probed = true;
        (self.failures, self.live) = (0, 0);
        if health == Health::Healthy {
            self.passes = 0;
            return None;
        }
        self.passes += 1;
        let risen = first || self.passes >= limits.rise;
        risen.then(|| {
            self.passes = 0;
            Health::Healthy
        })
    }

    /// A probe failed; tells the new verdict, if it changes.
    pub(crate) fn failed(&mut self, health: Health, limits: Limits) -> Option<Health> {
        self.probed = true;
        self.passes = 0;
        if health == Health::Unhealthy {
            (self.failures, self.live) = (0, 0);
            return None;
        }
        self.fail(limits)
    }

    /// Live traffic found nobody; tells the new verdict, if it changes. Nothing new of an endpoint
    /// that is unhealthy: the last requests that were sent to it must not hold up its return.
    pub(crate) fn live_failed(&mut self, health: Health, limits: Limits) -> Option<Health> {
        if health == Health::Unhealthy {
            return None;
        }
        self.live += 1;
        self.fail(limits)
    }

    /// Live traffic got an answer: takes back what live traffic told. What probes found stays, for
    /// they ask for more.
    pub(crate) fn live_succeeded(&mut self) {
        self.failures -= self.live;
        self.live = 0;
    }

    /// Whether live traffic told against the endpoint and nothing took it back yet.
    pub(crate) fn is_suspect(&self) -> bool {
        self.live > 0
    }

    /// Whether the newest results speak against the verdict, which is `health`.
    pub(crate) fn is_changing(&self, health: Health) -> bool {
        if health == Health::Healthy {
            self.failures > 0
        } else {
            self.passes > 0
        }
    }

    fn fail(&mut self, limits: Limits) -> Option<Health> {
        self.failures += 1;
        if self.failures < limits.fall {
            return None;
        }
        *self = Self {
            probed: true,
            ..Self::default()
        };
        Some(Health::Unhealthy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { rise: 2, fall: 3 };

    /// A threshold, and the verdict as the upstream would keep it.
    struct Judged(Threshold, Health);

    impl Judged {
        fn new(health: Health) -> Self {
            Self(Threshold::default(), health)
        }

        /// Plays `+` and `-`, a probe that passed and one that failed, and `o` and `x`, a success
        /// and a failure of live traffic; gives the verdict after each, `H` or `U`.
        fn play(&mut self, results: &str) -> String {
            let Self(threshold, health) = self;
            let judged = results.chars().map(|result| {
                let verdict = match result {
                    '+' => threshold.passed(*health, LIMITS),
                    '-' => threshold.failed(*health, LIMITS),
                    'x' => threshold.live_failed(*health, LIMITS),
                    _ => {
                        threshold.live_succeeded();
                        None
                    }
                };
                assert_ne!(verdict, Some(*health), "a verdict that changes nothing");
                *health = verdict.unwrap_or(*health);
                if *health == Health::Healthy { 'H' } else { 'U' }
            });
            judged.collect()
        }
    }

    fn from_healthy(results: &str) -> String {
        Judged::new(Health::Healthy).play(results)
    }

    fn from_unhealthy(results: &str) -> String {
        Judged::new(Health::Unhealthy).play(results)
    }

    #[test]
    fn the_last_of_fall_failures_in_a_row_makes_unhealthy() {
        assert_eq!(from_healthy("+---"), "HHHU");
        assert_eq!(from_healthy("--+--"), "HHHHH");
    }

    #[test]
    fn the_last_of_rise_passes_in_a_row_makes_healthy() {
        assert_eq!(from_healthy("---++"), "HHUUH");
        assert_eq!(from_healthy("---+-+-++"), "HHUUUUUUH");
    }

    #[test]
    fn counts_begin_anew_after_a_verdict() {
        assert_eq!(from_healthy("---++---++"), "HHUUHHHUUH");
    }

    #[test]
    fn the_first_probe_passes_alone() {
        assert_eq!(from_unhealthy("+"), "H");
    }

    #[test]
    fn after_a_first_probe_that_failed_rise_passes_are_needed() {
        assert_eq!(from_unhealthy("-++"), "UUH");
    }

    #[test]
    fn a_first_probe_that_fails_counts_toward_fall_only() {
        assert_eq!(from_healthy("---"), "HHU");
    }

    #[test]
    fn live_failures_and_failed_probes_count_together() {
        assert_eq!(from_healthy("x-x"), "HHU");
        assert_eq!(from_healthy("xxx"), "HHU");
    }

    #[test]
    fn a_live_success_takes_back_live_failures_and_no_others() {
        assert_eq!(from_healthy("xxoxx"), "HHHHH");
        assert_eq!(from_healthy("--o-"), "HHHU");
        assert_eq!(from_healthy("-xo-x"), "HHHHU");
    }

    #[test]
    fn a_probe_that_passes_takes_back_live_failures() {
        assert_eq!(from_healthy("xx+xx"), "HHHHH");
    }

    #[test]
    fn live_failures_of_an_unhealthy_endpoint_do_not_hold_up_its_return() {
        assert_eq!(from_healthy("---+x+"), "HHUUUH");
        assert_eq!(from_unhealthy("x+"), "UH");
    }

    #[test]
    fn what_live_traffic_took_down_before_the_first_probe_needs_rise_passes() {
        assert_eq!(from_healthy("xxx++"), "HHUUH");
    }

    #[test]
    fn a_live_success_never_counts_toward_rise() {
        assert_eq!(from_healthy("---+ooo+"), "HHUUUUUH");
    }

    #[test]
    fn a_verdict_that_others_set_is_respected() {
        let mut judged = Judged::new(Health::Healthy);
        assert_eq!(judged.play("+--"), "HHH");
        judged.1 = Health::Unhealthy; // by hand
        assert_eq!(judged.play("-++---"), "UUHHHU");
    }

    #[test]
    fn a_verdict_may_change_from_the_first_result_against_it_to_the_last() {
        let mut judged = Judged::new(Health::Healthy);
        let mut changing = |result| {
            judged.play(result);
            judged.0.is_changing(judged.1)
        };
        let results = [
            "+", "-", "-", "-", "-", "+", "-", "+", "+", "x", "o", "-", "+",
        ];
        let changes = results.map(|result| if changing(result) { '?' } else { '.' });
        assert_eq!(String::from_iter(changes), ".??..?.?.?.?.");
    }

    #[test]
    fn suspect_is_whom_live_traffic_told_against() {
        let mut judged = Judged::new(Health::Healthy);
        judged.play("--");
        assert!(!judged.0.is_suspect());
        for taken_back in ["o", "+", "xx", "---"] {
            judged.1 = Health::Healthy;
            judged.play("+x");
            assert!(judged.0.is_suspect());
            judged.play(taken_back);
            assert!(!judged.0.is_suspect(), "{taken_back}");
        }
    }
}
