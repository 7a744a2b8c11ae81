//! Answers a client when no response came: the one place where a [`Failure`] becomes a status.
//!
//! | failure | status | in gRPC |
//! | --- | --- | --- |
//! | [`Unavailable`](Failure::Unavailable), [`Refused`](Failure::Refused) | 503 | 14, `UNAVAILABLE` |
//! | [`Connect`](Failure::Connect), [`Stale`](Failure::Stale), [`Reset`](Failure::Reset), [`Protocol`](Failure::Protocol), [`Response`](Failure::Response), [`Gateway`](Failure::Gateway) | 502 | 14 |
//! | [`ConnectTimeout`](Failure::ConnectTimeout) | 504 | 14 |
//! | [`HeadTimeout`](Failure::HeadTimeout), [`BodyTimeout`](Failure::BodyTimeout) | 504 | 4, `DEADLINE_EXCEEDED` |
//! | [`Downstream`](Failure::Downstream) | 400 | 13, `INTERNAL` |
//! | [`DownstreamTimeout`](Failure::DownstreamTimeout) | 408 | 1, `CANCELLED` |
//! | [`Local`](Failure::Local) and what is added later | 500 | 13 |
//!
//! A gRPC client that gets a status of HTTP makes a code of its own of it, and `UNAVAILABLE` of a 504;
//! [`Form`] answers in the client's terms. The other codes are those that gRPC's own table of statuses
//! gives, but for a client that stalls.
//!
//! ```
//! use tightrope_proxy::respond;
//! use tightrope_upstream::PickError;
//!
//! let response = respond::response(&PickError::Empty);
//! assert_eq!(response.status(), 503);
//! assert_eq!(response.body().text(), "Service Unavailable\n");
//! ```

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, HeaderName},
};
use http_body::{Body, Frame, SizeHint};
use tightrope_upstream::{Failed, Failure, Fault};

use crate::RequestError;

/// The body of an answer: the name of its status, and nothing that tells of endpoints.
#[derive(Clone, Debug)]
pub struct Text {
    text: &'static str,
    is_sent: bool,
}

/// What an answer looks like, which is up to the request.
///
/// ```
/// use http::{Request, header::CONTENT_TYPE};
/// use tightrope_proxy::respond::Form;
/// use tightrope_upstream::PickError;
///
/// let call = Request::post("/shop.Cart/Add").header(CONTENT_TYPE, "application/grpc+proto");
/// let form = Form::of(call.body(())?.headers());
/// let response = form.response(&PickError::Empty);
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["grpc-status"], "14");
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// A status and its name.
    Text,
    /// A call that ended before any message: 200, with `grpc-status` and `grpc-message` in the head.
    Grpc,
}

/// The answer to a request that ended in `error`, as text.
#[must_use]
pub fn response(error: &impl Failed) -> Response<Text> {
    let failure = error.failure();
    let mut response = with_status(status(failure));
    // What the client still sends of a broken request cannot be told from its next one.
    if failure.fault() == Fault::Downstream {
        close(&mut response);
    }
    response
}

/// The answer to a request that is not forwarded.
#[must_use]
pub fn refusal(error: &RequestError) -> Response<Text> {
    let mut response = with_status(match error {
        RequestError::Connect | RequestError::MaxForwards | RequestError::TransferCoding => {
            StatusCode::NOT_IMPLEMENTED
        }
        _ => StatusCode::BAD_REQUEST,
    });
    close(&mut response);
    response
}

/// The answer to a request that no route leads on from: 404.
#[must_use]
pub fn not_found() -> Response<Text> {
    with_status(StatusCode::NOT_FOUND)
}

/// An answer of our own with this status, and nothing more than its name: 403 for a location that is
/// nobody's business, say.
#[must_use]
pub fn answer(status: StatusCode) -> Response<Text> {
    with_status(status)
}

/// The answer to a request whose body is larger than it may be: 413.
#[must_use]
pub fn too_large() -> Response<Text> {
    let mut response = with_status(StatusCode::PAYLOAD_TOO_LARGE);
    // The rest of the body is not read.
    close(&mut response);
    response
}

/// The answer to a request that went through this proxy before: 508.
#[must_use]
pub fn loop_detected() -> Response<Text> {
    with_status(StatusCode::LOOP_DETECTED)
}

/// The code that tells a gRPC client of `failure`.
#[must_use]
pub const fn grpc_code(failure: Failure) -> u8 {
    match failure {
        Failure::HeadTimeout | Failure::BodyTimeout => 4,
        Failure::DownstreamTimeout => 1,
        Failure::Unavailable
        | Failure::Refused
        | Failure::Connect
        | Failure::ConnectTimeout
        | Failure::Stale
        | Failure::Reset
        | Failure::Protocol
        | Failure::Response
        | Failure::Gateway => 14,
        _ => 13,
    }
}

/// The status that tells a client of `failure`.
#[must_use]
pub const fn status(failure: Failure) -> StatusCode {
    match failure {
        Failure::Unavailable | Failure::Refused => StatusCode::SERVICE_UNAVAILABLE,
        Failure::Connect
        | Failure::Stale
        | Failure::Reset
        | Failure::Protocol
        | Failure::Response
        | Failure::Gateway => StatusCode::BAD_GATEWAY,
        Failure::ConnectTimeout | Failure::HeadTimeout | Failure::BodyTimeout => {
            StatusCode::GATEWAY_TIMEOUT
        }
        Failure::Downstream => StatusCode::BAD_REQUEST,
        Failure::DownstreamTimeout => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn with_status(status: StatusCode) -> Response<Text> {
    let text = match status {
        StatusCode::BAD_REQUEST => "Bad Request\n",
        StatusCode::UNAUTHORIZED => "Unauthorized\n",
        StatusCode::FORBIDDEN => "Forbidden\n",
        StatusCode::NOT_FOUND => "Not Found\n",
        StatusCode::METHOD_NOT_ALLOWED => "Method Not Allowed\n",
        StatusCode::REQUEST_TIMEOUT => "Request Timeout\n",
        StatusCode::GONE => "Gone\n",
        StatusCode::PAYLOAD_TOO_LARGE => "Payload Too Large\n",
        StatusCode::URI_TOO_LONG => "URI Too Long\n",
        StatusCode::NOT_IMPLEMENTED => "Not Implemented\n",
        StatusCode::INTERNAL_SERVER_ERROR => "Internal Server Error\n",
        StatusCode::BAD_GATEWAY => "Bad Gateway\n",
        StatusCode::SERVICE_UNAVAILABLE => "Service Unavailable\n",
        StatusCode::GATEWAY_TIMEOUT => "Gateway Timeout\n",
        StatusCode::LOOP_DETECTED => "Loop Detected\n",
        // RFC 9110 §15.3.5, §15.3.6, §15.4.5: these have no content.
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED => "",
        other => other.canonical_reason().unwrap_or_default(),
    };
    let mut response = Response::new(Text::new(text));
    *response.status_mut() = status;
    if text.is_empty() {
        return response;
    }
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The connection ends after the response. A server of HTTP/2 leaves the field out.
fn close(response: &mut Response<Text>) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
}

// === impl Form ===

impl Form {
    /// The form that goes with a request of these headers: gRPC's where its content is of that type.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Self {
        let content = request.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let rest = content.and_then(|value| value.strip_prefix(b"application/grpc"));
        // gRPC over HTTP/2, Requests: `application/grpc`, `+proto` and the like, parameters.
        match rest.map(<[u8]>::first) {
            Some(None | Some(b'+' | b';')) => Self::Grpc,
            _ => Self::Text,
        }
    }

    /// The answer to a request that ended in `error`.
    #[must_use]
    pub fn response(self, error: &impl Failed) -> Response<Text> {
        static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
        static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
        let text = response(error);
        if self == Self::Text {
            return text;
        }
        let message = text.status().canonical_reason().unwrap_or_default();
        let (mut head, _) = text.into_parts();
        head.status = StatusCode::OK;
        let grpc = HeaderValue::from_static("application/grpc");
        head.headers.insert(CONTENT_TYPE, grpc);
        let code = u16::from(grpc_code(error.failure()));
        head.headers.insert(&GRPC_STATUS, code.into());
        let message = HeaderValue::from_static(message);
        head.headers.insert(&GRPC_MESSAGE, message);
        Response::from_parts(head, Text::new(""))
    }
}

// === impl Text ===

impl Text {
    const fn new(text: &'static str) -> Self {
        Self {
            text,
            is_sent: text.is_empty(),
        }
    }

    /// The whole text.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        self.text
    }
}

impl Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.is_sent, true) {
            return Poll::Ready(None);
        }
        let text = Bytes::from_static(self.text.as_bytes());
        Poll::Ready(Some(Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_sent
    }

    fn size_hint(&self) -> SizeHint {
        let left = if self.is_sent { 0 } else { self.text.len() };
        SizeHint::with_exact(left as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(Failure);

    impl Failed for Fails {
        fn failure(&self) -> Failure {
            self.0
        }
    }

    #[test]
    fn each_failure_has_its_status() {
        for (failure, status) in [
            (Failure::Unavailable, 503),
            (Failure::Connect, 502),
            (Failure::ConnectTimeout, 504),
            (Failure::Refused, 503),
            (Failure::Stale, 502),
            (Failure::Reset, 502),
            (Failure::Protocol, 502),
            (Failure::HeadTimeout, 504),
            (Failure::BodyTimeout, 504),
            (Failure::Response, 502),
            (Failure::Gateway, 502),
            (Failure::Downstream, 400),
            (Failure::DownstreamTimeout, 408),
            (Failure::Local, 500),
        ] {
            let response = response(&Fails(failure));
            assert_eq!(response.status(), status, "{failure:?}");
            let reason = response.status().canonical_reason().unwrap();
            assert_eq!(response.body().text().trim_end(), reason);
        }
    }

    #[test]
    fn a_grpc_call_ends_with_a_code_and_no_message() {
        for (failure, code, message) in [
            (Failure::Unavailable, "14", "Service Unavailable"),
            (Failure::Connect, "14", "Bad Gateway"),
            (Failure::ConnectTimeout, "14", "Gateway Timeout"),
            (Failure::Refused, "14", "Service Unavailable"),
            (Failure::Stale, "14", "Bad Gateway"),
            (Failure::Reset, "14", "Bad Gateway"),
            (Failure::Protocol, "14", "Bad Gateway"),
            (Failure::HeadTimeout, "4", "Gateway Timeout"),
            (Failure::BodyTimeout, "4", "Gateway Timeout"),
            (Failure::Response, "14", "Bad Gateway"),
            (Failure::Gateway, "14", "Bad Gateway"),
            (Failure::Downstream, "13", "Bad Request"),
            (Failure::DownstreamTimeout, "1", "Request Timeout"),
            (Failure::Local, "13", "Internal Server Error"),
        ] {
            let response = Form::Grpc.response(&Fails(failure));
            assert_eq!(response.status(), 200, "{failure:?}");
            assert_eq!(response.headers()["grpc-status"], code, "{failure:?}");
            assert_eq!(response.headers()["grpc-message"], message);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/grpc");
            assert!(response.body().is_end_stream());
        }
    }

    #[test]
    fn the_form_is_that_of_the_request() {
        for (content, form) in [
            (Some("application/grpc"), Form::Grpc),
            (Some("application/grpc+proto"), Form::Grpc),
            (Some("application/grpc;x=y"), Form::Grpc),
            (Some("application/grpc-web"), Form::Text),
            (Some("application/json"), Form::Text),
            (None, Form::Text),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(content) = content {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
            }
            assert_eq!(Form::of(&headers), form, "{content:?}");
        }
        let text = Form::Text.response(&Fails(Failure::HeadTimeout));
        assert_eq!(
            (text.status().as_u16(), text.body().text()),
            (504, "Gateway Timeout\n")
        );
    }

    #[test]
    fn a_connection_ends_with_a_broken_request_only() {
        let closes = |failure| response(&Fails(failure)).headers().contains_key(CONNECTION);
        assert!(closes(Failure::Downstream));
        assert!(closes(Failure::DownstreamTimeout));
        assert!(!closes(Failure::Connect));
        assert!(!closes(Failure::Unavailable));
    }

    #[test]
    fn an_answer_says_the_name_of_its_status_unless_it_has_no_content() {
        for (code, text) in [
            (403, "Forbidden\n"),
            (413, "Payload Too Large\n"),
            (418, "I'm a teapot"),
            (204, ""),
            (599, ""),
        ] {
            let answer = answer(StatusCode::from_u16(code).unwrap());
            assert_eq!(
                (answer.status().as_u16(), answer.body().text()),
                (code, text)
            );
            assert_eq!(
                answer.headers().contains_key(CONTENT_TYPE),
                !text.is_empty()
            );
            assert_eq!(answer.body().is_end_stream(), text.is_empty());
        }
        assert_eq!(too_large().headers()[CONNECTION], "close");
    }

    #[test]
    fn what_is_not_supported_is_told_from_what_is_wrong() {
        assert_eq!(refusal(&RequestError::Connect).status(), 501);
        assert_eq!(refusal(&RequestError::MaxForwards).status(), 501);
        assert_eq!(refusal(&RequestError::TransferCoding).status(), 501);
        assert_eq!(refusal(&RequestError::NoHost).status(), 400);
        assert_eq!(not_found().status(), 404);
        assert_eq!(not_found().body().text(), "Not Found\n");
        assert_eq!(loop_detected().status(), 508);
        assert_eq!(loop_detected().body().text(), "Loop Detected\n");
        assert_eq!(
            refusal(&RequestError::NoHost).headers()[CONNECTION],
            "close"
        );
    }
}
