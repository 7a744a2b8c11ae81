//! What a user asks of an endpoint before it gets traffic.

use std::{future::Future, pin::Pin, sync::Arc};

use tightrope_upstream::{Endpoint, Reason};

/// How a [`Check`] ends: the endpoint is fit, or why it is not.
pub type Checked = Pin<Box<dyn Future<Output = Result<(), Reason>> + Send>>;

/// Asks an endpoint whether it is fit for traffic, such as by a request to its `/infra/health`.
///
/// Closures are checks, so a probe of `tightrope-health` becomes one in a line: call it with the endpoint and turn its
/// error into a [`Reason`].
///
/// ```
/// use std::{collections::HashSet, sync::Arc};
/// use tightrope_rollout::{Check, Checked, Gate};
/// use tightrope_upstream::{Endpoint, Reason};
///
/// // As a closure:
/// let gate = Gate::new().with_check(async |endpoint: Arc<Endpoint>| match endpoint.metadata().get("version") {
///     Some("2") => Ok(()),
///     other => Err(Reason::from(format!("version is {other:?}"))),
/// });
///
/// // As a type:
/// struct Allowed(HashSet<String>);
///
/// impl Check for Allowed {
///     fn check(&self, endpoint: Arc<Endpoint>) -> Checked {
///         let allowed = self.0.contains(endpoint.id().as_str());
///         Box::pin(async move { if allowed { Ok(()) } else { Err("not allowed".into()) } })
///     }
/// }
/// let gate = Gate::new().with_check(Allowed(HashSet::new()));
/// ```
pub trait Check: Send + Sync + 'static {
    /// Begins to ask `endpoint`. The endpoints of a group are asked at the same time.
    ///
    /// # Cancellation
    /// The future is dropped when the next try is due or the rollout ends.
    fn check(&self, endpoint: Arc<Endpoint>) -> Checked;
}

impl<F, A> Check for F
where
    F: Fn(Arc<Endpoint>) -> A + Send + Sync + 'static,
    A: Future<Output = Result<(), Reason>> + Send + 'static,
{
    fn check(&self, endpoint: Arc<Endpoint>) -> Checked {
        Box::pin(self(endpoint))
    }
}
