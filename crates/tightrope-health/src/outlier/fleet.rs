//! Who fares worse than the fleet.

use super::OutlierError;

/// Ejects whose successes are rarer than those of the fleet: below the mean of the rates, less so many
/// standard deviations. A fleet that fails as one has no outlier. Envoy's rule, but for the number of
/// failures that it takes at least: where nobody else fails deviations are small, and by its rule alone one of
/// five or more endpoints is out for a single failure in a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuccessRate {
    deviations: f64,
    min_failures: u64,
    volume: Volume,
}

/// Ejects who fails at least this share of its requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FailureShare {
    share: f64,
    volume: Volume,
}

/// Ejects whose answers take more than so many times as long as those of the fleet: its mean against
/// the median of the means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyFactor {
    factor: f64,
    volume: Volume,
}

/// How much must be known before anybody is judged: so many endpoints that each had so many requests
/// since the last sweep. Who had fewer neither counts nor is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    endpoints: usize,
    requests: u64,
}

/// What an endpoint did since the last sweep.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Score {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    /// Of the answers, in ns.
    pub(super) latency_ns: u64,
    /// How many answers that is the sum of.
    pub(super) answered: u64,
}

/// Somebody who stands out: its place in the fleet, and how.
pub(super) type Outlier = (usize, String);

// === impl SuccessRate ===

impl SuccessRate {
    /// 1.9 deviations below the mean and at least 5 failures, of at least 5 endpoints that had at least 100
    /// requests each.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            deviations: 1.9,
            min_failures: 5,
            volume: Volume {
                endpoints: 5,
                requests: 100,
            },
        }
    }

    /// So many standard deviations below the mean. From 0.
    ///
    /// # Errors
    /// It is negative or no number.
    pub fn with_deviations(mut self, deviations: f64) -> Result<Self, OutlierError> {
        if !(deviations >= 0.0 && deviations.is_finite()) {
            return Err(OutlierError::Deviations { deviations });
        }
        self.deviations = deviations;
        Ok(self)
    }

    /// Nobody who failed less often than this since the last sweep. Default: 5. With 0 it is Envoy's rule.
    #[must_use]
    pub const fn with_min_failures(mut self, failures: u64) -> Self {
        self.min_failures = failures;
        self
    }

    /// Only where so much is known. Default: 5 endpoints with 100 requests each.
    #[must_use]
    pub const fn with_volume(mut self, volume: Volume) -> Self {
        self.volume = volume;
        self
    }

    pub(super) fn outliers(&self, fleet: &[Score]) -> Vec<Outlier> {
        let rates = self.volume.of(fleet, Score::requests, |score| {
            score.succeeded as f64 / score.requests() as f64
        });
        let count = rates.len() as f64;
        let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let variance = rates.iter().map(|(_, rate)| (rate - mean).powi(2));
        let least = mean - self.deviations * (variance.sum::<f64>() / count).sqrt();
        let below = rates
            .into_iter()
            .filter(|(place, rate)| *rate < least && fleet[*place].failed >= self.min_failures);
        below
            .map(|(place, rate)| {
                let (rate, least) = (rate * 100.0, least * 100.0);
                (
                    place,
                    format!("{rate:.1} % succeed, where {least:.1} % should"),
                )
            })
            .collect()
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self::new()
    }
}

// === impl FailureShare ===

impl FailureShare {
    /// 85 %, of at least 5 endpoints that had at least 50 requests each.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            share: 0.85,
            volume: Volume {
                endpoints: 5,
                requests: 50,
            },
        }
    }

    /// This share of the requests: above 0, up to 1.
    ///
    /// # Errors
    /// It is outside of that range.
    pub fn with_share(mut self, share: f64) -> Result<Self, OutlierError> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(OutlierError::FailureShare { share });
        }
        self.share = share;
        Ok(self)
    }

    /// Only where so much is known. Default: 5 endpoints with 50 requests each.
    #[must_use]
    pub const fn with_volume(mut self, volume: Volume) -> Self {
        self.volume = volume;
        self
    }

    pub(super) fn outliers(&self, fleet: &[Score]) -> Vec<Outlier> {
        let shares = self.volume.of(fleet, Score::requests, |score| {
            score.failed as f64 / score.requests() as f64
        });
        let above = shares.into_iter().filter(|(_, share)| *share >= self.share);
        above
            .map(|(place, share)| (place, format!("{:.1} % fail", share * 100.0)))
            .collect()
    }
}

impl Default for FailureShare {
    fn default() -> Self {
        Self::new()
    }
}

// === impl LatencyFactor ===

impl LatencyFactor {
    /// 3 times, of at least 5 endpoints that had at least 100 answers each.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            factor: 3.0,
            volume: Volume {
                endpoints: 5,
                requests: 100,
            },
        }
    }

    /// So many times as long. Above 1.
    ///
    /// # Errors
    /// It is not.
    pub fn with_factor(mut self, factor: f64) -> Result<Self, OutlierError> {
        if !(factor > 1.0 && factor.is_finite()) {
            return Err(OutlierError::LatencyFactor { factor });
        }
        self.factor = factor;
        Ok(self)
    }

    /// Only where so much is known. Default: 5 endpoints with 100 answers each.
    #[must_use]
    pub const fn with_volume(mut self, volume: Volume) -> Self {
        self.volume = volume;
        self
    }

    pub(super) fn outliers(&self, fleet: &[Score]) -> Vec<Outlier> {
        let answered = |score: &Score| score.answered;
        let means = self.volume.of(fleet, answered, |score| {
            score.latency_ns as f64 / score.answered as f64 / 1e6
        });
        let mut in_order: Vec<f64> = means.iter().map(|(_, mean)| *mean).collect();
        in_order.sort_unstable_by(f64::total_cmp);
        let Some(&median) = in_order.get(in_order.len() / 2) else {
            return Vec::new();
        };
        let above = means.into_iter();
        above
            .filter(|(_, mean)| *mean > median * self.factor)
            .map(|(place, mean)| {
                (
                    place,
                    format!("answers take {mean:.1} ms, of others {median:.1} ms"),
                )
            })
            .collect()
    }
}

impl Default for LatencyFactor {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Volume ===

impl Volume {
    /// At least this many endpoints, with at least this many requests each. From 1.
    ///
    /// # Errors
    /// Either is zero.
    pub const fn new(endpoints: usize, requests: u64) -> Result<Self, OutlierError> {
        if endpoints == 0 || requests == 0 {
            return Err(OutlierError::Volume {
                endpoints,
                requests,
            });
        }
        Ok(Self {
            endpoints,
            requests,
        })
    }

    /// What `figure` makes of those with requests enough; of nobody where they are too few.
    fn of(
        self,
        fleet: &[Score],
        requests: impl Fn(&Score) -> u64,
        figure: impl Fn(&Score) -> f64,
    ) -> Vec<(usize, f64)> {
        let judged = fleet.iter().enumerate();
        let judged: Vec<_> = judged
            .filter(|(_, score)| requests(score) >= self.requests)
            .map(|(place, score)| (place, figure(score)))
            .collect();
        if judged.len() < self.endpoints {
            return Vec::new();
        }
        judged
    }
}

// === impl Score ===

impl Score {
    const fn requests(&self) -> u64 {
        self.succeeded + self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(scores: &[(u64, u64)]) -> Vec<Score> {
        let score = |&(succeeded, failed): &(u64, u64)| Score {
            succeeded,
            failed,
            ..Score::default()
        };
        scores.iter().map(score).collect()
    }

    fn places(outliers: Vec<Outlier>) -> Vec<usize> {
        outliers.into_iter().map(|(place, _)| place).collect()
    }

    #[test]
    fn below_the_mean_less_deviations_is_out() {
        // Rates 1, 1, 1, 1, 0.5: mean 0.9, deviation 0.2, so below 0.52.
        let scores = [(100, 0), (100, 0), (100, 0), (100, 0), (50, 50)];
        let outliers = SuccessRate::new().outliers(&fleet(&scores));
        assert_eq!(
            outliers,
            [(4, "50.0 % succeed, where 52.0 % should".into())]
        );
        let wider = SuccessRate::new().with_deviations(2.1).unwrap();
        assert!(wider.outliers(&fleet(&scores)).is_empty());
    }

    #[test]
    fn it_takes_five_failures_even_where_nobody_else_fails() {
        for (failures, expected) in [(1, &[][..]), (4, &[]), (5, &[4])] {
            let scores = [(999, 0), (999, 0), (999, 0), (999, 0), (999, failures)];
            let outliers = SuccessRate::new().outliers(&fleet(&scores));
            assert_eq!(places(outliers), expected, "{failures}");
            let envoys = SuccessRate::new().with_min_failures(0);
            assert_eq!(places(envoys.outliers(&fleet(&scores))), [4]);
        }
    }

    #[test]
    fn five_endpoints_with_a_hundred_requests_each_are_needed() {
        let enough = [(100, 0), (100, 0), (100, 0), (100, 0), (0, 100)];
        assert_eq!(places(SuccessRate::new().outliers(&fleet(&enough))), [4]);
        let too_few = &enough[1..];
        assert!(SuccessRate::new().outliers(&fleet(too_few)).is_empty());
        let too_quiet = [(100, 0), (100, 0), (100, 0), (99, 0), (0, 100)];
        assert!(SuccessRate::new().outliers(&fleet(&too_quiet)).is_empty());
    }

    #[test]
    fn who_had_too_few_requests_neither_counts_nor_is_judged() {
        let scores = [(100, 0), (100, 0), (100, 0), (100, 0), (100, 0), (0, 99)];
        assert!(SuccessRate::new().outliers(&fleet(&scores)).is_empty());
    }

    #[test]
    fn a_fleet_that_fails_as_one_has_no_outlier() {
        assert!(
            SuccessRate::new()
                .outliers(&fleet(&[(0, 100); 8]))
                .is_empty()
        );
        let all = FailureShare::new().outliers(&fleet(&[(0, 100); 8]));
        assert_eq!(all.len(), 8); // as Envoy has it: the cap spares most
    }

    #[test]
    fn a_share_of_failures_counts_from_the_share_on() {
        let scores = [(50, 0), (50, 0), (50, 0), (16, 84), (15, 85)];
        let outliers = FailureShare::new().outliers(&fleet(&scores));
        assert_eq!(outliers, [(4, "85.0 % fail".into())]);
        let too_few = &scores[1..];
        assert!(FailureShare::new().outliers(&fleet(too_few)).is_empty());
    }

    #[test]
    fn longer_than_the_median_so_many_times_is_out() {
        let score = |ms: u64| Score {
            succeeded: 100,
            latency_ns: ms * 1_000_000 * 100,
            answered: 100,
            failed: 0,
        };
        let scores = [10, 11, 12, 13, 36, 37].map(score);
        assert_eq!(places(LatencyFactor::new().outliers(&scores[..5])), []);
        let scores = [10, 11, 12, 13, 37].map(score);
        assert_eq!(places(LatencyFactor::new().outliers(&scores)), [4]);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let nan = SuccessRate::new().with_deviations(f64::NAN).unwrap_err();
        assert!(nan.to_string().contains("NaN"));
        assert!(SuccessRate::new().with_deviations(-1.0).is_err());
        assert!(FailureShare::new().with_share(0.0).is_err());
        assert!(FailureShare::new().with_share(1.01).is_err());
        assert!(LatencyFactor::new().with_factor(1.0).is_err());
        let nothing = Volume::new(5, 0).unwrap_err();
        assert_eq!(
            nothing.to_string(),
            "volume of 5 endpoints with 0 requests each asks for nothing"
        );
        assert!(Volume::new(0, 100).is_err());
    }

    #[test]
    fn no_endpoints_and_no_requests_have_no_outliers() {
        let least = Volume::new(1, 1).unwrap();
        let rate = SuccessRate::new().with_volume(least);
        assert!(rate.outliers(&[]).is_empty());
        assert!(rate.outliers(&fleet(&[(0, 0); 3])).is_empty());
        let latency = LatencyFactor::new().with_volume(least);
        assert!(latency.outliers(&[]).is_empty());
    }
}
