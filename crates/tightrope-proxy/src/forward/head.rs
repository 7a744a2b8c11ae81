//! The heads of requests and responses, as they leave this proxy.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, Entry, HOST, MAX_FORWARDS, TRANSFER_ENCODING, UPGRADE,
        VIA,
    },
    request::Parts,
};
use http_body::Body;
use tightrope_upstream::{Address, Endpoint};

use crate::{ForwardConfig, HostPolicy, check, hop_by_hop, server::Interim};

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
    if config.via.is_some()
        && let Entry::Occupied(entries) = headers.entry(VIA)
    {
        // Ours is the last, and mostly the only one.
        match entries.iter().count() {
            1 => drop(entries.remove()),
            count => {
                let others = entries.iter().take(count - 1).cloned();
                let others: Vec<HeaderValue> = others.collect();
                entries.remove();
                for entry in others {
                    headers.append(VIA, entry);
                }
            }
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
            // Mostly the first: found faster so than by its hash.
            None if parts.headers.keys().any(|name| *name == HOST) => None,
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

/// Makes the head of a response, whose framing was taken, one of this proxy: whether its connection ends with it.
pub(crate) fn response(response: &mut Response<()>) -> bool {
    // RFC 9110 §2.5: each hop has its own version.
    *response.version_mut() = Version::HTTP_11;
    let is_empty = response.status() == StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if is_empty {
        // RFC 9110 §8.6: no Content-Length in a 204.
        headers.remove(CONTENT_LENGTH);
    }
    hop_by_hop::strip_response(headers)
}

/// How many interim responses (1xx) may come before the response.
pub(crate) const MAX_INTERIM: usize = 32;

/// Whether a response comes before the response.
pub(crate) fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Passes an interim response on to the client of `request`, if there is a way. It is not the answer to an expectation:
/// that was the server's to give, and did not go out.
pub(crate) fn pass_interim(mut response: Response<()>, request: &Parts) {
    if response.status() != StatusCode::CONTINUE
        && let Some(interim) = request.extensions.get::<Interim>()
    {
        hop_by_hop::strip_response(response.headers_mut());
        interim.send(response.status(), response.headers());
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;
    use tightrope_upstream::{Change, EndpointSpec, Upstream};

    use super::*;

    #[test]
    fn what_did_not_go_out_loses_nothing_but_what_ended_here() {
        let upstream = Upstream::new("test");
        let spec = EndpointSpec::new("10.0.0.1:80".parse().unwrap());
        upstream.apply(Change::new().add(spec)).unwrap();
        let snapshot = upstream.snapshot();
        let endpoint = &snapshot.members()[0];
        let config = ForwardConfig::new();
        let request = http::Request::options("http://a.test/x")
            .version(Version::HTTP_2)
            .header(VIA, "1.1 first")
            .header(MAX_FORWARDS, "7")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let (mut parts, body) = request.into_parts();
        self::request(&mut parts, &body, None, endpoint, &config);
        assert_eq!(parts.version, Version::HTTP_11);
        assert_eq!(parts.headers[HOST], "a.test");
        assert_eq!(parts.headers[MAX_FORWARDS], "6");
        assert_eq!(parts.headers.get_all(VIA).iter().count(), 2);
        restore(&mut parts, Version::HTTP_2, &config);
        assert_eq!(parts.version, Version::HTTP_2);
        assert_eq!(parts.headers[MAX_FORWARDS], "7");
        let via: Vec<_> = parts.headers.get_all(VIA).iter().collect();
        assert_eq!(via, ["1.1 first"]);
        assert!(!parts.headers.contains_key("x-hop"));
        // Another attempt goes to the same place.
        assert_eq!(parts.uri, "/x");
        assert_eq!(parts.headers[HOST], "a.test");
    }
}
