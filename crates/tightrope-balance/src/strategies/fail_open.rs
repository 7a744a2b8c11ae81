//! The sick rather than nobody.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use crate::{Picker, Strategy};

/// Any strategy, choosing among the unhealthy and ejected when nobody is available.
///
/// Without it a request fails at once when nobody is available, which is the right default: the
/// client learns it soon, and endpoints that struggle are left alone. Choose this where probes
/// may be wrong about everybody at once. Drained, standby and weightless endpoints stay out.
#[derive(Clone, Copy, Debug)]
pub struct FailOpen<T> {
    inner: T,
}

impl<T> FailOpen<T> {
    /// `inner`, which never finds everybody unavailable for their health.
    pub const fn new(inner: T) -> Self {
        Self { inner }
    }
}

impl<T: Strategy> Strategy for FailOpen<T> {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        if snapshot.available().is_empty() {
            self.inner.build(&Arc::new(snapshot.ignoring_health()))
        } else {
            self.inner.build(snapshot)
        }
    }
}
