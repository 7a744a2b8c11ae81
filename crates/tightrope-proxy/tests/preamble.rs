//! Requests that bring the bytes their connection begins with.

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use tightrope_proxy::{Forward, Preamble};
use tightrope_upstream::{Picked, TakeUnsent};
use tower_service::Service;

use crate::support::{Origin, get, pick, post, text};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_preamble_goes_first_on_a_connection_of_its_own() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    // There is an idle connection, which others may use and this request may not.
    let mut pooled = origin.warm(&forward).await;
    for client in ["one", "two"] {
        let mut request = post("/", "hello");
        let preamble = Preamble::new(format!("for {client}\r\n"));
        request.extensions_mut().insert(preamble);
        let (response, mut peer) = tokio::join!(origin.call(&forward, request), async {
            let mut peer = origin.accept().await;
            let first = peer.until("\r\n").await;
            assert_eq!(first, format!("for {client}\r\n"));
            assert!(peer.head().await.starts_with("post / http/1.1"));
            peer.until("hello").await;
            peer.send(OK).await;
            peer
        });
        assert_eq!(text(response.unwrap()).await, "ok");
        // Nobody else gets it.
        assert_eq!(peer.rest().await, "");
    }
    let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
        assert!(pooled.head().await.starts_with("get / http/1.1"));
        pooled.send(OK).await;
    });
    assert_eq!(text(response.unwrap()).await, "ok");
}

#[tokio::test]
async fn a_request_that_could_not_be_sent_keeps_its_preamble() {
    let upstream = Origin::refusing().await;
    let mut request = get("/");
    request.extensions_mut().insert(Preamble::new("first"));
    let picked = Picked::new(request, pick(&upstream));
    let mut error = Forward::default().call(picked).await.unwrap_err();
    let unsent = TakeUnsent::<Request<Empty<Bytes>>>::take_unsent(&mut error).unwrap();
    assert!(unsent.request.extensions().get::<Preamble>().is_some());
}
