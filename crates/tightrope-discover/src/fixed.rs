//! A list that never changes.

use tightrope_upstream::{EndpointSpec, NextList, Source};

/// A list that never changes: it is given once, then the source ends.
///
/// For where a source is wanted; an upstream that needs none takes its members by
/// [`Change::replace`](tightrope_upstream::Change::replace).
#[derive(Clone, Debug)]
pub struct Fixed {
    list: Option<Vec<EndpointSpec>>,
}

impl Fixed {
    /// Gives this list.
    #[must_use]
    pub fn new(list: impl IntoIterator<Item = EndpointSpec>) -> Self {
        Self {
            list: Some(list.into_iter().collect()),
        }
    }
}

impl Source for Fixed {
    fn next(&mut self) -> NextList<'_> {
        Box::pin(async { self.list.take().map(Ok) })
    }
}
