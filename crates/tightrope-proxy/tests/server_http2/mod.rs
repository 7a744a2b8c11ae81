//! `server::Http2`, as its clients see it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod budgets;
mod forwarded;
mod messages;
mod tunnels;

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tightrope_proxy::{
    LingeringStream,
    server::{Http2, RequestBody, ServeError},
};
use tokio::{
    io::duplex,
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tower::service_fn;

use crate::support::BoxError;

type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// A connection between a client and the server.
struct Talk {
    requests: SendRequest<Bytes>,
    client: JoinHandle<Result<(), h2::Error>>,
    served: JoinHandle<Result<(), ServeError>>,
    stop: Option<oneshot::Sender<()>>,
}

/// Notes when it is dropped.
struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Answers by `service`.
async fn talk<F>(
    config: &Http2,
    service: impl FnMut(Request<RequestBody>) -> F + Send + 'static,
) -> Talk
where
    F: Future<Output = Result<Answer, BoxError>> + Send + 'static,
{
    let mut client = h2::client::Builder::new();
    client.initial_max_send_streams(100);
    talk_with(config, &client, service).await
}

async fn talk_with<F>(
    config: &Http2,
    client: &h2::client::Builder,
    service: impl FnMut(Request<RequestBody>) -> F + Send + 'static,
) -> Talk
where
    F: Future<Output = Result<Answer, BoxError>> + Send + 'static,
{
    let (near, far) = duplex(1024 * 1024);
    let (stop, mut stopped) = oneshot::channel();
    // A client that still writes would find nobody there, and not look for what it was told.
    let (far, linger) = LingeringStream::new(far);
    let mut serving = config.serve(far, service_fn(service));
    let served = tokio::spawn(async move {
        let stopped = tokio::select! {
            ended = &mut serving => Some(ended),
            Ok(()) = &mut stopped => None,
        };
        let ended = match stopped {
            Some(ended) => ended,
            None => {
                serving.graceful_shutdown();
                (&mut serving).await
            }
        };
        drop(serving);
        linger.linger().await;
        ended
    });
    let (requests, connection) = client.handshake(near).await.unwrap();
    Talk {
        requests,
        client: tokio::spawn(connection),
        served,
        stop: Some(stop),
    }
}

impl Talk {
    /// Sends a request without a body.
    fn ask(&mut self, request: Request<()>) -> h2::client::ResponseFuture {
        self.requests.send_request(request, true).unwrap().0
    }

    /// Sends a request without a body, and waits for the head of the response.
    async fn get(&mut self, path: &str) -> Result<Response<RecvStream>, h2::Error> {
        soon(self.ask(get(path))).await
    }

    /// The whole of a response.
    async fn text(&mut self, path: &str) -> String {
        let response = self.get(path).await.unwrap();
        let (text, _trailers) = soon(read(response.into_body())).await.unwrap();
        text
    }
}

fn get(path: &str) -> Request<()> {
    let target = format!("http://a.test{path}");
    Request::get(target).body(()).unwrap()
}

fn post(path: &str) -> Request<()> {
    let target = format!("http://a.test{path}");
    Request::post(target).body(()).unwrap()
}

fn answer(body: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static) -> Answer {
    Response::new(body.map_err(Into::into).boxed_unsync())
}

fn text(text: &'static str) -> Answer {
    answer(Full::new(Bytes::from_static(text.as_bytes())))
}

/// What does not come soon does not come.
async fn soon<F: Future>(future: F) -> F::Output {
    let patience = Duration::from_secs(24 * 60 * 60);
    timeout(patience, future).await.expect("soon")
}

/// All of a body, and its trailers.
async fn read(mut body: RecvStream) -> Result<(String, Option<http::HeaderMap>), h2::Error> {
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        text.extend_from_slice(&data);
    }
    let trailers = body.trailers().await?;
    Ok((String::from_utf8(text).unwrap(), trailers))
}
