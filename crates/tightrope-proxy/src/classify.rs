//! The outcome of an attempt, told from its response or error.

use http::{Response, StatusCode};
use tightrope_upstream::{Classify, Failed, Failure, Fault, Outcome};

/// Tells the outcome of an HTTP attempt: the default rule of this crate.
///
/// A status of 500 or more is a failure of the endpoint, and 502, 503 and 504 one of a
/// [gateway](Failure::Gateway); any other response is a success, also a 4xx,
/// which is about the request. An error counts against the endpoint where the endpoint or the
/// network on the way to it is at fault; what the client or this process did wrong, and a reused
/// connection that was closed in between, count as [`Outcome::Cancelled`], for nobody and against
/// nobody.
///
/// [`Forward`](crate::Forward) reports by the same rule when it releases a pick.
///
/// ```
/// use http::Response;
/// use tightrope_proxy::{ForwardError, HttpClassify};
/// use tightrope_upstream::{Classify, Outcome};
///
/// let missing = Response::builder().status(404).body(())?;
/// let outcome = HttpClassify.classify(Ok::<_, &ForwardError>(&missing));
/// assert_eq!(outcome, Outcome::Success);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpClassify;

impl<B, E: Failed> Classify<Response<B>, E> for HttpClassify {
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result {
            Ok(response) => of_status(response.status()),
            Err(error) => of_failure(error.failure()),
        }
    }
}

pub(crate) fn of_status(status: StatusCode) -> Outcome {
    match status.as_u16() {
        502..=504 => Outcome::Failure(Failure::Gateway),
        500.. => Outcome::Failure(Failure::Response),
        _ => Outcome::Success,
    }
}

pub(crate) fn of_failure(failure: Failure) -> Outcome {
    match failure.fault() {
        Fault::Upstream => Outcome::Failure(failure),
        _ => Outcome::Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestError;

    #[test]
    fn only_the_endpoint_is_blamed_for_what_it_did() {
        assert_eq!(of_failure(Failure::Reset), Outcome::Failure(Failure::Reset));
        assert_eq!(
            of_failure(Failure::HeadTimeout),
            Outcome::Failure(Failure::HeadTimeout)
        );
        for other in [
            Failure::Downstream,
            Failure::DownstreamTimeout,
            Failure::Local,
            Failure::Stale,
            Failure::Unavailable,
        ] {
            assert_eq!(of_failure(other), Outcome::Cancelled);
        }
    }

    #[test]
    fn a_5xx_counts_against_the_endpoint_and_a_4xx_does_not() {
        let classify = |status| {
            let response = Response::builder().status(status).body(()).unwrap();
            HttpClassify.classify(Ok::<_, &RequestError>(&response))
        };
        assert_eq!(classify(499), Outcome::Success);
        assert_eq!(classify(500), Outcome::Failure(Failure::Response));
        assert_eq!(classify(599), Outcome::Failure(Failure::Response));
        for gateway in 502..=504 {
            assert_eq!(classify(gateway), Outcome::Failure(Failure::Gateway));
        }
    }
}
