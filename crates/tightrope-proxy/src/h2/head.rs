//! The head of a request, as HTTP/2 has it.

use http::{
    HeaderMap, Request, Uri, Version,
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};

/// A request that cannot be said in HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("`Host` is no authority")]
    Authority,
}

/// The request that `parts`, made for HTTP/1.1, are in HTTP/2. They stay what they are, so that it can be sent
/// again elsewhere.
pub(crate) fn outgoing(parts: &Parts, scheme: &Scheme) -> Result<Request<()>, HeadError> {
    // RFC 9113 §8.3.1: `:authority` instead of `Host`.
    let host = parts.headers.get(HOST).ok_or(HeadError::Authority)?;
    let authority = Authority::try_from(host.as_bytes()).map_err(|_| HeadError::Authority)?;
    let path = parts.uri.path_and_query().cloned();
    let mut target = http::uri::Parts::default();
    target.scheme = Some(scheme.clone());
    target.authority = Some(authority);
    target.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_parts(target).map_err(|_| HeadError::Authority)?;
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = fields(&parts.headers);
    Ok(request)
}

/// All but what is said in another way.
fn fields(headers: &HeaderMap) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        // RFC 9113 §8.2.2: of what belongs to a connection only `TE` is left.
        if ![HOST, CONNECTION, TRANSFER_ENCODING].contains(name) {
            fields.append(name, value.clone());
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn head(target: &str, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_host_becomes_the_authority() {
        let parts = head("/a?b", &[("host", "a.test:81"), ("x", "1"), ("x", "2")]);
        let request = outgoing(&parts, &Scheme::HTTPS).unwrap();
        assert_eq!(request.uri(), "https://a.test:81/a?b");
        assert!(!request.headers().contains_key(HOST));
        let values: Vec<_> = request.headers().get_all("x").iter().collect();
        assert_eq!(values, ["1", "2"]);
    }

    #[test]
    fn what_belongs_to_a_connection_stays_behind() {
        let parts = head(
            "/",
            &[
                ("host", "a.test"),
                ("transfer-encoding", "chunked"),
                ("connection", "te"),
                ("te", "trailers"),
            ],
        );
        let request = outgoing(&parts, &Scheme::HTTP).unwrap();
        let names: Vec<_> = request.headers().keys().collect();
        assert_eq!(names, ["te"]);
    }

    #[test]
    fn a_question_about_the_server_has_its_own_target() {
        let mut parts = head("*", &[("host", "a.test")]);
        parts.method = Method::OPTIONS;
        let request = outgoing(&parts, &Scheme::HTTP).unwrap();
        assert_eq!(request.uri().path(), "*");
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        let parts = head("/", &[("host", "a b")]);
        let refused = outgoing(&parts, &Scheme::HTTP);
        assert_eq!(refused.unwrap_err(), HeadError::Authority);
    }
}
