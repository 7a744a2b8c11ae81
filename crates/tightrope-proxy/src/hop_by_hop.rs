//! The fields that end at this hop.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, PROXY_AUTHENTICATE, TE, TRANSFER_ENCODING, VIA,
    },
};

use crate::Underscores;

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Removes from the fields of a request what is meant for this hop alone.
///
/// `TE: trailers` is asked for again where the client asked for it. Content-Length and
/// Transfer-Encoding are left to whoever writes the framing.
pub(crate) fn strip_request(headers: &mut HeaderMap, underscores: Underscores) {
    let doomed = doomed(headers, |name| {
        match name.as_str() {
            // RFC 9110 §10.1.1: answered by the server when it first reads the body.
            "expect" => true,
            // RFC 9110 §11.7.2: credentials for a proxy that asked for them, which this one never does.
            "proxy-authorization" => true,
            // Read by CGI programs as the environment variable `HTTP_PROXY` ("httpoxy").
            "proxy" => true,
            _ => underscores.drops(name),
        }
    });
    let wants_trailers = doomed.others.contains(&TE) && has_token(headers, &TE, b"trailers");
    doomed.remove_from(headers);
    if wants_trailers {
        // RFC 9110 §10.1.4: TE is itself an option of the connection.
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Removes from the fields of a response what is meant for this hop alone: whether its connection ends with it.
pub(crate) fn strip_response(headers: &mut HeaderMap) -> bool {
    let doomed = doomed(headers, |name| *name == PROXY_AUTHENTICATE);
    let closes = doomed.closes;
    doomed.remove_from(headers);
    closes
}

/// Removes the fields that say something of a connection, and have no place in HTTP/2 (RFC 9113 §8.2.2).
pub(crate) fn strip_connection(headers: &mut HeaderMap) {
    let doomed = doomed(headers, |name| *name == TRANSFER_ENCODING);
    doomed.remove_from(headers);
}

/// Removes from a trailer section what must not be in one (RFC 9110 §6.5.1): framing, routing,
/// authentication, how to read the content, and what ends at this hop.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    let doomed = doomed(trailers, |name| {
        matches!(
            name.as_str(),
            "authorization"
                | "cache-control"
                | "content-encoding"
                | "content-length"
                | "content-range"
                | "content-type"
                | "expect"
                | "forwarded"
                | "host"
                | "max-forwards"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "set-cookie"
                | "trailer"
                | "transfer-encoding"
                | "via"
                | "x-real-ip"
        ) || name.as_str().starts_with("x-forwarded-")
            || Underscores::Drop.drops(name)
    });
    doomed.remove_from(trailers);
}

/// The fields that end here.
#[derive(Default)]
struct Doomed {
    /// Whether there is a `Connection`. Mostly that is all.
    has_connection: bool,
    /// Whether that says so.
    closes: bool,
    others: Vec<HeaderName>,
}

/// The fields that end here: Connection, what it names, what it need not name (RFC 9110 §7.6.1), and
/// what is `unwanted` besides. One pass, which allocates only where there is more than a plain Connection.
fn doomed(headers: &HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) -> Doomed {
    let mut doomed = Doomed::default();
    let mut names_others = false;
    for (name, value) in headers {
        if *name == CONNECTION {
            doomed.has_connection = true;
            if value.as_bytes().eq_ignore_ascii_case(b"close") {
                doomed.closes = true;
            } else if !value.as_bytes().eq_ignore_ascii_case(b"keep-alive") {
                names_others = true;
            }
        } else if is_of_one_hop(name.as_str()) || unwanted(name) {
            doomed.others.push(name.clone());
        }
    }
    if names_others {
        doomed.closes |= has_token(headers, &CONNECTION, b"close");
        doomed.others.extend(named_by_connection(headers));
    }
    doomed
}

impl Doomed {
    fn remove_from(self, headers: &mut HeaderMap) {
        if self.has_connection {
            headers.remove(CONNECTION);
        }
        for name in self.others {
            headers.remove(name);
        }
    }
}

/// Whether the field is meant for one hop even where `Connection` does not name it.
fn is_of_one_hop(name: &str) -> bool {
    matches!(
        name,
        "connection" | "http2-settings" | "keep-alive" | "proxy-connection" | "te" | "upgrade"
    )
}

/// Removes the fields that `Connection` names, and takes their names out of it, so that whoever
/// writes one of them from now on writes it for the next hop.
pub(crate) fn drop_nominated(headers: &mut HeaderMap) {
    let names = named_by_connection(headers);
    let names: Vec<_> = names.filter(|name| !is_of_one_hop(name.as_str())).collect();
    if names.is_empty() {
        return;
    }
    let is_kept = |token: &&[u8]| {
        !names
            .iter()
            .any(|name| token.eq_ignore_ascii_case(name.as_ref()))
    };
    let kept: Vec<_> = tokens(headers, &CONNECTION).filter(is_kept).collect();
    let kept = HeaderValue::try_from(kept.join(&b", "[..]));
    headers.remove(CONNECTION);
    for name in &names {
        headers.remove(name);
    }
    if let Ok(kept) = kept
        && !kept.is_empty()
    {
        headers.insert(CONNECTION, kept);
    }
}

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    tokens(headers, &CONNECTION)
        .filter(|token| !token.eq_ignore_ascii_case(b"close"))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !outlives_connection(name))
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

/// Whether it is for this proxy alone to write or to remove the field.
pub(crate) fn is_ours(name: &HeaderName) -> bool {
    let text = name.as_str();
    is_of_one_hop(text)
        || outlives_connection(name)
        || matches!(
            text,
            "expect" | "max-forwards" | "proxy" | "proxy-authorization" | "trailer"
        )
}

/// Whether the list in the fields called `name` has `token`, in whatever case.
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &[u8]) -> bool {
    tokens(headers, name).any(|other| other.eq_ignore_ascii_case(token))
}

/// Whether the list in `value` has `token`, in whatever case.
pub(crate) fn lists(value: &HeaderValue, token: &[u8]) -> bool {
    members(value).any(|other| other.eq_ignore_ascii_case(token))
}

/// The members of the list in all fields called `name`.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).into_iter().flat_map(members)
}

/// The members of the list in one field.
fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let members = value.as_bytes().split(|&b| b == b',');
    members
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
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
        strip_request(&mut headers, Underscores::Drop);
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
    fn what_is_dropped_early_can_be_written_again() {
        let mut fields = headers(&[
            ("connection", "close, X-Client"),
            ("connection", "upgrade, x-forwarded-for, x-none"),
            ("upgrade", "websocket"),
            ("x-client", "eve"),
            ("x-forwarded-for", "192.0.2.1"),
        ]);
        drop_nominated(&mut fields);
        let left = [
            ("connection", "close, upgrade, x-forwarded-for"),
            ("upgrade", "websocket"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        assert_eq!(fields, headers(&left));
        let mut fields = headers(&[("connection", "x-client")]);
        drop_nominated(&mut fields);
        assert!(fields.is_empty());
    }

    #[test]
    fn connection_octets_that_are_no_name_are_passed_over() {
        let mut fields = headers(&[("x-foo", "1")]);
        let value = HeaderValue::from_bytes(b"\xff, x y, ,x-foo").unwrap();
        fields.append(CONNECTION, value);
        strip_request(&mut fields, Underscores::Drop);
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
        assert!(strip_response(&mut fields));
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
