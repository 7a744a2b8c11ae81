//! Streams that go on as something else.

use h2::{client::Builder, ext::Protocol};
use http::Method;
use http_body_util::Empty;
use tightrope_proxy::server::OnUpgrade;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn connect(protocol: &'static str) -> Request<()> {
    let mut request = get("/chat");
    *request.method_mut() = Method::CONNECT;
    let protocol = Protocol::from_static(protocol);
    request.extensions_mut().insert(protocol);
    request
}

/// Grants what is asked, and answers the first five bytes in upper case.
async fn shout(mut request: Request<RequestBody>) -> Result<Answer, BoxError> {
    assert_eq!(request.method(), Method::CONNECT);
    assert!(request.body().is_end_stream());
    let protocol = request.extensions().get::<Protocol>().unwrap();
    let status = match protocol.as_str() {
        "shout" => 200,
        _ => 501,
    };
    let on_upgrade: OnUpgrade = request.extensions_mut().remove().unwrap();
    tokio::spawn(async move {
        let Ok(mut tunnel) = on_upgrade.await else {
            return;
        };
        let mut bytes = [0; 5];
        tunnel.read_exact(&mut bytes).await.unwrap();
        bytes.make_ascii_uppercase();
        tunnel.write_all(&bytes).await.unwrap();
        tunnel.shutdown().await.unwrap();
        // The other direction goes on.
        let mut rest = String::new();
        tunnel.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest.len(), 100_000);
    });
    let mut response = answer(Empty::new());
    *response.status_mut() = http::StatusCode::from_u16(status)?;
    Ok(response)
}

async fn server() -> Talk {
    let config = Http2::new()
        .with_extended_connect()
        .with_windows(1000, 10_000)
        .with_idle_timeout(Duration::from_secs(60));
    let mut talk = talk_with(&config, &Builder::new(), shout).await;
    // The settings come first.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(talk.requests.is_extended_connect_protocol_enabled());
    let refused = talk.requests.send_request(connect("whisper"), false);
    let (response, _body) = refused.unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 501);
    talk
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_ends_one_direction_at_a_time_and_keeps_its_connection() {
    let mut talk = server().await;
    let (response, mut up) = talk.requests.send_request(connect("shout"), false).unwrap();
    let response = soon(response).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("content-length"));
    let down = response.into_body();
    // Longer than a connection may be idle.
    tokio::time::sleep(Duration::from_secs(600)).await;
    up.send_data("hello".into(), false).unwrap();
    assert_eq!(soon(read(down)).await.unwrap().0, "HELLO");
    let mut left = 100_000;
    while left > 0 {
        up.reserve_capacity(left);
        let capacity = soon(std::future::poll_fn(|cx| up.poll_capacity(cx))).await;
        let count = capacity.unwrap().unwrap().min(left);
        left -= count;
        up.send_data(vec![b'x'; count].into(), left == 0).unwrap();
    }
    // Both directions have ended: the connection is idle, and ends.
    soon(talk.client).await.unwrap().unwrap();
    soon(talk.served).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_ends_with_its_connection() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let config = Http2::new().with_extended_connect();
    let mut talk = talk(&config, move |mut request: Request<RequestBody>| {
        let on_upgrade: OnUpgrade = request.extensions_mut().remove().unwrap();
        let told = told.clone();
        tokio::spawn(async move {
            let mut tunnel = on_upgrade.await.unwrap();
            let read = tunnel.read_u8().await;
            let written = tunnel.write_all(b"x").await;
            told.send((read.is_err(), written.is_err())).unwrap();
        });
        async { Ok(answer(Empty::new())) }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    for is_reset in [true, false] {
        let asked = talk.requests.send_request(connect("shout"), false);
        let (response, mut up) = asked.unwrap();
        let _response = soon(response).await.unwrap();
        match is_reset {
            true => up.send_reset(h2::Reason::CANCEL),
            false => talk.client.abort(),
        }
        assert_eq!(soon(tells.recv()).await, Some((true, true)));
    }
}
