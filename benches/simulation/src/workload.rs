//! What is simulated.

/// Requests for a fleet of servers, through balancers that do not see each other.
///
/// 100 endpoints with 4 workers each and one queue, first in first out. Work is exponential with a
/// mean of 10 ms; every tenth endpoint is five times slower. Something else on its machine slows
/// each one down: not at all for 80 % of the time, 1.5 times for 15 %, 3 times for 5 %, redrawn every
/// 3 s on average. 0.25 ms one way; a request that is not answered after 5 s is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) balancers: usize,
    /// Of what the fleet can do on average.
    pub(crate) load_percent: u32,
    /// What is measured, after [`WARM_UP_NS`].
    pub(crate) seconds: u32,
    pub(crate) seed: u64,
    /// Whether one endpoint answers with an error at once.
    pub(crate) failing: bool,
    /// How many endpoints join, one a second from the beginning of the measurement on.
    pub(crate) joining: usize,
}

pub(crate) const ENDPOINTS: usize = 100;
pub(crate) const WORKERS: usize = 4;
pub(crate) const MEAN_WORK_NS: f64 = 10e6;
pub(crate) const SLOW_EVERY: usize = 10;
pub(crate) const SLOW: f64 = 5.0;
/// How likely each slowdown by others is.
pub(crate) const ANTAGONISTS: [(f64, f64); 3] = [(0.80, 1.0), (0.15, 1.5), (0.05, 3.0)];
pub(crate) const ANTAGONIST_NS: f64 = 3e9;
pub(crate) const ONE_WAY_NS: u64 = 250_000;
pub(crate) const GIVE_UP_NS: u64 = 5_000_000_000;
pub(crate) const WARM_UP_NS: u64 = 5_000_000_000;
pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// The endpoint that fails at once, where one does: not one of the slow ones.
pub(crate) const FAILING: usize = 7;

impl Workload {
    /// Requests that arrive in a nanosecond, on average.
    pub(crate) fn rate(&self) -> f64 {
        let undisturbed: f64 = (0..ENDPOINTS)
            .map(|endpoint| WORKERS as f64 / (MEAN_WORK_NS * slowness(endpoint)))
            .sum();
        let left: f64 = ANTAGONISTS.iter().map(|(share, slows)| share / slows).sum();
        undisturbed * left * f64::from(self.load_percent) / 100.0
    }

    /// When the measurement ends.
    pub(crate) fn end_ns(&self) -> u64 {
        WARM_UP_NS + u64::from(self.seconds) * SECOND_NS
    }
}

/// How many times slower than a usual one `endpoint` is by itself.
pub(crate) fn slowness(endpoint: usize) -> f64 {
    if is_slow(endpoint) { SLOW } else { 1.0 }
}

/// Those that join are not.
pub(crate) fn is_slow(endpoint: usize) -> bool {
    endpoint < ENDPOINTS && endpoint.is_multiple_of(SLOW_EVERY)
}
