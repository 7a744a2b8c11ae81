//! Between a client and an endpoint of HTTP/2.

use std::future::poll_fn;

use h2::server::SendResponse;
use http::StatusCode;
use tightrope_proxy::{Forward, ForwardConfig, Protocol, respond};
use tightrope_upstream::Picked;
use tower_service::Service;

use super::*;
use crate::support::{Origin, http2};

/// A proxy in front of `origin`.
async fn proxy(origin: &Origin) -> Talk {
    let config = ForwardConfig::new().with_protocol(Protocol::Http2);
    let mut forward = Forward::new(config);
    let upstream = origin.upstream.clone();
    talk(&Http2::new(), move |request| {
        let picked = Picked::new(request, crate::support::pick(&upstream));
        let response = forward.call(picked);
        async move {
            Ok(match response.await {
                Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
                Err(error) => {
                    respond::response(&error).map(|body| body.map_err(Into::into).boxed_unsync())
                }
            })
        }
    })
    .await
}

fn interim(respond: &mut SendResponse<Bytes>, status: u16) {
    let interim = Response::builder()
        .status(status)
        .header("link", "</a.css>");
    let sent = respond.send_informational(interim.body(()).unwrap());
    sent.unwrap();
}

#[tokio::test]
async fn interim_responses_of_an_endpoint_reach_the_client() {
    let origin = Origin::new().await;
    let mut talk = proxy(&origin).await;
    let mut asked = talk.ask(get("/"));
    let mut endpoint = http2::Http2::accept(origin.accept().await.stream).await;
    let mut request = endpoint.next().await;
    for status in [103, 100, 110] {
        interim(&mut request.respond, status);
    }
    for status in [103, 110] {
        let came = soon(poll_fn(|cx| asked.poll_informational(cx))).await;
        let came = came.unwrap().unwrap();
        assert_eq!(came.status(), status);
        assert_eq!(came.headers()["link"], "</a.css>");
    }
    request.answer("fine");
    let response = soon(asked).await.unwrap();
    assert_eq!(soon(read(response.into_body())).await.unwrap().0, "fine");
}

#[tokio::test]
async fn an_endpoint_that_never_comes_to_its_response_fails() {
    let origin = Origin::new().await;
    let mut talk = proxy(&origin).await;
    let mut endpoint = None;
    for (count, status) in [(32, StatusCode::OK), (33, StatusCode::BAD_GATEWAY)] {
        let asked = talk.ask(get("/"));
        let endpoint = match &mut endpoint {
            Some(endpoint) => endpoint,
            None => {
                let stream = origin.accept().await.stream;
                endpoint.insert(http2::Http2::accept(stream).await)
            }
        };
        let mut request = endpoint.next().await;
        for _ in 0..count {
            interim(&mut request.respond, 103);
        }
        if count == 32 {
            request.answer("fine");
        }
        assert_eq!(soon(asked).await.unwrap().status(), status);
    }
}
