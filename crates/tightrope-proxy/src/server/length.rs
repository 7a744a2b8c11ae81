//! How long the body of a response is, whatever it is sent over.

use http::StatusCode;
use http_body::Body;

/// What the head of a response says of the body after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// None follows: the length is that of another one, if there is any.
    None(Option<u64>),
    Length(u64),
    Unknown,
}

/// The extent of `body` in a response to a `HEAD` or another request. `declared` is what the service says of it.
pub(super) fn extent<B: Body>(
    status: StatusCode,
    is_head: bool,
    declared: Option<u64>,
    body: &B,
) -> Extent {
    // RFC 9110 §8.6: says nothing where there can be no body.
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return Extent::None(None);
    }
    let exact = body.size_hint().exact();
    if is_head || status == StatusCode::NOT_MODIFIED {
        // RFC 9110 §9.3.2: what it would be for a GET. A body that is left out says nothing of that.
        return Extent::None(declared.or(exact.filter(|exact| *exact > 0)));
    }
    declared.or(exact).map_or(Extent::Unknown, Extent::Length)
}
