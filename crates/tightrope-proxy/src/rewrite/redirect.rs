//! From http to https, and staying there.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{LOCATION, STRICT_TRANSPORT_SECURITY},
    uri::Scheme,
};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Subject, answer::OrAnswer};
use crate::respond::{self, Text};

/// Sends clients that speak http to the same place by https, and tells those that speak https to
/// stay there, where that is asked for.
///
/// Which scheme a client speaks is said by [`Facts`](super::Facts) or an absolute target; where
/// neither does it is http. Host, path and query stay what they are. The port goes, as it is that
/// of http. A request without a valid host is answered with 400: what a client makes up must not
/// become a place that others are sent to.
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use tightrope_proxy::rewrite::{AnswerBody, HttpsLayer, RedirectStatus};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let https = HttpsLayer::new().with_redirect(RedirectStatus::Permanent);
/// let service = https.layer(service_fn(async |_: Request<()>| {
///     Ok::<_, Infallible>(Response::new(AnswerBody::inner(String::new())))
/// }));
/// let request = Request::get("/a?b").header("host", "shop.test:80").body(())?;
/// let response = service.oneshot(request).await?;
/// assert_eq!(response.status(), 308);
/// assert_eq!(response.headers()["location"], "https://shop.test/a?b");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct HttpsLayer {
    redirect: Option<RedirectStatus>,
    port: Option<u16>,
    stay: Option<HeaderValue>,
}

/// How clients are sent elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectStatus {
    /// 301: for good. A `POST` may become a `GET`.
    MovedPermanently,
    /// 302: this time. A `POST` may become a `GET`.
    Found,
    /// 307: this time, with the same method.
    Temporary,
    /// 308: for good, with the same method.
    Permanent,
}

/// A number that is no [`RedirectStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} is not a redirect: 301, 302, 307 or 308")]
pub struct RedirectStatusError {
    status: u16,
}

/// The service of an [`HttpsLayer`].
#[derive(Clone, Debug)]
pub struct Https<S> {
    inner: S,
    layer: HttpsLayer,
}

pin_project! {
    /// The response of [`Https`].
    ///
    /// # Cancellation
    /// Dropping it drops the future inside.
    #[derive(Debug)]
    pub struct HttpsFuture<F> {
        #[pin]
        response: OrAnswer<F>,
        stay: Option<HeaderValue>,
    }
}

// === impl HttpsLayer ===

impl HttpsLayer {
    /// Does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Redirects http requests. Default: they pass.
    pub const fn with_redirect(mut self, status: RedirectStatus) -> Self {
        self.redirect = Some(status);
        self
    }

    /// Where https is spoken. Default: 443, which no address has to name.
    pub const fn with_port(mut self, port: u16) -> Self {
        self.port = if port == 443 { None } else { Some(port) };
        self
    }

    /// Sets `Strict-Transport-Security` on the responses to https requests, for so many whole
    /// seconds. Never on others (RFC 6797 §7.2). Default: what the endpoint says.
    pub fn with_hsts(mut self, max_age: Duration) -> Self {
        let value = format!("max-age={}", max_age.as_secs());
        self.stay = HeaderValue::try_from(value).ok();
        self
    }

    /// Where the client is to go; `None` without a valid host.
    fn target(&self, subject: &Subject<'_>) -> Option<HeaderValue> {
        let host = subject.host()?;
        let name = match host.rfind(']') {
            Some(end) => &host[..=end],
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        let path = subject.target.path_and_query();
        // The `*` of OPTIONS is no path.
        let path = path.map_or("/", |path| path.as_str());
        let path = if path == "*" { "/" } else { path };
        HeaderValue::try_from(format!("https://{name}{port}{path}")).ok()
    }

    fn redirect(&self, status: RedirectStatus, subject: &Subject<'_>) -> Response<Text> {
        match self.target(subject) {
            Some(target) => {
                let mut response = respond::answer(status.into());
                response.headers_mut().insert(LOCATION, target);
                response
            }
            None => respond::answer(StatusCode::BAD_REQUEST),
        }
    }
}

impl<S> Layer<S> for HttpsLayer {
    type Service = Https<S>;

    fn layer(&self, inner: S) -> Https<S> {
        Https {
            inner,
            layer: self.clone(),
        }
    }
}

// === impl RedirectStatus ===

impl TryFrom<u16> for RedirectStatus {
    type Error = RedirectStatusError;

    fn try_from(status: u16) -> Result<Self, RedirectStatusError> {
        match status {
            301 => Ok(Self::MovedPermanently),
            302 => Ok(Self::Found),
            307 => Ok(Self::Temporary),
            308 => Ok(Self::Permanent),
            _ => Err(RedirectStatusError { status }),
        }
    }
}

impl From<RedirectStatus> for StatusCode {
    fn from(status: RedirectStatus) -> Self {
        match status {
            RedirectStatus::MovedPermanently => Self::MOVED_PERMANENTLY,
            RedirectStatus::Found => Self::FOUND,
            RedirectStatus::Temporary => Self::TEMPORARY_REDIRECT,
            RedirectStatus::Permanent => Self::PERMANENT_REDIRECT,
        }
    }
}

// === impl Https ===

impl<S> Https<S> {
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

impl<S, B, R> Service<Request<B>> for Https<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Text>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = HttpsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let subject = Subject::of(&request);
        let is_https = subject.scheme() == Some(&Scheme::HTTPS);
        match self.layer.redirect {
            Some(status) if !is_https => HttpsFuture {
                response: OrAnswer::own(self.layer.redirect(status, &subject)),
                stay: None,
            },
            _ => HttpsFuture {
                response: OrAnswer::inner(self.inner.call(request)),
                stay: self.layer.stay.clone().filter(|_| is_https),
            },
        }
    }
}

// === impl HttpsFuture ===

impl<F, R, E> Future for HttpsFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Text>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let stay = this.stay;
        this.response.poll(cx).map_ok(|mut response| {
            if let Some(stay) = stay.take() {
                response
                    .headers_mut()
                    .insert(STRICT_TRANSPORT_SECURITY, stay);
            }
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::rewrite::{AnswerBody, Facts};

    async fn answer(layer: HttpsLayer, request: Request<()>) -> Response<AnswerBody<String>> {
        let inner = service_fn(async |_: Request<()>| {
            let response = Response::builder().header(STRICT_TRANSPORT_SECURITY, "theirs");
            Ok::<_, Infallible>(response.body(AnswerBody::inner(String::new())).unwrap())
        });
        layer.layer(inner).oneshot(request).await.unwrap()
    }

    fn layer() -> HttpsLayer {
        HttpsLayer::new()
            .with_redirect(RedirectStatus::MovedPermanently)
            .with_hsts(Duration::from_secs(300))
    }

    #[tokio::test]
    async fn host_path_and_query_are_kept_and_the_port_goes() {
        for (host, target, location) in [
            ("a.test", "/", "https://a.test/"),
            ("a.test:80", "/x%2Fy?z=1&z", "https://a.test/x%2Fy?z=1&z"),
            ("a.test:8080", "//b.test/", "https://a.test//b.test/"),
            ("[::1]:80", "/x", "https://[::1]/x"),
            ("[::1]", "/x", "https://[::1]/x"),
            ("evil.test", "http://a.test:80/x?y", "https://a.test/x?y"),
            ("a.test", "*", "https://a.test/"),
        ] {
            let request = Request::get(target).header("host", host).body(()).unwrap();
            let response = answer(layer(), request).await;
            assert_eq!(response.status(), 301);
            assert_eq!(response.headers()[LOCATION], location);
            assert!(!response.headers().contains_key(STRICT_TRANSPORT_SECURITY));
        }
        let request = Request::get("/")
            .header("host", "[::1]:80")
            .body(())
            .unwrap();
        let response = answer(layer().with_port(8443), request).await;
        assert_eq!(response.headers()[LOCATION], "https://[::1]:8443/");
    }

    #[tokio::test]
    async fn nobody_is_sent_to_what_is_no_host() {
        for host in [
            "",
            "a b",
            "a/b",
            "u@a.test",
            "a.test, b.test",
            "[::g]",
            "a.test:x",
        ] {
            let request = Request::get("/").header("host", host).body(()).unwrap();
            let response = answer(layer(), request).await;
            assert_eq!(response.status(), 400, "{host}");
            assert!(!response.headers().contains_key(LOCATION));
        }
    }

    #[tokio::test]
    async fn https_passes_and_is_told_to_stay() {
        let https = || {
            let facts = Facts::new().with_scheme(Scheme::HTTPS);
            Request::get("/").extension(facts).body(()).unwrap()
        };
        let response = answer(layer(), https()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[STRICT_TRANSPORT_SECURITY], "max-age=300");
        let response = answer(HttpsLayer::new(), https()).await;
        assert_eq!(response.headers()[STRICT_TRANSPORT_SECURITY], "theirs");
        // Without a redirect http passes as well.
        let plain = Request::get("/").header("host", "a.test").body(()).unwrap();
        let response = answer(HttpsLayer::new().with_hsts(Duration::MAX), plain).await;
        assert_eq!(response.headers()[STRICT_TRANSPORT_SECURITY], "theirs");
    }

    #[test]
    fn a_redirect_has_one_of_four_statuses() {
        for status in [301, 302, 307, 308] {
            let redirect = RedirectStatus::try_from(status).unwrap();
            assert_eq!(StatusCode::from(redirect), status);
        }
        let error = RedirectStatus::try_from(303).unwrap_err().to_string();
        assert_eq!(error, "303 is not a redirect: 301, 302, 307 or 308");
    }
}
