//! Resolving a client and writing who it is: `ForwardedLayer`, beside what one builds of tower-http's layers.
//!
//! `forwarded/<layer>/<request>`. tower-http's `SetRequestHeader` resolves nothing and removes nothing: its
//! closures write the address of the peer alone, which is the least that a proxy has to do, and trusts nobody.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    task::{Context, Poll},
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderName, HeaderValue, Request, Response};
use tightrope_forwarded::{Client, ForwardedElement, ForwardedLayer, IdentityHeader, Peer, Trust};
use tower::{Layer, Service};
use tower_http::set_header::SetRequestHeaderLayer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Gives the request back, so that its end is not measured.
#[derive(Clone)]
struct Echo;

impl Service<Request<()>> for Echo {
    type Response = Response<Request<()>>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Request<()>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        ready(Ok(Response::new(request)))
    }
}

/// What a browser sends, from this peer, with these lines more.
fn request(peer: &str, more: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get("/")
        .header("host", "app.test")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")
        .header("accept", "text/html,application/xhtml+xml")
        .header("accept-encoding", "gzip, br")
        .header("accept-language", "en")
        .header("cookie", "session=0123456789abcdef")
        .header("connection", "keep-alive");
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).unwrap();
    request.headers_mut().reserve(16);
    let peer = Peer::tcp(peer.parse().unwrap()).with_local_port(443);
    request.extensions_mut().insert(peer);
    request
}

fn layers(c: &mut Criterion) {
    let stranger = request("198.51.100.1:4711", &[]);
    let list = "203.0.113.7, 10.0.0.3, 10.0.0.4";
    let behind = request(
        "10.0.0.2:4711",
        &[("x-forwarded-for", list), ("x-forwarded-proto", "https")],
    );
    let forging = request(
        "198.51.100.1:4711",
        &[("x-forwarded-for", list), ("x-real-ip", "6.6.6.6")],
    );
    let requests = [
        ("stranger", stranger),
        ("behind_proxies", behind),
        ("forging", forging),
    ];

    let trust = Trust::networks(["10.0.0.0/8".parse().unwrap()]);
    let tightrope = ForwardedLayer::new(trust).with_header(IdentityHeader::XRealIp);
    measure(c, "tightrope", &requests, &tightrope.layer(Echo));
    let rfc7239 = tightrope.with_forwarded(ForwardedElement::new().with_proto().with_host());
    measure(c, "tightrope_rfc7239", &requests, &rfc7239.layer(Echo));

    let peer = |request: &Request<()>| {
        let address = request.extensions().get().and_then(Peer::address)?;
        HeaderValue::try_from(address.to_string()).ok()
    };
    let host = |request: &Request<()>| request.headers().get("host").cloned();
    let tower_http = (
        SetRequestHeaderLayer::overriding(X_FORWARDED_FOR, peer),
        SetRequestHeaderLayer::overriding(X_REAL_IP, peer),
        SetRequestHeaderLayer::overriding(X_FORWARDED_PROTO, HeaderValue::from_static("http")),
        SetRequestHeaderLayer::overriding(X_FORWARDED_HOST, host),
    );
    measure(c, "tower_http", &requests, &tower_http.layer(Echo));
}

fn measure<S>(c: &mut Criterion, layer: &str, requests: &[(&str, Request<()>)], service: &S)
where
    S: Service<Request<()>, Response = Response<Request<()>>, Error = Infallible> + Clone,
    S::Future: Future,
{
    let mut context = Context::from_waker(std::task::Waker::noop());
    for (name, request) in requests {
        let mut service = service.clone();
        c.bench_function(&format!("forwarded/{layer}/{name}"), |b| {
            b.iter_batched(
                || request.clone(),
                |request| {
                    let mut call = std::pin::pin!(service.call(request));
                    let Poll::Ready(Ok(passed)) = call.as_mut().poll(&mut context) else {
                        unreachable!("nothing waits")
                    };
                    black_box(passed.body().extensions().get::<Client>());
                    passed
                },
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
