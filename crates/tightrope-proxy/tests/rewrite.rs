//! The layers of `rewrite` around a real exchange, and between a balancer and an endpoint.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response};
use tightrope_proxy::rewrite::{AnswerBody, HeaderRules, HeadersLayer, PrefixLayer};
use tightrope_upstream::{Change, Endpoint, EndpointSpec, Picked, Upstream};
use tower::{Layer, ServiceExt, service_fn};

fn upstream() -> Upstream {
    let upstream = Upstream::new("app");
    let spec = EndpointSpec::new("10.0.0.1:8080".parse().expect("an address"));
    upstream
        .apply(Change::new().add(spec))
        .expect("a new endpoint");
    upstream
}

#[tokio::test]
async fn behind_a_balancer_the_endpoint_is_known_to_both_sides() {
    let rules = || HeaderRules::new().set("x-endpoint", "{endpoint}{path}");
    let layer = HeadersLayer::new()
        .with_request(rules().unwrap())
        .with_response(rules().unwrap());
    let service = layer.layer(service_fn(async |picked: Picked<Request<()>>| {
        let (request, _pick) = picked.into_parts();
        assert_eq!(request.headers()["x-endpoint"], "10.0.0.1:8080/a");
        Ok::<_, Infallible>(Response::new(()))
    }));
    let pick = upstream().snapshot().members()[0].pick().unwrap();
    let request = Request::get("/a?b").body(()).unwrap();
    let response = service.oneshot(Picked::new(request, pick)).await.unwrap();
    assert_eq!(response.headers()["x-endpoint"], "10.0.0.1:8080/a");
}

#[tokio::test]
async fn in_front_of_a_balancer_the_response_says_who_answered() {
    let endpoint = Arc::clone(
        upstream().snapshot().members()[0]
            .pick()
            .unwrap()
            .endpoint(),
    );
    let inner = service_fn(move |request: Request<()>| {
        let endpoint: Arc<Endpoint> = Arc::clone(&endpoint);
        async move {
            assert!(!request.headers().contains_key("x-endpoint"));
            let response = Response::builder()
                .header("location", "http://10.0.0.1:8080/v2/x")
                .header("set-cookie", "a=1; Path=/v2")
                .header("set-cookie", "b=1; Path=/v2/b")
                .extension(endpoint);
            Ok::<_, Infallible>(response.body(AnswerBody::inner(())).unwrap())
        }
    });
    let rules = || HeaderRules::new().set("x-endpoint", "{endpoint}").unwrap();
    let headers = HeadersLayer::new()
        .with_request(rules())
        .with_response(rules());
    let prefix = PrefixLayer::new()
        .with_stripped("/api".parse().unwrap())
        .with_added("/v2".parse().unwrap());
    let service = headers.layer(prefix.layer(inner));
    let request = Request::get("/api").header("host", "a.test");
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["x-endpoint"], "10.0.0.1:8080");
    assert_eq!(response.headers()["location"], "//a.test/api/x");
    let cookies = response.headers().get_all("set-cookie").iter();
    let cookies: Vec<_> = cookies.map(|cookie| cookie.to_str().unwrap()).collect();
    assert_eq!(cookies, ["a=1; Path=/api", "b=1; Path=/api/b"]);
}
