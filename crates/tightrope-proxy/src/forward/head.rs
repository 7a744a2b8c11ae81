//! The heads of requests and responses, as they leave this proxy.

use http::{
    HeaderMap, HeaderValue, StatusCode, Uri, Version,
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

/// Makes the head that came in the one that goes out.
pub(crate) fn request<B: Body>(
    parts: &mut Parts,
    body: &B,
    upgrade: Option<&'static str>,
    endpoint: &Endpoint,
    config: &ForwardConfig,
) {
    let host = host(parts, endpoint, &config.host);
    let headers = &mut parts.headers;
    hop_by_hop::strip_request(headers, config.underscores);
    if let Some(host) = host {
        headers.insert(HOST, host);
    }
    frame(headers, body);
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if check::limits_forwards(&parts.method)
        && let Some(left) = check::max_forwards(headers)
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
    origin_form(&mut parts.uri);
    // RFC 9110 §2.5: each hop has its own version.
    parts.version = Version::HTTP_11;
}

/// Takes back from a head that was not sent after all what another attempt would add again. What
/// ended at this hop stays away.
pub(crate) fn restore(parts: &mut Parts, received_in: Version, config: &ForwardConfig) {
    let headers = &mut parts.headers;
    if config.via.is_some() {
        let mut entries: Vec<HeaderValue> = headers.get_all(VIA).iter().cloned().collect();
        entries.pop();
        headers.remove(VIA);
        for entry in entries {
            headers.append(VIA, entry);
        }
    }
    if check::limits_forwards(&parts.method)
        && let Some(left) = check::max_forwards(headers)
    {
        headers.insert(MAX_FORWARDS, left.saturating_add(1).into());
    }
    parts.version = received_in;
}

/// RFC 9112 §6.3: exactly one field says how long the body is, and it is the body that says it.
fn frame<B: Body>(headers: &mut HeaderMap, body: &B) {
    let had_framing = headers
        .keys()
        .any(|name| *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING);
    if had_framing {
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
    }
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

/// The host that the endpoint is told, where it is another than the field says.
fn host(parts: &Parts, endpoint: &Endpoint, policy: &HostPolicy) -> Option<HeaderValue> {
    match policy {
        HostPolicy::Fixed(host) => Some(host.clone()),
        HostPolicy::Endpoint => Some(address(endpoint)),
        HostPolicy::Keep => match parts.uri.authority() {
            // RFC 9112 §3.2.2: the host of an absolute target replaces the Host field.
            Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
            None if parts.headers.contains_key(HOST) => None,
            None => Some(address(endpoint)),
        },
    }
}

fn address(endpoint: &Endpoint) -> HeaderValue {
    let localhost = HeaderValue::from_static("localhost");
    match endpoint.address() {
        Address::Unix(_) => localhost,
        address => HeaderValue::try_from(address.to_string()).unwrap_or(localhost),
    }
}

fn origin_form(target: &mut Uri) {
    if target.authority().is_none() {
        return;
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = target.path_and_query().cloned();
    *target = Uri::from_parts(parts).unwrap_or_default();
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
    let (mut codings, mut lengths) = (0, 0);
    let (mut is_chunked, mut is_plain) = (true, true);
    for (name, value) in &*headers {
        if *name == TRANSFER_ENCODING {
            codings += 1;
            is_chunked &= value.as_bytes().eq_ignore_ascii_case(b"chunked");
        } else if *name == CONTENT_LENGTH {
            lengths += 1;
            is_plain &= is_number(value.as_bytes());
        }
    }
    if codings > 0 {
        // RFC 9112 §6.1: no coding but chunked was asked for, and it is applied once.
        if codings > 1 || !is_chunked {
            return Err(FramingError::TransferEncoding);
        }
        // RFC 9112 §6.3: ought to be handled as an error.
        if lengths > 0 {
            return Err(FramingError::Both);
        }
        headers.remove(TRANSFER_ENCODING);
    }
    match lengths {
        0 => Ok(()),
        1 if is_plain => Ok(()),
        _ => join_lengths(headers),
    }
}

/// RFC 9112 §6.3: one number that stands there several times counts once.
fn join_lengths(headers: &mut HeaderMap) -> Result<(), FramingError> {
    let mut lengths = headers
        .get_all(CONTENT_LENGTH)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii);
    let first = lengths.next().unwrap_or_default();
    if !is_number(first) || !lengths.all(|length| length == first) {
        return Err(FramingError::ContentLength);
    }
    let length = HeaderValue::from_bytes(first).map_err(|_| FramingError::ContentLength)?;
    headers.insert(CONTENT_LENGTH, length);
    Ok(())
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}
