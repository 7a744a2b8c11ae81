//! One line a request, written by a task of its own so that no request waits for the disk.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Response, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tightrope::upstream::Endpoint;
use tokio::{
    fs::OpenOptions,
    io::{AsyncWrite, AsyncWriteExt, BufWriter},
    sync::mpsc,
    time::Instant,
};

use crate::config;

/// Takes lines. Where they come faster than they can be written, the newest are dropped.
#[derive(Clone, Debug)]
pub(crate) struct AccessLog {
    lines: Option<mpsc::Sender<String>>,
}

/// The line of one request, which is written when this is dropped.
#[derive(Debug)]
pub(crate) struct Line {
    log: Option<mpsc::Sender<String>>,
    begun: Instant,
    peer: SocketAddr,
    method: Method,
    target: Uri,
    version: Version,
    status: u16,
    bytes: u64,
    endpoint: Option<Arc<Endpoint>>,
}

pin_project! {
    /// A response body that writes its line when it ends, or is dropped.
    pub(crate) struct LoggedBody<B> {
        #[pin]
        body: B,
        line: Line,
    }
}

/// The status of a request whose client left before there was a response, as in nginx.
const CLIENT_LEFT: u16 = 499;

/// How many lines may wait to be written.
const WAITING: usize = 4096;

// === impl AccessLog ===

impl AccessLog {
    /// Opens what `config` names, and writes on the caller's runtime until the last clone is gone.
    pub(crate) async fn open(config: &config::AccessLog) -> io::Result<Self> {
        let lines = match config {
            config::AccessLog::Off => None,
            config::AccessLog::Stdout => Some(write_to(tokio::io::stdout())),
            config::AccessLog::File(path) => {
                let file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(path)
                    .await?;
                Some(write_to(file))
            }
        };
        Ok(Self { lines })
    }

    /// A request has come.
    pub(crate) fn enter<B>(&self, peer: SocketAddr, request: &http::Request<B>) -> Line {
        Line {
            log: self.lines.clone(),
            begun: Instant::now(),
            peer,
            method: request.method().clone(),
            target: request.uri().clone(),
            version: request.version(),
            status: CLIENT_LEFT,
            bytes: 0,
            endpoint: None,
        }
    }
}

fn write_to(out: impl AsyncWrite + Send + Unpin + 'static) -> mpsc::Sender<String> {
    let (lines, mut waiting) = mpsc::channel::<String>(WAITING);
    tokio::spawn(async move {
        let mut out = BufWriter::new(out);
        while let Some(line) = waiting.recv().await {
            let written = out.write_all(line.as_bytes()).await;
            let flushed = match waiting.is_empty() {
                true => out.flush().await,
                false => Ok(()),
            };
            if let Err(error) = written.and(flushed) {
                tracing::error!(%error, "the access log cannot be written");
                return;
            }
        }
    });
    lines
}

// === impl LoggedBody ===

impl<B> LoggedBody<B> {
    /// `endpoint` is who answered, unless we did.
    pub(crate) fn wrap(
        response: Response<B>,
        endpoint: Option<Arc<Endpoint>>,
        mut line: Line,
    ) -> Response<Self> {
        line.status = response.status().as_u16();
        line.endpoint = endpoint;
        response.map(|body| Self { body, line })
    }
}

impl<B: Body<Data = Bytes>> Body for LoggedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            this.line.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Line ===

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(log) = self.log.take() {
            // Full: somebody reads the log too slowly, which must not hold up requests.
            let _dropped = log.try_send(self.to_string());
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.as_ref();
        writeln!(
            f,
            r#"{} "{} {} {:?}" {} {} {:.6} {}"#,
            self.peer.ip(),
            self.method,
            self.target.to_string().replace('"', "%22"),
            self.version,
            self.status,
            self.bytes,
            self.begun.elapsed().as_secs_f64(),
            endpoint.map_or("-", |endpoint| endpoint.id().as_str()),
        )
    }
}
