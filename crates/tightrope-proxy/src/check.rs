//! What must not be forwarded.

use http::{
    Method, Request, Version,
    header::{HOST, HeaderMap, HeaderValue, MAX_FORWARDS, TRANSFER_ENCODING},
    uri::Authority,
};
use tightrope_upstream::{Failed, Failure};

use crate::host;

/// Why a request must not be forwarded.
///
/// Always the client's doing. [`respond::refusal`](crate::respond::refusal) answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// A request of HTTP/1.1 or newer names no host.
    #[error("the request names no host")]
    NoHost,
    /// It names several hosts.
    #[error("the request names several hosts")]
    SeveralHosts,
    /// The host is not a name or address with an optional port.
    #[error("the host is not valid")]
    InvalidHost,
    /// The target is neither a path, nor an absolute `http` or `https` URI, nor the `*` of an
    /// `OPTIONS` request.
    #[error("the target is not valid")]
    InvalidTarget,
    /// `CONNECT` asks for a tunnel to anywhere, which only a forward proxy grants.
    #[error("CONNECT is not supported")]
    Connect,
    /// The body has a transfer coding other than one `chunked`, which nobody here can take off.
    #[error("the transfer coding is not supported")]
    TransferCoding,
    /// `Max-Forwards` says that the request ends here, where nobody can answer it.
    #[error("the request may not be forwarded any further")]
    MaxForwards,
    /// A header field has an underscore in its name, and [`Underscores`](crate::Underscores) says
    /// to refuse that.
    #[error("a header field has an underscore in its name")]
    Underscore,
}

impl Failed for RequestError {
    fn failure(&self) -> Failure {
        Failure::Downstream
    }
}

/// Checks that `request` says in one way only where it is to go, and that it may go there.
///
/// Call it before anything is picked for the request. [`Forward`](crate::Forward) checks again, so
/// that what reaches it unchecked is refused as well.
///
/// ```
/// use tightrope_proxy::{RequestError, check_request};
///
/// let request = http::Request::get("/").header("host", "a.test, b.test").body(())?;
/// assert_eq!(check_request(&request), Err(RequestError::InvalidHost));
/// # Ok::<(), http::Error>(())
/// ```
///
/// # Errors
/// It does not (RFC 9112 §3.2, RFC 9113 §8.3.1), it is a `CONNECT`, or its `Max-Forwards` is used up
/// (RFC 9110 §7.6.2), or its body is coded in a way that could not be passed on (RFC 9112 §6.1).
pub fn check_request<B>(request: &Request<B>) -> Result<(), RequestError> {
    let (method, target, headers) = (request.method(), request.uri(), request.headers());
    if method == Method::CONNECT {
        return Err(RequestError::Connect);
    }
    check_target(method, target)?;
    let fields = Fields::of(headers);
    fields.check_host(target.authority(), request.version())?;
    fields.check_transfer_coding()?;
    // RFC 9110 §7.6.2: a request whose Max-Forwards is 0 MUST NOT be forwarded.
    if limits_forwards(method) && max_forwards(headers) == Some(0) {
        return Err(RequestError::MaxForwards);
    }
    Ok(())
}

/// Whether the path is one: the asterisk is for OPTIONS only (RFC 9112 §3.2.4). Over HTTP/2 it has an authority.
pub(crate) fn has_path(method: &Method, target: &http::Uri) -> bool {
    target.path().starts_with('/') || (target.path() == "*" && method == Method::OPTIONS)
}

fn check_target(method: &Method, target: &http::Uri) -> Result<(), RequestError> {
    let holds = match (target.scheme_str(), target.authority()) {
        (None, None) | (Some("http" | "https"), Some(_)) => has_path(method, target),
        // The authority form is for CONNECT only.
        _ => false,
    };
    holds.then_some(()).ok_or(RequestError::InvalidTarget)
}

/// What a head says of its host and its transfer coding, found in one pass.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a HeaderValue>,
    has_several_hosts: bool,
    coding: Option<&'a HeaderValue>,
    has_several_codings: bool,
}

impl<'a> Fields<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            if *name == HOST {
                fields.has_several_hosts |= fields.host.replace(value).is_some();
            } else if *name == TRANSFER_ENCODING {
                fields.has_several_codings |= fields.coding.replace(value).is_some();
            }
        }
        fields
    }

    fn check_host(
        &self,
        authority: Option<&Authority>,
        version: Version,
    ) -> Result<(), RequestError> {
        // RFC 9112 §3.2: more than one Host field is answered with 400, as is a missing one.
        if self.has_several_hosts {
            return Err(RequestError::SeveralHosts);
        }
        if let Some(field) = self.host
            && !host::is_host_and_port(field.as_bytes())
        {
            return Err(RequestError::InvalidHost);
        }
        if let Some(authority) = authority
            && !host::is_host_and_port(authority.as_str().as_bytes())
        {
            return Err(RequestError::InvalidHost);
        }
        match (authority, self.host) {
            // RFC 9113 §8.3.1: a Host that differs from :authority makes the request malformed. In
            // HTTP/1.1 the target wins instead (RFC 9112 §3.2.2).
            (Some(authority), Some(field)) if version >= Version::HTTP_2 => field
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes())
                .then_some(())
                .ok_or(RequestError::SeveralHosts),
            (None, None) if version >= Version::HTTP_11 => Err(RequestError::NoHost),
            (Some(_), None) if version == Version::HTTP_11 => Err(RequestError::NoHost),
            _ => Ok(()),
        }
    }

    fn check_transfer_coding(&self) -> Result<(), RequestError> {
        // RFC 9112 §6.1: chunked is applied once, and a coding that is not understood is answered with
        // 501. The server decodes chunked alone, so any other would be lost on the way.
        let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        let holds = self.coding.is_none_or(is_chunked) && !self.has_several_codings;
        holds.then_some(()).ok_or(RequestError::TransferCoding)
    }
}

/// Whether Max-Forwards means something to the method (RFC 9110 §7.6.2).
pub(crate) fn limits_forwards(method: &Method) -> bool {
    matches!(*method, Method::TRACE | Method::OPTIONS)
}

/// How many times the request may still be forwarded, where it says so.
pub(crate) fn max_forwards(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(MAX_FORWARDS)?.to_str().ok()?;
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    // More than fits is more than any chain of proxies has.
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    fn check(
        method: &str,
        target: &str,
        version: Version,
        fields: &[(&str, &str)],
    ) -> Result<(), RequestError> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        check_request(&request.body(()).unwrap())
    }

    fn get(target: &str, fields: &[(&str, &str)]) -> Result<(), RequestError> {
        check("GET", target, Version::HTTP_11, fields)
    }

    #[test]
    fn a_plain_request_may_pass() {
        assert_eq!(get("/a?b", &[("host", "a.test:80")]), Ok(()));
        assert_eq!(check("GET", "/", Version::HTTP_10, &[]), Ok(()));
        assert_eq!(check("GET", "http://a.test/", Version::HTTP_2, &[]), Ok(()));
        assert_eq!(
            check("OPTIONS", "*", Version::HTTP_11, &[("host", "a")]),
            Ok(())
        );
    }

    #[test]
    fn http_1_1_needs_exactly_one_host() {
        assert_eq!(get("/", &[]), Err(RequestError::NoHost));
        assert_eq!(get("http://a/", &[]), Err(RequestError::NoHost));
        assert_eq!(
            get("/", &[("host", "a"), ("host", "b")]),
            Err(RequestError::SeveralHosts)
        );
        assert_eq!(
            get("/", &[("host", "a"), ("host", "a")]),
            Err(RequestError::SeveralHosts)
        );
    }

    #[test]
    fn an_invalid_host_is_refused_wherever_it_stands() {
        for host in ["a b", "a/b", "u@a", "a, b", "a:99x", ""] {
            assert_eq!(
                get("/", &[("host", host)]),
                Err(RequestError::InvalidHost),
                "{host}"
            );
        }
        assert_eq!(
            get("http://u@a/", &[("host", "a")]),
            Err(RequestError::InvalidHost)
        );
    }

    #[test]
    fn the_host_of_an_absolute_target_wins_in_http_1_only() {
        assert_eq!(get("http://a.test/", &[("host", "b.test")]), Ok(()));
        let h2 = |host| check("GET", "http://a.test/", Version::HTTP_2, &[("host", host)]);
        assert_eq!(h2("A.test"), Ok(()));
        assert_eq!(h2("b.test"), Err(RequestError::SeveralHosts));
    }

    #[test]
    fn other_forms_of_target_are_refused() {
        let host = [("host", "a")];
        assert_eq!(get("a.test:80", &host), Err(RequestError::InvalidTarget));
        assert_eq!(get("*", &host), Err(RequestError::InvalidTarget));
        assert_eq!(get("ftp://a/", &host), Err(RequestError::InvalidTarget));
        assert_eq!(
            check("CONNECT", "a:22", Version::HTTP_11, &host),
            Err(RequestError::Connect)
        );
    }

    #[test]
    fn the_asterisk_of_http_2_is_for_options_only() {
        let at = |method| {
            let target = Uri::builder().scheme("http").authority("a.test");
            let request = Request::builder().method(method).version(Version::HTTP_2);
            let request = request.uri(target.path_and_query("*").build().unwrap());
            check_request(&request.body(()).unwrap())
        };
        assert_eq!(at("OPTIONS"), Ok(()));
        assert_eq!(at("GET"), Err(RequestError::InvalidTarget));
    }

    #[test]
    fn a_body_is_chunked_once_or_not_at_all() {
        let host = ("host", "a");
        let coded = |coding| get("/", &[host, ("transfer-encoding", coding)]);
        assert_eq!(coded("Chunked"), Ok(()));
        for coding in [
            "chunked, chunked",
            "gzip, chunked",
            "identity",
            "chunked;q=1",
            "",
        ] {
            assert_eq!(coded(coding), Err(RequestError::TransferCoding), "{coding}");
        }
        let twice = [
            host,
            ("transfer-encoding", "gzip"),
            ("transfer-encoding", "chunked"),
        ];
        assert_eq!(get("/", &twice), Err(RequestError::TransferCoding));
    }

    #[test]
    fn a_used_up_max_forwards_ends_trace_and_options() {
        let at = |method, value| {
            check(
                method,
                "/",
                Version::HTTP_11,
                &[("host", "a"), ("max-forwards", value)],
            )
        };
        assert_eq!(at("TRACE", "0"), Err(RequestError::MaxForwards));
        assert_eq!(at("OPTIONS", "00"), Err(RequestError::MaxForwards));
        assert_eq!(at("TRACE", "1"), Ok(()));
        assert_eq!(at("TRACE", "99999999999999999999"), Ok(()));
        assert_eq!(at("GET", "0"), Ok(()));
    }
}
