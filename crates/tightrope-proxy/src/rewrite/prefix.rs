//! Other paths inside than outside.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONTENT_LOCATION, LOCATION, REFRESH, SET_COOKIE},
    uri::{PathAndQuery, Scheme},
};
use pin_project_lite::pin_project;
use tightrope_upstream::Endpoint;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Subject,
    answer::OrAnswer,
    back::{Back, Place},
};
use crate::{
    PathPrefix,
    respond::{self, Text},
};

/// Takes a prefix from the paths of requests, puts another in front, and does the reverse to what
/// responses say of places.
///
/// Stripping `/api` and adding `/v2` makes `/api/x?q` of the client `/v2/x?q` for the endpoint, and
/// `/api` becomes `/v2`. A path that is not under the prefix to strip is left alone. Prefixes end at
/// segments, the query stays, percent-encoding is neither read nor written, and an empty path
/// becomes `/`. Of several slashes that a stripped prefix would leave in front one is kept, as a
/// server may take `//a/b` for a host. As with routes a prefix guards nothing: `/api/../x` becomes
/// `/v2/../x`.
///
/// In responses `Location`, `Content-Location` and `Refresh` are mapped back where they are absolute
/// paths under the added prefix, or are URLs of such paths on the host that the client asked for
/// or at the address of the endpoint or another host of its, which becomes the scheme and host of the client. So are `Path` and
/// `Domain` of `Set-Cookie`. What points anywhere else, and what is relative, stays as it is. The
/// endpoint is known where the extensions of the response have its `Arc<Endpoint>`.
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use tightrope_proxy::rewrite::{AnswerBody, PrefixLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let prefix = PrefixLayer::new().with_stripped("/api".parse()?).with_added("/v2".parse()?);
/// let service = prefix.layer(service_fn(async |request: Request<()>| {
///     assert_eq!(request.uri(), "/v2/login?next=%2F");
///     let response = Response::builder().header("location", "/v2/home");
///     Ok::<_, Infallible>(response.body(AnswerBody::inner(String::new())).unwrap())
/// }));
/// let response = service.oneshot(Request::get("/api/login?next=%2F").body(())?).await?;
/// assert_eq!(response.headers()["location"], "/api/home");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PrefixLayer {
    prefixes: Arc<Prefixes>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefixes {
    strip: PathPrefix,
    add: PathPrefix,
    /// What endpoints are called besides their address.
    hosts: Vec<String>,
}

/// The service of a [`PrefixLayer`].
#[derive(Clone, Debug)]
pub struct Prefix<S> {
    inner: S,
    prefixes: Arc<Prefixes>,
}

pin_project! {
    /// The response of [`Prefix`].
    ///
    /// # Cancellation
    /// Dropping it drops the future inside.
    #[derive(Debug)]
    pub struct PrefixFuture<F> {
        #[pin]
        response: OrAnswer<F>,
        way: Option<Way>,
    }
}

/// What is needed to map back.
#[derive(Debug)]
struct Way {
    prefixes: Arc<Prefixes>,
    scheme: Option<Scheme>,
    host: Option<String>,
}

// === impl PrefixLayer ===

impl PrefixLayer {
    /// Leaves paths alone. URLs at the address of an endpoint are mapped back all the same.
    pub fn new() -> Self {
        Self {
            prefixes: Arc::new(Prefixes {
                strip: PathPrefix::ROOT,
                add: PathPrefix::ROOT,
                hosts: Vec::new(),
            }),
        }
    }

    /// The prefix that is for the client alone. Default `/`.
    pub fn with_stripped(mut self, prefix: PathPrefix) -> Self {
        Arc::make_mut(&mut self.prefixes).strip = prefix;
        self
    }

    /// The prefix that is for the endpoint alone. Default `/`.
    pub fn with_added(mut self, prefix: PathPrefix) -> Self {
        Arc::make_mut(&mut self.prefixes).add = prefix;
        self
    }

    /// A host, perhaps with a port, by which endpoints speak of themselves, as that of a fixed
    /// [`HostPolicy`](crate::HostPolicy). Default: none but their address.
    pub fn with_inner_host(mut self, host: &str) -> Self {
        Arc::make_mut(&mut self.prefixes)
            .hosts
            .push(host.to_owned());
        self
    }
}

impl Default for PrefixLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for PrefixLayer {
    type Service = Prefix<S>;

    fn layer(&self, inner: S) -> Prefix<S> {
        Prefix {
            inner,
            prefixes: Arc::clone(&self.prefixes),
        }
    }
}

// === impl Prefixes ===

impl Prefixes {
    /// The path for the endpoint of one of the client; `None` where it is left alone.
    fn inward(&self, path: &str) -> Option<String> {
        if !path.starts_with('/') {
            // The `*` of OPTIONS.
            return None;
        }
        let rest = self.strip.rest(path)?;
        let slashes = rest.len() - rest.trim_start_matches('/').len();
        let rest = if self.strip == PathPrefix::ROOT {
            rest
        } else {
            &rest[slashes.saturating_sub(1)..]
        };
        Some(joined(&self.add, rest))
    }

    /// The path for the client of one of the endpoint; `None` where there is none.
    pub(crate) fn outward(&self, path: &str) -> Option<String> {
        let rest = self.add.rest(path).filter(|_| path.starts_with('/'))?;
        Some(joined(&self.strip, rest))
    }

    /// The same for the path of a cookie, which `/api/` would keep from `/api`.
    pub(crate) fn cookie_outward(&self, path: &str) -> Option<String> {
        let rest = self.add.rest(path).filter(|_| path.starts_with('/'))?;
        Some(joined(&self.strip, if rest == "/" { "" } else { rest }))
    }

    pub(crate) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Whether nothing is stripped or added.
    fn is_nothing(&self) -> bool {
        self.strip == self.add && self.strip == PathPrefix::ROOT
    }
}

/// `None` where the target has nothing to rewrite, an error where the new one is too long.
fn rewritten(prefixes: &Prefixes, target: &Uri) -> Option<Result<Uri, http::Error>> {
    if prefixes.is_nothing() {
        return None;
    }
    let mut path = prefixes.inward(target.path())?;
    if let Some(query) = target.query() {
        path.push('?');
        path.push_str(query);
    }
    let with_path = |path: String| {
        let path = PathAndQuery::from_maybe_shared(bytes::Bytes::from(path))?;
        let mut parts = target.clone().into_parts();
        parts.path_and_query = Some(path);
        Ok(Uri::from_parts(parts)?)
    };
    Some(with_path(path))
}

fn joined(prefix: &PathPrefix, rest: &str) -> String {
    let path = format!("{}{rest}", prefix.as_str());
    if path.is_empty() {
        "/".to_owned()
    } else {
        path
    }
}

// === impl Prefix ===

impl<S> Prefix<S> {
    /// The service inside.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to change it.
    #[must_use]
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the wrapping.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for Prefix<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Text>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = PrefixFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let subject = Subject::of(&request);
        let way = Way {
            prefixes: Arc::clone(&self.prefixes),
            scheme: subject.scheme().cloned(),
            host: subject.host().map(str::to_owned),
        };
        match rewritten(&self.prefixes, request.uri()) {
            Some(Err(_)) => {
                return PrefixFuture {
                    response: OrAnswer::own(respond::answer(StatusCode::URI_TOO_LONG)),
                    way: None,
                };
            }
            Some(Ok(target)) => *request.uri_mut() = target,
            None => {}
        }
        PrefixFuture {
            response: OrAnswer::inner(self.inner.call(request)),
            way: Some(way),
        }
    }
}

// === impl PrefixFuture ===

impl<F, R, E> Future for PrefixFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Text>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        if let Some(way) = this.way.take() {
            way.back(&mut response);
        }
        Poll::Ready(Ok(response))
    }
}

// === impl Way ===

impl Way {
    fn back<R>(&self, response: &mut Response<R>) {
        let endpoint = response.extensions().get::<Arc<Endpoint>>();
        let endpoint = endpoint.map(|endpoint| endpoint.address().to_string());
        let back = Back {
            prefixes: &self.prefixes,
            client: self.host.as_deref().map(|host| Place {
                scheme: self.scheme.as_ref(),
                host,
            }),
            endpoint: endpoint.as_deref(),
        };
        let headers = response.headers_mut();
        for name in [LOCATION, CONTENT_LOCATION] {
            map(headers.get_mut(&name), |value| back.location(value));
        }
        map(headers.get_mut(REFRESH), |value| back.refresh(value));
        for cookie in headers.iter_mut().filter(|(name, _)| *name == SET_COOKIE) {
            map(Some(cookie.1), |value| back.cookie(value));
        }
    }
}

/// Replaces a value where there is a new one; one that is not ASCII stays.
fn map(value: Option<&mut HeaderValue>, new: impl Fn(&str) -> Option<String>) {
    let Some(value) = value else { return };
    let new = value.to_str().ok().and_then(new);
    if let Some(new) = new.and_then(|new| HeaderValue::try_from(new).ok()) {
        *value = new;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::rewrite::AnswerBody;

    pub(crate) fn prefixes(strip: &str, add: &str) -> Prefixes {
        Prefixes {
            strip: strip.parse().unwrap(),
            add: add.parse().unwrap(),
            hosts: vec!["app.internal".to_owned()],
        }
    }

    #[test]
    fn prefixes_are_exchanged_at_segments() {
        for (strip, add, outside, inside) in [
            ("/api", "/", "/api/x", Some("/x")),
            ("/api", "/", "/api/", Some("/")),
            ("/api", "/", "/api", Some("/")),
            ("/api", "/v2", "/api", Some("/v2")),
            ("/api", "/v2", "/api/", Some("/v2/")),
            ("/api", "/v2", "/api/x%2F/..%2f", Some("/v2/x%2F/..%2f")),
            ("/api", "/v2", "/apix", None),
            ("/api", "/v2", "/", None),
            ("/api", "/v2", "/%61pi/x", None),
            ("/api", "/", "/api//evil.test/x", Some("/evil.test/x")),
            ("/api", "/", "/api///", Some("/")),
            ("/", "/v2", "/x", Some("/v2/x")),
            ("/", "/v2", "//x", Some("/v2//x")),
            ("/", "/v2", "/", Some("/v2/")),
            ("/", "/v2", "*", None),
        ] {
            let new = prefixes(strip, add).inward(outside);
            assert_eq!(new.as_deref(), inside, "{outside}");
        }
    }

    #[tokio::test]
    async fn the_rest_of_the_target_stays_and_what_is_too_long_is_refused() {
        let target = async |target: String| {
            let echo = service_fn(async |request: Request<()>| {
                let target = request.uri().to_string();
                let response = Response::builder().header("x-target", target);
                Ok::<_, Infallible>(response.body(AnswerBody::inner(())).unwrap())
            });
            let layer = PrefixLayer::new()
                .with_stripped("/a".parse().unwrap())
                .with_added("/bcdef".parse().unwrap());
            let request = Request::get(target).body(()).unwrap();
            let response = layer.layer(echo).oneshot(request).await.unwrap();
            match response.headers().get("x-target") {
                Some(target) => Ok(target.to_str().unwrap().to_owned()),
                None => Err(response.status().as_u16()),
            }
        };
        for (outside, inside) in [
            ("/a/x?y=%20/a&", "/bcdef/x?y=%20/a&"),
            ("http://a.test:81/a?", "http://a.test:81/bcdef?"),
            ("/x?/a", "/x?/a"),
        ] {
            assert_eq!(target(outside.to_owned()).await.as_deref(), Ok(inside));
        }
        let long = format!("/a/{}", "x".repeat(65530));
        assert_eq!(target(long).await, Err(414));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_back(
            strip in "(/[a-c]{1,2}){0,2}/?", add in "(/[a-c]{1,2}){0,2}/?", rest in "(/[a-c%.]{1,3}){0,3}/?",
        ) {
            let slash = |text: String| if text.is_empty() { "/".to_owned() } else { text };
            let prefixes = prefixes(&slash(strip), &slash(add));
            let path = joined(&prefixes.strip, &rest);
            let inside = prefixes.inward(&path).unwrap();
            prop_assert!(inside.starts_with('/'));
            let outside = prefixes.outward(&inside).unwrap();
            // An empty rest may have become `/`.
            let same = |a: &str, b: &str| a.trim_end_matches('/') == b.trim_end_matches('/');
            prop_assert!(same(&outside, &path), "{path} {inside} {outside}");
        }
    }
}
