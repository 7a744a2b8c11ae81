//! WebSockets that a client opens over HTTP/2.

use std::{
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// Makes an extended `CONNECT` for a WebSocket (RFC 8441) the upgrade that it would be in HTTP/1.1,
/// and the answer to that the answer to the `CONNECT`.
///
/// What is inside sees a `GET` with `Connection`, `Upgrade` and a key of ours, and the tunnel goes on
/// as any other. It may be wherever requests are as they came, in front of
/// [`check_request`](crate::check_request), which refuses every other `CONNECT`. The server must have
/// been told to offer it ([`Http2::with_extended_connect`](crate::server::Http2::with_extended_connect); in hyper,
/// `enable_connect_protocol`), and names the protocol in an extension of type [`h2::ext::Protocol`] or
/// [`hyper::ext::Protocol`].
///
/// A 101 becomes a 200. An endpoint that answers with another 2xx did not open a tunnel, which is
/// what a 2xx would tell the client: that becomes a 502. Whether the endpoint answered our key with
/// the right hash is not checked: the hash shows browsers that nobody tricked them into speaking with
/// something else, and here it is the operator who says who the endpoints are.
///
/// ```
/// use http::{Method, Request, Response};
/// use h2::ext::Protocol;
/// use tightrope_proxy::ExtendedConnectLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let inside = service_fn(async |request: Request<()>| {
///     assert_eq!((request.method(), &request.headers()["upgrade"]), (&Method::GET, &"websocket".parse()?));
///     Ok::<_, http::Error>(Response::builder().status(101).body(())?)
/// });
/// let mut request = Request::connect("https://a.test/chat").version(http::Version::HTTP_2).body(())?;
/// request.extensions_mut().insert(Protocol::from_static("websocket"));
/// let response = ExtendedConnectLayer::new().layer(inside).oneshot(request).await?;
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ExtendedConnectLayer {}

/// The service of [`ExtendedConnectLayer`].
#[derive(Clone, Debug)]
pub struct ExtendedConnect<S> {
    inner: S,
}

pin_project! {
    /// The response of [`ExtendedConnect`].
    ///
    /// # Cancellation
    /// Dropping it drops the inner one, and does nothing else.
    #[must_use = "futures do nothing unless polled"]
    pub struct ExtendedConnectFuture<F> {
        #[pin]
        response: F,
        is_websocket: bool,
    }
}

/// In the extensions of a request that came as an extended `CONNECT`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CameAsConnect;

// === impl ExtendedConnectLayer ===

impl ExtendedConnectLayer {
    /// There is nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl<S> Layer<S> for ExtendedConnectLayer {
    type Service = ExtendedConnect<S>;

    fn layer(&self, inner: S) -> ExtendedConnect<S> {
        ExtendedConnect { inner }
    }
}

// === impl ExtendedConnect ===

impl<S> ExtendedConnect<S> {
    /// The inner service.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    #[must_use]
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for ExtendedConnect<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ExtendedConnectFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let is_websocket = request.method() == Method::CONNECT && is_websocket(&request);
        if is_websocket {
            // RFC 8441 §5: these take the place of the pseudo-header and of the method.
            *request.method_mut() = Method::GET;
            request.extensions_mut().insert(CameAsConnect);
            let headers = request.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_KEY, key());
        }
        ExtendedConnectFuture {
            response: self.inner.call(request),
            is_websocket,
        }
    }
}

fn is_websocket<B>(request: &Request<B>) -> bool {
    let extensions = request.extensions();
    let ours = extensions.get::<h2::ext::Protocol>();
    let protocol = match ours {
        Some(protocol) => Some(protocol.as_str()),
        None => extensions
            .get::<hyper::ext::Protocol>()
            .map(|protocol| protocol.as_str()),
    };
    protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// 16 bytes in base64, another text each time (RFC 6455 §4.1). Nothing is kept secret by it.
fn key() -> HeaderValue {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Each has keys of its own, which come from the system's randomness.
    let half = || u128::from(RandomState::new().hash_one(()));
    let mut bits = half() << 64 | half();
    let mut text = [b'='; 24];
    for place in &mut text[..21] {
        *place = DIGITS[(bits & 63) as usize];
        bits >>= 6;
    }
    // Of 128 bits two are left, which are the upper ones of their digit.
    text[21] = DIGITS[(bits << 4) as usize];
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

// === impl ExtendedConnectFuture ===

impl<F, R, E> Future for ExtendedConnectFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        if *this.is_websocket {
            *response.status_mut() = match response.status() {
                StatusCode::SWITCHING_PROTOCOLS => {
                    forget_switch(response.headers_mut());
                    StatusCode::OK
                }
                other if other.is_success() => StatusCode::BAD_GATEWAY,
                other => other,
            };
        }
        Poll::Ready(Ok(response))
    }
}

/// RFC 9113 §8.2.2, RFC 8441 §5: these have no place in HTTP/2.
fn forget_switch(headers: &mut HeaderMap) {
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        headers.remove(name);
    }
}

impl<F> fmt::Debug for ExtendedConnectFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtendedConnectFuture")
            .field("is_websocket", &self.is_websocket)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Version;
    use hyper::ext::Protocol;
    use tower::{ServiceExt, service_fn};

    use super::*;

    /// What a `CONNECT` for `protocol` becomes, and what an answer with `status` to it does.
    async fn exchange(protocol: &'static str, status: u16) -> (Request<()>, Response<()>) {
        let mut request = Request::connect("https://a.test/chat").version(Version::HTTP_2);
        if let Some(extensions) = request.extensions_mut() {
            extensions.insert(Protocol::from_static(protocol));
        }
        let mut seen = None;
        let inside = service_fn(|request: Request<()>| {
            seen = Some(request);
            let response = Response::builder()
                .status(status)
                .header(CONNECTION, "upgrade")
                .header(UPGRADE, "websocket")
                .header(SEC_WEBSOCKET_ACCEPT, "x")
                .header("sec-websocket-protocol", "chat");
            std::future::ready(Ok::<_, Infallible>(response.body(()).unwrap()))
        });
        let service = ExtendedConnectLayer::new().layer(inside);
        let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
        (seen.unwrap(), response)
    }

    #[tokio::test]
    async fn a_websocket_is_asked_for_as_in_http_1() {
        let (request, response) = exchange("websocket", 101).await;
        assert_eq!(request.method(), Method::GET);
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers()[CONNECTION], "upgrade");
        assert_eq!(request.headers()[UPGRADE], "websocket");
        let key = request.headers()[SEC_WEBSOCKET_KEY].to_str().unwrap();
        assert!(key.len() == 24 && key.ends_with("=="), "{key}");
        assert!("AQgw".contains(&key[21..22]), "{key}");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().len(), 1);
        let (another, _) = exchange("websocket", 101).await;
        assert_ne!(another.headers()[SEC_WEBSOCKET_KEY], key);
    }

    #[tokio::test]
    async fn a_client_never_takes_an_answer_without_a_switch_for_a_tunnel() {
        for (status, becomes) in [(200, 502), (204, 502), (302, 302), (403, 403), (503, 503)] {
            assert_eq!(exchange("websocket", status).await.1.status(), becomes);
        }
    }

    #[test]
    fn the_protocol_may_be_named_by_h2() {
        let mut request = Request::connect("https://a.test/chat").body(()).unwrap();
        let named = h2::ext::Protocol::from_static("WebSocket");
        request.extensions_mut().insert(named);
        assert!(is_websocket(&request));
    }

    #[tokio::test]
    async fn other_protocols_stay_what_they_are() {
        let (request, response) = exchange("connect-udp", 200).await;
        assert_eq!(request.method(), Method::CONNECT);
        assert!(request.headers().is_empty());
        assert_eq!(response.status(), 200);
        let error = crate::check_request(&request);
        assert_eq!(error, Err(crate::RequestError::Connect));
    }
}
