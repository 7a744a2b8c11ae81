//! How long an attempt is in flight.

use tightrope_upstream::{Outcome, Pick};

/// Until when the pick is kept, once there is a response of type `T`. Implemented here only.
pub trait Hold<T>: sealed::Sealed {
    /// The response as it is passed on.
    type Response;

    /// Keeps `pick` for as long as it takes, then gives it back with `outcome`.
    #[doc(hidden)]
    fn hold(&self, response: T, pick: Pick, outcome: Outcome) -> Self::Response;
}

/// Until there is a response.
#[derive(Clone, Copy, Debug, Default)]
pub struct UntilResponse;

/// Until the end of the response body.
#[cfg(feature = "http-body")]
#[derive(Clone, Copy, Debug, Default)]
pub struct UntilBodyEnd;

mod sealed {
    #[expect(unnameable_types, reason = "only this crate implements it")]
    pub trait Sealed {}

    impl Sealed for super::UntilResponse {}

    #[cfg(feature = "http-body")]
    impl Sealed for super::UntilBodyEnd {}
}

impl<T> Hold<T> for UntilResponse {
    type Response = T;

    fn hold(&self, response: T, mut pick: Pick, outcome: Outcome) -> T {
        pick.set_outcome(outcome);
        response
    }
}

#[cfg(feature = "http-body")]
impl<B: http_body::Body> Hold<http::Response<B>> for UntilBodyEnd {
    type Response = http::Response<super::HeldBody<B>>;

    fn hold(&self, response: http::Response<B>, pick: Pick, outcome: Outcome) -> Self::Response {
        response.map(|body| super::HeldBody::new(body, pick, outcome))
    }
}
