//! The heads of requests and responses, as they leave this proxy.

use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, HOST, MAX_FORWARDS, TRANSFER_ENCODING, UPGRADE, VIA,
    },
    request::Parts,
    response,
};
use http_body::Body;
use tightrope_upstream::{Address, Endpoint};

use crate::{ForwardConfig, HostPolicy, check, hop_by_hop};

// === Requests ===

/// The head that goes out for the one that came in, which stays as it was.
pub(crate) fn request<B: Body>(
    parts: &Parts,
    body: &B,
    upgrade: Option<&'static str>,
    endpoint: &Endpoint,
    config: &ForwardConfig,
) -> Request<()> {
    let mut headers = parts.headers.clone();
    let had_framing =
        headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    hop_by_hop::strip_request(&mut headers);
    headers.insert(HOST, host(parts, endpoint, &config.host));
    frame(&mut headers, body, had_framing);
    if parts.version == Version::HTTP_2 {
        join_cookies(&mut headers);
    }
    if check::limits_forwards(&parts.method)
        && let Some(left) = check::max_forwards(&headers)
    {
        // RFC 9110 §7.6.2: forwarded with one less.
        headers.insert(MAX_FORWARDS, left.saturating_sub(1).into());
    }
    if let Some(name) = &config.via {
        headers.append(VIA, name.entry(parts.version));
    }
    if let Some(protocol) = upgrade {
        headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(protocol));
    }
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = origin_form(&parts.uri);
    *request.headers_mut() = headers;
    request
}

/// RFC 9112 §6.3: exactly one field says how long the body is, and it is the body that says it.
fn frame<B: Body>(headers: &mut HeaderMap, body: &B, had_framing: bool) {
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    if body.is_end_stream() {
        if had_framing {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
    } else if let Some(length) = body.size_hint().exact() {
        headers.insert(CONTENT_LENGTH, length.into());
    } else {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

fn host(parts: &Parts, endpoint: &Endpoint, policy: &HostPolicy) -> HeaderValue {
    let asked = || {
        // RFC 9112 §3.2.2: the host of an absolute target replaces the Host field.
        let target = parts.uri.authority();
        target
            .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
            .or_else(|| parts.headers.get(HOST).cloned())
    };
    match policy {
        HostPolicy::Fixed(host) => host.clone(),
        HostPolicy::Keep => asked().unwrap_or_else(|| address(endpoint)),
        HostPolicy::Endpoint => address(endpoint),
    }
}

fn address(endpoint: &Endpoint) -> HeaderValue {
    let localhost = HeaderValue::from_static("localhost");
    match endpoint.address() {
        Address::Unix(_) => localhost,
        address => HeaderValue::try_from(address.to_string()).unwrap_or(localhost),
    }
}

fn origin_form(target: &Uri) -> Uri {
    if target.authority().is_none() {
        return target.clone();
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = target.path_and_query().cloned();
    Uri::from_parts(parts).unwrap_or_default()
}

/// RFC 9113 §8.2.3: HTTP/2 may split the cookies, HTTP/1.1 has them in one field.
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for cookie in [second].into_iter().chain(cookies) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(COOKIE, joined);
    }
}

/// RFC 9110 §9.2.2.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

// === Responses ===

/// A response whose head leaves open how long its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    #[error("response has an unknown transfer coding")]
    TransferEncoding,
    #[error("response has both Content-Length and Transfer-Encoding")]
    Both,
    #[error("response has an invalid or ambiguous Content-Length")]
    ContentLength,
}

/// Makes the head of a response one of this proxy.
pub(crate) fn response(parts: &mut response::Parts) -> Result<(), FramingError> {
    // RFC 9110 §2.5: each hop has its own version.
    parts.version = Version::HTTP_11;
    unframe(&mut parts.headers)?;
    if parts.status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6: no Content-Length in a 204.
        parts.headers.remove(CONTENT_LENGTH);
    }
    hop_by_hop::strip_response(&mut parts.headers);
    Ok(())
}

/// Leaves one valid Content-Length, or none and the framing to the server.
///
/// hyper checks what it needs to read the body itself; this refuses what it reads in one way and the
/// next recipient might read in another.
fn unframe(headers: &mut HeaderMap) -> Result<(), FramingError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        // RFC 9112 §6.1: no coding but chunked was asked for, and it is applied once.
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(FramingError::TransferEncoding);
        }
        // RFC 9112 §6.3: ought to be handled as an error.
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(FramingError::Both);
        }
        headers.remove(TRANSFER_ENCODING);
    }
    let mut lengths = headers
        .get_all(CONTENT_LENGTH)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii);
    let Some(first) = lengths.next() else {
        return Ok(());
    };
    let is_one = lengths.all(|length| length == first);
    let is_number = !first.is_empty() && first.iter().all(u8::is_ascii_digit);
    if !is_one || !is_number {
        return Err(FramingError::ContentLength);
    }
    let length = HeaderValue::from_bytes(first).map_err(|_| FramingError::ContentLength)?;
    headers.insert(CONTENT_LENGTH, length);
    Ok(())
}
