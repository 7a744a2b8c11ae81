//! Heads of requests and responses, as HTTP/2 has them.

use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, DATE, EXPECT},
};
use http_body::Body;

use crate::{
    check::has_path,
    h1::number,
    hop_by_hop,
    server::{
        date,
        length::{Extent, extent},
    },
};

/// What follows the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing.
    Nothing,
    /// A body: of this length, if that is known.
    Body(Option<u64>),
    /// A body that is not there, although the head has a length.
    Missing,
}

/// Whether the target is one that the method may have (RFC 9113 §8.3.1, §8.5). `h2` looks at what is there, not at what
/// is missing.
pub(super) fn has_valid_target<B>(request: &Request<B>) -> bool {
    let (method, target) = (request.method(), request.uri());
    match *method == Method::CONNECT && request.extensions().get::<Protocol>().is_none() {
        true => target.authority().is_some(),
        false => has_path(method, target),
    }
}

/// Whether the length of the body is one number, if there is any. `h2` takes an empty one for zero, and two that are equal.
pub(super) fn has_valid_length<B>(request: &Request<B>) -> bool {
    let mut lengths = request.headers().get_all(CONTENT_LENGTH).iter();
    let is_number = |length: &HeaderValue| number(length.as_bytes()).is_some();
    lengths.next().is_none_or(is_number) && lengths.next().is_none()
}

/// How long the body of a request says that it is. `h2` holds it to that.
pub(super) fn length<B>(request: &Request<B>) -> Option<u64> {
    number(request.headers().get(CONTENT_LENGTH)?.as_bytes())
}

/// Whether the client sends its body once it is told to.
pub(super) fn expects_continue<B>(request: &Request<B>) -> bool {
    let mut expectations = request.headers().get_all(EXPECT).iter();
    expectations.any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Makes the head of a response one of HTTP/2.
pub(super) fn prepare<B: Body>(response: &mut Response<()>, body: &B, is_head: bool) -> Rest {
    let status = response.status();
    let headers = response.headers_mut();
    prepare_fields(headers);
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
    }
    let declared = take_one_length(headers);
    let extent = extent(status, is_head, declared, body);
    let is_empty = body.is_end_stream();
    match (extent, declared) {
        (Extent::None(told), _) => {
            if let (None, Some(told)) = (declared, told) {
                headers.insert(CONTENT_LENGTH, told.into());
            }
            Rest::Nothing
        }
        (Extent::Length(_), Some(1..)) if is_empty => Rest::Missing,
        _ if is_empty => Rest::Nothing,
        (Extent::Length(length), _) => {
            if declared.is_none() {
                headers.insert(CONTENT_LENGTH, length.into());
            }
            Rest::Body(Some(length))
        }
        (Extent::Unknown, _) => Rest::Body(None),
    }
}

/// Makes the head of a response that opens a tunnel one of HTTP/2.
pub(super) fn prepare_tunnel(headers: &mut HeaderMap) {
    prepare_fields(headers);
    // RFC 9110 §8.6: there is no length in a 2xx to a CONNECT.
    headers.remove(CONTENT_LENGTH);
}

fn prepare_fields(headers: &mut HeaderMap) {
    hop_by_hop::strip_connection(headers);
    if !headers.contains_key(DATE)
        && let Ok(date) = HeaderValue::try_from(date::now())
    {
        headers.insert(DATE, date);
    }
}

/// The length that is said; what says none, or several times, is said once or not at all.
fn take_one_length(headers: &mut HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = number(lengths.next()?.as_bytes());
    if length.is_none() || lengths.next().is_some() {
        headers.remove(CONTENT_LENGTH);
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, length.into());
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    use super::*;

    fn head(status: u16, length: Option<&str>) -> Response<()> {
        let mut response = Response::builder().status(status);
        if let Some(length) = length {
            response = response.header(CONTENT_LENGTH, length);
        }
        response.body(()).unwrap()
    }

    fn told(response: &Response<()>) -> Option<&str> {
        let length = response.headers().get(CONTENT_LENGTH);
        length.map(|length| length.to_str().unwrap())
    }

    #[test]
    fn a_body_of_known_length_says_so() {
        let body = Full::new(Bytes::from("abc"));
        for (length, is_head, rest, says) in [
            (None, false, Rest::Body(Some(3)), Some("3")),
            (Some("5"), false, Rest::Body(Some(5)), Some("5")),
            (Some("x"), false, Rest::Body(Some(3)), Some("3")),
            (None, true, Rest::Nothing, Some("3")),
            (Some("5"), true, Rest::Nothing, Some("5")),
        ] {
            let mut response = head(200, length);
            assert_eq!(prepare(&mut response, &body, is_head), rest, "{length:?}");
            assert_eq!(told(&response), says, "{length:?}");
        }
        let mut response = head(204, Some("3"));
        assert_eq!(prepare(&mut response, &body, false), Rest::Nothing);
        assert_eq!(told(&response), None);
        let mut response = head(304, Some("7"));
        assert_eq!(prepare(&mut response, &body, false), Rest::Nothing);
        assert_eq!(told(&response), Some("7"));
    }

    #[test]
    fn a_body_that_is_not_there_is_noticed() {
        let body = Empty::<Bytes>::new();
        for (length, rest) in [
            (None, Rest::Nothing),
            (Some("0"), Rest::Nothing),
            (Some("1"), Rest::Missing),
        ] {
            let mut response = head(200, length);
            assert_eq!(prepare(&mut response, &body, false), rest);
        }
    }

    #[test]
    fn a_tunnel_has_no_length_and_every_response_a_date() {
        let mut response = head(200, Some("0"));
        prepare_tunnel(response.headers_mut());
        assert_eq!(told(&response), None);
        assert!(response.headers().contains_key(DATE));
    }
}
