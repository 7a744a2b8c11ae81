//! When a request is sent again.

use http::Method;
use serde::Deserialize;
use tightrope::retry::{Budget, BudgetError, Condition, RetryLayer, RetryOn};

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
}

impl Retry {
    pub(crate) fn layer(&self) -> Result<RetryLayer, BudgetError> {
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
        let budget = Budget::new(self.budget)?.with_reserve(self.budget_reserve)?;
        Ok(RetryLayer::new()
            .with_attempts(self.attempts)
            .with_policy(policy)
            .with_body_limit(usize::try_from(self.body_limit.0).unwrap_or(usize::MAX))
            .with_budget(budget))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.attempts == 0 {
            return Err(ConfigError("attempts is 0".to_owned()));
        }
        let layer = self.layer().map(drop);
        layer.map_err(|error| ConfigError(format!("budget: {error}")))
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
        }
    }
}
