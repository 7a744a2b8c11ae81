//! When a request is sent again.

use std::{fmt::Display, time::Duration};

use http::{HeaderName, Method};
use serde::Deserialize;
use tightrope::retry::{Backoff, Budget, Condition, Deadlines, Hedge, RetryLayer, RetryOn};

use super::{ConfigError, route::Size, text};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retry {
    /// For one request, the first included.
    attempts: usize,
    /// After what a request is sent again that may have been sent.
    #[serde(deserialize_with = "text::list")]
    on: Vec<Condition>,
    /// Those that may be carried out twice besides the idempotent ones.
    #[serde(deserialize_with = "text::list")]
    methods: Vec<Method>,
    /// Whether gRPC calls may be.
    grpc_calls: bool,
    /// The most of a body that is kept to be sent again.
    body_limit: Size,
    /// Retries, in percent of the requests.
    budget: u32,
    /// And besides, a second.
    budget_reserve: u32,
    /// The most that the second attempt waits; 0: none does.
    #[serde(with = "humantime_serde")]
    backoff: Duration,
    /// The most that any attempt waits.
    #[serde(with = "humantime_serde")]
    backoff_max: Duration,
    /// The longest wait that an endpoint may ask for.
    #[serde(with = "humantime_serde")]
    retry_after: Duration,
    /// When a second copy is sent although the first may be answered yet; default: never.
    #[serde(with = "humantime_serde")]
    hedge_after: Option<Duration>,
    /// The same, by the share of requests that are answered by then, in percent.
    hedge_percentile: Option<u8>,
    /// For one request, its response included; default: as long as it takes.
    #[serde(with = "humantime_serde")]
    request_timeout: Option<Duration>,
    /// For one attempt, until the head of its response; default: as long as the timeouts of all
    /// upstreams let it.
    #[serde(with = "humantime_serde")]
    attempt_timeout: Option<Duration>,
    /// Whether `grpc-timeout` is heeded and passed on.
    grpc_timeout: bool,
    /// The field by which clients say how many milliseconds they wait; default: none.
    deadline_header: Option<String>,
}

impl Retry {
    pub(crate) fn layer(&self) -> Result<RetryLayer, ConfigError> {
        let fail = |name: &str, error: &dyn Display| ConfigError(format!("retry.{name}: {error}"));
        if self.attempts == 0 {
            return Err(ConfigError("retry.attempts is 0".to_owned()));
        }
        let policy = RetryOn::new(self.on.iter().copied());
        let policy = self
            .methods
            .iter()
            .cloned()
            .fold(policy, RetryOn::with_method);
        let policy = if self.grpc_calls {
            policy.with_grpc_calls()
        } else {
            policy
        };
        let budget = Budget::new(self.budget).map_err(|error| fail("budget", &error))?;
        let budget = budget
            .with_reserve(self.budget_reserve)
            .map_err(|error| fail("budget_reserve", &error))?;
        let backoff = (!self.backoff.is_zero())
            .then(|| Backoff::new(self.backoff, self.backoff_max))
            .transpose()
            .map_err(|error| fail("backoff", &error))?;
        let hedge = match (self.hedge_after, self.hedge_percentile) {
            (Some(_), Some(_)) => {
                return Err(fail("hedge_percentile", &"there is hedge_after already"));
            }
            (Some(delay), None) => Some(Hedge::after(delay)),
            (None, Some(percentile)) => {
                let hedge = Hedge::at_percentile(percentile);
                Some(hedge.map_err(|error| fail("hedge_percentile", &error))?)
            }
            (None, None) => None,
        };
        Ok(RetryLayer::new()
            .with_attempts(self.attempts)
            .with_policy(policy)
            .with_body_limit(usize::try_from(self.body_limit.0).unwrap_or(usize::MAX))
            .with_budget(budget)
            .with_backoff(backoff)
            .with_retry_after(self.retry_after)
            .with_hedge(hedge)
            .with_timeout(self.request_timeout)
            .with_attempt_timeout(self.attempt_timeout)
            .with_deadlines(self.deadlines()?)
            // `Forward` gives them back, and nothing between adds anything.
            .with_returned_heads())
    }

    fn deadlines(&self) -> Result<Deadlines, ConfigError> {
        let fail = |what: String| Err(ConfigError(format!("retry.{what}")));
        for (name, limit) in [
            ("request_timeout", self.request_timeout),
            ("attempt_timeout", self.attempt_timeout),
        ] {
            if limit == Some(Duration::ZERO) {
                return fail(format!("{name} is 0s"));
            }
        }
        if let (Some(all), Some(one)) = (self.request_timeout, self.attempt_timeout)
            && one > all
        {
            return fail(format!(
                "attempt_timeout: {one:?} is more than the request_timeout of {all:?}"
            ));
        }
        let deadlines = match self.grpc_timeout {
            true => Deadlines::new().with_grpc_timeout(),
            false => Deadlines::new(),
        };
        let Some(name) = &self.deadline_header else {
            return Ok(deadlines);
        };
        let Ok(header) = name.parse::<HeaderName>() else {
            return fail(format!("deadline_header: `{name}` is not a header name"));
        };
        let deadlines = deadlines.with_milliseconds(header);
        deadlines.or_else(|error| fail(format!("deadline_header: {error}")))
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            on: Condition::DEFAULT.to_vec(),
            methods: Vec::new(),
            grpc_calls: false,
            body_limit: Size(64 * 1024),
            budget: 20,
            budget_reserve: 10,
            backoff: Duration::ZERO,
            backoff_max: Duration::from_millis(250),
            retry_after: Duration::from_secs(1),
            hedge_after: None,
            hedge_percentile: None,
            request_timeout: None,
            attempt_timeout: None,
            grpc_timeout: false,
            deadline_header: None,
        }
    }
}
