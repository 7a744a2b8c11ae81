//! What the status of a call says of the endpoint.

use http::{HeaderMap, HeaderValue, StatusCode};
use tightrope_upstream::{Classify, Failed, Failure, Fault, Outcome};

/// How a call ended that had a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallEnd {
    /// The status of the response, which is 200 whatever became of the call, unless it met something that
    /// is no gRPC server.
    pub http: StatusCode,
    /// The status of the call by its number; none where there is none, or no number.
    pub grpc: Option<u32>,
}

/// Tells the outcome of a call by its status.
///
/// | status | outcome |
/// | --- | --- |
/// | `UNAVAILABLE` (14) | [`Failure::Gateway`] |
/// | `UNKNOWN` (2), `DEADLINE_EXCEEDED` (4), `INTERNAL` (13), `DATA_LOSS` (15) | [`Failure::Response`] |
/// | none at all | [`Failure::Protocol`] |
/// | any other, which is about the request or a limit | success |
///
/// A response that is not 200 counts by its status: 502 to 504 as gateway failures, others from 500 on as
/// failures. Without a response the error says what went wrong; what is not the endpoint's fault
/// counts for nobody.
///
/// Source: the codes that linkerd counts as failures, without `PERMISSION_DENIED`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrpcClassify;

impl<E: Failed> Classify<CallEnd, E> for GrpcClassify {
    fn classify(&self, result: Result<&CallEnd, &E>) -> Outcome {
        let failure = match result {
            Ok(end) => match (end.http.as_u16(), end.grpc) {
                (200, Some(14)) | (502..=504, _) => Failure::Gateway,
                (200, Some(2 | 4 | 13 | 15)) | (500.., _) => Failure::Response,
                (200, None) => Failure::Protocol,
                _ => return Outcome::Success,
            },
            Err(error) => match error.failure() {
                failure if failure.fault() == Fault::Upstream => failure,
                _ => return Outcome::Cancelled,
            },
        };
        Outcome::Failure(failure)
    }
}

/// The status of a call, if it is among these headers.
pub(super) fn status(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get("grpc-status")
}

/// Its number.
pub(super) fn number(status: &HeaderValue) -> Option<u32> {
    status.to_str().ok()?.parse().ok()
}
