//! How long requests may take, and what clients and endpoints are told of it.

use std::time::Duration;

use http::{Request, request};
use tightrope::retry::GrpcTimeout;
use tightrope_test::{Answer, Client, Origin};

use super::program::{Program, file, soon};

/// The proxy over these servers, with this in `[upstream.retry]`.
async fn proxy(settings: &str, servers: &[&Origin]) -> Program {
    let endpoints = servers.iter().map(|server| {
        let address = server.address();
        format!("[[upstream.endpoint]]\naddress = \"{address}\"\n")
    });
    let (_folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [admin]\naddress = \"127.0.0.1:0\"
         [[upstream]]\nname = \"app\"\nstrategy = \"first_available\"
         [upstream.retry]\n{settings}\n{}",
        endpoints.collect::<String>()
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    Program::start(arguments, true).await
}

fn call(path: &str) -> request::Builder {
    Request::post(path)
        .header("host", "app.test")
        .header("content-type", "application/grpc")
}

async fn send(proxy: &Program, request: request::Builder) -> Answer {
    let mut client = Client::connect(proxy.proxy()).await.unwrap();
    let request = request.body(Vec::new().into()).unwrap();
    let response = soon(client.send(request)).await.unwrap();
    soon(Answer::read(response)).await.unwrap()
}

/// The value of a field that `/echo` tells of.
fn field<'a>(echo: &'a Answer, name: &str) -> Option<&'a str> {
    let mut lines = echo.body.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn a_request_that_hangs_ends_with_its_time() {
    let hangs = Origin::start("hangs").await;
    let proxy = proxy("request_timeout = \"200ms\"", &[&hangs]).await;
    let answer = proxy.get("/gate").await;
    assert_eq!((answer.status, &*answer.body), (504, "Gateway Timeout\n"));
    let state = proxy.state("/upstreams/app").await;
    assert_eq!(state["endpoints"][0]["in_flight"], 0);
    assert_eq!(state["endpoints"][0]["failed"], 1);
    // A response that has begun is cut off.
    let mut client = Client::connect(proxy.proxy()).await.unwrap();
    let request = Request::get("/stream").header("host", "app.test");
    let request = request.body(Vec::new().into()).unwrap();
    let response = soon(client.send(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(soon(Answer::read(response)).await.is_err());
    soon(hangs.open_becomes(0)).await;
}

#[tokio::test]
async fn an_attempt_that_hangs_goes_elsewhere() {
    let (hangs, good) = (Origin::start("hangs").await, Origin::start("good").await);
    good.open_gate();
    let proxy = proxy("attempt_timeout = \"200ms\"", &[&hangs, &good]).await;
    let answer = proxy.get("/gate").await;
    assert_eq!((answer.status, &*answer.body), (200, "good"));
    let state = proxy.state("/upstreams/app").await;
    assert_eq!(state["endpoints"][0]["failed"], 1);
    assert_eq!(state["endpoints"][1]["failed"], 0);
}

#[tokio::test]
async fn the_deadline_of_a_call_is_heeded_and_passed_on_shortened() {
    let origin = Origin::start("origin").await;
    let settings = "request_timeout = \"1h\"\ngrpc_timeout = true\ndeadline_header = \"X-Left-Ms\"";
    let proxy = proxy(settings, &[&origin]).await;
    let late = send(&proxy, call("/gate").header("grpc-timeout", "200m")).await;
    assert_eq!((late.status, &*late.body), (200, ""));
    assert_eq!(late.headers["grpc-status"], "4");
    assert_eq!(late.headers["content-type"], "application/grpc");
    // A client that is in a hurry says nothing of the endpoint.
    let state = proxy.state("/upstreams/app").await;
    assert_eq!(state["endpoints"][0]["failed"], 0);

    for (said, most) in [(Some("50S"), 50), (Some("2H"), 3600), (None, 3600)] {
        let request = match said {
            Some(said) => call("/echo").header("grpc-timeout", said),
            None => call("/echo"),
        };
        let echo = send(&proxy, request).await;
        let left: GrpcTimeout = field(&echo, "grpc-timeout").unwrap().parse().unwrap();
        let most = Duration::from_secs(most);
        assert!(
            left.duration() <= most && left.duration() > most / 2,
            "{left}"
        );
        let left: u64 = field(&echo, "x-left-ms").unwrap().parse().unwrap();
        assert!(Duration::from_millis(left) <= most, "{left}");
    }
    let echo = send(
        &proxy,
        Request::get("/echo")
            .header("host", "a")
            .header("X-Left-Ms", "50000"),
    )
    .await;
    assert_eq!(field(&echo, "grpc-timeout"), None);
    let left: u64 = field(&echo, "x-left-ms").unwrap().parse().unwrap();
    assert!((1..=50_000).contains(&left), "{left}");
    let over = send(
        &proxy,
        Request::get("/echo")
            .header("host", "a")
            .header("X-Left-Ms", "0"),
    )
    .await;
    assert_eq!(over.status, 504);
}

#[tokio::test]
async fn a_call_that_nobody_can_take_is_unavailable_in_its_own_terms() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let upstream = address.to_string();
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", &*upstream];
    let proxy = Program::start(arguments, false).await;
    let answer = send(&proxy, call("/shop.Cart/Add")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["grpc-status"], "14");
    assert_eq!(answer.headers["grpc-message"], "Bad Gateway");
    let text = send(&proxy, Request::get("/").header("host", "a")).await;
    assert_eq!(text.status, 502);
}
