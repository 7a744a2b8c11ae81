//! What goes over the wire: `grpc.health.v1.HealthCheckRequest`, `HealthCheckResponse`, and what is
//! put before them.

use bytes::Bytes;
use prost::Message;

use crate::ProbeError;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// A byte that says whether the message is compressed, and four for its length.
const PREFIX: usize = 5;

const SERVING: i32 = 1;

/// The question for the health of `service`.
pub(super) fn question(service: &str) -> Bytes {
    let message = Request {
        service: service.to_owned(),
    };
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), &message].concat().into()
}

/// Whether the one message in `body` says that the service serves.
pub(super) fn judge(body: &[u8]) -> Result<(), ProbeError> {
    let Some((prefix, message)) = body.split_first_chunk::<PREFIX>() else {
        return Err(unexpected("there is no message"));
    };
    let [compressed, length @ ..] = *prefix;
    // The question offers no way to compress the answer.
    if compressed != 0 {
        return Err(unexpected("the message is compressed"));
    }
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return Err(unexpected("the message is cut off, or there are several"));
    }
    let response = Response::decode(message).map_err(ProbeError::exchange)?;
    let name = match response.status {
        SERVING => return Ok(()),
        0 => "UNKNOWN",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        other => return Err(unexpected(&format!("health is {other} and not SERVING"))),
    };
    Err(unexpected(&format!("health is {name} and not SERVING")))
}

fn unexpected(words: &str) -> ProbeError {
    ProbeError::Unexpected(words.to_owned())
}
