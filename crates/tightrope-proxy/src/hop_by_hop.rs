//! The fields that end at this hop.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, EXPECT, FORWARDED, HOST, MAX_FORWARDS, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Read by CGI programs as the environment variable `HTTP_PROXY` ("httpoxy").
const PROXY: HeaderName = HeaderName::from_static("proxy");

/// The fields that are meant for one hop even where `Connection` does not name them.
const ONE_HOP: [HeaderName; 6] = [
    CONNECTION,
    HTTP2_SETTINGS,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    UPGRADE,
];

/// Removes from the fields of a request what is meant for this hop alone.
///
/// `TE: trailers` is asked for again where the client asked for it. Content-Length and
/// Transfer-Encoding are left to whoever writes the framing.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    let wants_trailers = has_token(headers, &TE, b"trailers");
    strip(headers);
    // RFC 9110 §10.1.1: answered by the server when it first reads the body.
    headers.remove(EXPECT);
    // RFC 9110 §11.7.2: credentials for a proxy that asked for them, which this one never does.
    headers.remove(PROXY_AUTHORIZATION);
    headers.remove(PROXY);
    drop_underscores(headers);
    if wants_trailers {
        // RFC 9110 §10.1.4: TE is itself an option of the connection.
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Removes from the fields of a response what is meant for this hop alone.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip(headers);
    headers.remove(PROXY_AUTHENTICATE);
}

/// Removes from a trailer section what must not be in one (RFC 9110 §6.5.1): framing, routing,
/// authentication, how to read the content, and what ends at this hop.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    strip(trailers);
    for name in [
        AUTHORIZATION,
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        EXPECT,
        FORWARDED,
        HOST,
        MAX_FORWARDS,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        SET_COOKIE,
        TRAILER,
        TRANSFER_ENCODING,
        VIA,
        X_REAL_IP,
    ] {
        trailers.remove(name);
    }
    remove_where(trailers, |name| name.as_str().starts_with("x-forwarded-"));
    drop_underscores(trailers);
}

// RFC 9110 §7.6.1: Connection, what it names, and what it need not name.
fn strip(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    for name in ONE_HOP {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    tokens(headers, &CONNECTION)
        .filter(|token| !token.eq_ignore_ascii_case(b"close"))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        // Those of one hop are removed anyway; leaving them out here spares the allocation.
        .filter(|name| !ONE_HOP.contains(name) && !outlives_connection(name))
        .collect()
}

/// The fields that a client must not make us drop: where the request goes, how long its body is,
/// who sent it and which way it came.
fn outlives_connection(name: &HeaderName) -> bool {
    const KEPT: [HeaderName; 6] = [
        HOST,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        FORWARDED,
        VIA,
        X_REAL_IP,
    ];
    KEPT.contains(name) || name.as_str().starts_with("x-forwarded-")
}

/// Names with an underscore become the name with a hyphen in servers that follow CGI, so a client
/// could send what this proxy removes or writes.
fn drop_underscores(headers: &mut HeaderMap) {
    remove_where(headers, |name| name.as_str().contains('_'));
}

fn remove_where(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    // Allocates only where there is one.
    let names: Vec<_> = headers.keys().filter(|&n| unwanted(n)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Whether the list in the fields called `name` has `token`, in whatever case.
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &[u8]) -> bool {
    tokens(headers, name).any(|other| other.eq_ignore_ascii_case(token))
}

/// The members of the list in all fields called `name`.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let fields = headers.get_all(name).into_iter();
    fields
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn request(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = headers(fields);
        strip_request(&mut headers);
        headers
    }

    #[test]
    fn fields_named_by_any_connection_field_are_removed() {
        let left = request(&[
            ("connection", ""),
            ("connection", "close, x-FOO"),
            ("connection", "x-bar"),
            ("x-foo", "1"),
            ("x-foo", "2"),
            ("x-bar", "1"),
            ("x-kept", "1"),
        ]);
        assert_eq!(left, headers(&[("x-kept", "1")]));
    }

    #[test]
    fn connection_cannot_remove_framing_routing_or_identity() {
        let names = [
            "host",
            "content-length",
            "transfer-encoding",
            "forwarded",
            "via",
            "x-real-ip",
            "x-forwarded-for",
            "x-forwarded-host",
        ];
        for name in names {
            let left = request(&[("connection", name), (name, "1")]);
            assert_eq!(left, headers(&[(name, "1")]), "{name}");
        }
    }

    #[test]
    fn known_fields_of_one_hop_are_removed_without_being_named() {
        let left = request(&[
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("proxy", "http://evil"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMAAABk"),
            ("te", "gzip"),
            ("expect", "100-continue"),
            ("trailer", "x-sum"),
            ("authorization", "Basic x"),
        ]);
        assert_eq!(
            left,
            headers(&[("trailer", "x-sum"), ("authorization", "Basic x")])
        );
    }

    #[test]
    fn trailers_are_asked_for_again_where_they_were() {
        let left = request(&[
            ("te", "gzip, Trailers;q=1"),
            ("te", "TRAILERS"),
            ("connection", "te"),
        ]);
        assert_eq!(left, headers(&[("te", "trailers"), ("connection", "te")]));
        assert!(request(&[("te", "deflate")]).is_empty());
    }

    #[test]
    fn names_with_underscores_are_dropped() {
        let left = request(&[
            ("x_forwarded_for", "6.6.6.6"),
            ("content_length", "50"),
            ("a-b", "1"),
        ]);
        assert_eq!(left, headers(&[("a-b", "1")]));
    }

    #[test]
    fn connection_octets_that_are_no_name_are_passed_over() {
        let mut fields = headers(&[("x-foo", "1")]);
        let value = HeaderValue::from_bytes(b"\xff, x y, ,x-foo").unwrap();
        fields.append(CONNECTION, value);
        strip_request(&mut fields);
        assert!(fields.is_empty());
    }

    #[test]
    fn a_response_loses_what_was_meant_for_this_proxy() {
        let mut fields = headers(&[
            ("connection", "close, x-foo"),
            ("x-foo", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("www-authenticate", "Basic"),
            ("set_cookie", "kept"),
        ]);
        strip_response(&mut fields);
        assert_eq!(
            fields,
            headers(&[("www-authenticate", "Basic"), ("set_cookie", "kept")])
        );
    }

    #[test]
    fn trailers_cannot_frame_or_route() {
        let mut fields = headers(&[
            ("content-length", "50"),
            ("transfer-encoding", "chunked"),
            ("host", "evil"),
            ("x-forwarded-for", "6.6.6.6"),
            ("authorization", "x"),
            ("connection", "x-foo"),
            ("x-foo", "1"),
            ("x-sum", "42"),
        ]);
        strip_trailers(&mut fields);
        assert_eq!(fields, headers(&[("x-sum", "42")]));
    }
}
