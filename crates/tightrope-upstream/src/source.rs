//! Where lists of endpoints come from.

use std::{error::Error, future::Future, pin::Pin};

use crate::EndpointSpec;

/// Why a source has no list to give. It may have one later.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// The next answer of a source: a whole list, an error, or `None` when there will be no more.
pub type NextList<'a> =
    Pin<Box<dyn Future<Output = Option<Result<Vec<EndpointSpec>, SourceError>>> + Send + 'a>>;

/// Yields whole lists of endpoints; the upstream computes the difference.
///
/// The sources of `tightrope-discover` read DNS, files and the like, and its `Refresh` feeds any
/// source into an upstream. One of your own needs a single method:
///
/// ```
/// use tightrope_upstream::{EndpointSpec, NextList, Source};
///
/// /// Gives one list, then ends.
/// struct Once(Option<Vec<EndpointSpec>>);
///
/// impl Source for Once {
///     fn next(&mut self) -> NextList<'_> {
///         Box::pin(async { self.0.take().map(Ok) })
///     }
/// }
/// ```
pub trait Source: Send + 'static {
    /// Resolves when there is a new list, or an error to report. The first call answers with what
    /// is known now.
    ///
    /// # Cancellation
    /// Dropping the future must lose nothing: the next call gives the list that was due.
    fn next(&mut self) -> NextList<'_>;
}
