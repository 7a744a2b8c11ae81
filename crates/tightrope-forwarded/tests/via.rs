//! `Via`, through the public API.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Version};
use tightrope_forwarded::{ViaError, ViaLayer};
use tower::{Layer, Service, ServiceExt, service_fn};

async fn pass(request: Request<()>) -> Result<Vec<String>, ViaError<Infallible>> {
    let echo = service_fn(async |request: Request<()>| Ok::<_, Infallible>(request));
    let layer = ViaLayer::new("edge1").unwrap();
    let passed = layer.layer(echo).oneshot(request).await?;
    let lines = passed.headers().get_all("via").iter();
    Ok(lines
        .map(|line| line.to_str().unwrap().to_owned())
        .collect())
}

#[tokio::test]
async fn a_line_is_added_behind_those_of_others_with_the_version_that_was_received() {
    for (version, line) in [
        (Version::HTTP_10, "1.0 edge1"),
        (Version::HTTP_11, "1.1 edge1"),
        (Version::HTTP_2, "2.0 edge1"),
        (Version::HTTP_3, "3.0 edge1"),
    ] {
        let request = Request::builder()
            .version(version)
            .header("via", "1.0 fred");
        let lines = pass(request.body(()).unwrap()).await;
        assert_eq!(lines, Ok(vec!["1.0 fred".to_owned(), line.to_owned()]));
    }
}

#[tokio::test]
async fn a_request_that_comes_around_again_is_refused_without_a_call() {
    let lines = ["1.1 other", "1.0 fred (unclosed, 2.0 EDGE1", "1.1 last"];
    let mut request = Request::new(());
    for line in lines {
        request.headers_mut().append("via", line.parse().unwrap());
    }
    assert_eq!(pass(request.clone()).await, Err(ViaError::Loop));
    request.headers_mut().remove("via");
    let opaque = HeaderValue::from_bytes(b"\xff,1.1 edge1,\xff").unwrap();
    request.headers_mut().append("via", opaque);

    let never = service_fn(async |_: Request<()>| -> Result<(), Infallible> { panic!("a call") });
    let service = ViaLayer::new("edge1").unwrap().layer(never);
    assert_eq!(service.oneshot(request).await, Err(ViaError::Loop));
}

#[tokio::test]
async fn readiness_and_errors_are_those_of_the_service_inside() {
    #[derive(Clone)]
    struct Failing(Result<(), std::num::ParseIntError>);

    impl Service<Request<()>> for Failing {
        type Response = ();
        type Error = std::num::ParseIntError;
        type Future = Ready<Result<(), Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(self.0.clone())
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            ready("x".parse::<u8>().map(drop))
        }
    }

    let error = "x".parse::<u8>().unwrap_err();
    let layer = ViaLayer::new("edge1").unwrap();
    let mut service = layer.layer(Failing(Err(error.clone())));
    let not_ready = service.ready().await.map(drop).unwrap_err();
    assert_eq!(not_ready, ViaError::Inner(error.clone()));
    let cause = not_ready.source().unwrap().to_string();
    assert_eq!(cause, error.to_string());

    let mut service = layer.layer(Failing(Ok(())));
    let failed = service.ready().await.unwrap().call(Request::new(())).await;
    assert_eq!(failed, Err(ViaError::Inner(error)));
}
