//! What each path does.

use std::{fmt::Write, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{sync::mpsc, time::sleep};

use super::{
    body::{Piece, Pieces},
    state::{Open, State},
};

/// A tunnel to be echoed in, once its connection was handed over.
pub(super) type Tunnel = (OnUpgrade, Open);

/// One request on the way to its answer.
pub(super) struct Script {
    state: Arc<State>,
    tunnels: mpsc::UnboundedSender<Tunnel>,
}

impl Script {
    pub(super) fn new(state: &Arc<State>, tunnels: &mpsc::UnboundedSender<Tunnel>) -> Self {
        Self {
            state: Arc::clone(state),
            tunnels: tunnels.clone(),
        }
    }

    pub(super) async fn run(self, request: Request<Incoming>) -> io::Result<Response<Pieces>> {
        let path = request.uri().path().to_owned();
        if path == "/infra/health" {
            return Ok(match self.state.is_up() {
                true => self.text(StatusCode::OK, "UP", None),
                false => self.text(StatusCode::SERVICE_UNAVAILABLE, "DOWN", None),
            });
        }
        let open = self.state.opened();
        let name = self.state.name();
        let time = milliseconds(request.uri().query());
        Ok(match path.as_str() {
            "/" => self.text(StatusCode::OK, name, Some(open)),
            "/slow" => {
                sleep(time).await;
                self.text(StatusCode::OK, name, Some(open))
            }
            "/long" => {
                let pieces = (0..10).flat_map(|n| {
                    let pause = Piece::Pause(Box::pin(sleep_lazily(time / 10)));
                    [pause, Piece::Data(format!("{name} {n}\n").into())]
                });
                self.response(StatusCode::OK, pieces, Some(open))
            }
            "/gate" => {
                Arc::clone(&self.state).pass().await;
                self.text(StatusCode::OK, name, Some(open))
            }
            "/stream" => {
                let gate = Box::pin(Arc::clone(&self.state).pass());
                let begin = Piece::Data(format!("{name} begins\n").into());
                let end = Piece::Data(format!("{name} ends\n").into());
                let pieces = [begin, Piece::Pause(gate), end];
                self.response(StatusCode::OK, pieces, Some(open))
            }
            "/reset" => return Err(io::Error::other("reset")),
            "/cut" => {
                let half = Piece::Data(name.to_owned().into());
                let mut cut = self.response(StatusCode::OK, [half, Piece::Cut], Some(open));
                let length = HeaderValue::from(2 * name.len());
                cut.headers_mut().insert(header::CONTENT_LENGTH, length);
                cut
            }
            "/ws" => self.upgrade(request, open),
            "/echo" => {
                let text = written(request).await?;
                self.text(StatusCode::OK, &text, Some(open))
            }
            other => {
                let status = other.strip_prefix("/status/");
                let status = status.and_then(|code| code.parse().ok());
                self.text(status.unwrap_or(StatusCode::NOT_FOUND), name, Some(open))
            }
        })
    }

    fn upgrade(&self, request: Request<Incoming>, open: Open) -> Response<Pieces> {
        let Some(protocol) = request.headers().get(header::UPGRADE).cloned() else {
            return self.text(StatusCode::BAD_REQUEST, "no upgrade", Some(open));
        };
        // An error means that the connection is gone already.
        let _gone = self.tunnels.send((hyper::upgrade::on(request), open));
        let mut response = self.response(StatusCode::SWITCHING_PROTOCOLS, [], None);
        let upgrade = HeaderValue::from_static("upgrade");
        response.headers_mut().insert(header::CONNECTION, upgrade);
        response.headers_mut().insert(header::UPGRADE, protocol);
        response
    }

    fn text(&self, status: StatusCode, text: &str, open: Option<Open>) -> Response<Pieces> {
        let piece = Piece::Data(Bytes::copy_from_slice(text.as_bytes()));
        let mut response = self.response(status, [piece], open);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, text.len().into());
        let plain = HeaderValue::from_static("text/plain");
        headers.insert(header::CONTENT_TYPE, plain);
        response
    }

    fn response(
        &self,
        status: StatusCode,
        pieces: impl IntoIterator<Item = Piece>,
        open: Option<Open>,
    ) -> Response<Pieces> {
        let mut response = Response::new(Pieces::new(pieces, open));
        *response.status_mut() = status;
        if let Ok(name) = HeaderValue::from_str(self.state.name()) {
            response.headers_mut().insert("x-origin", name);
        }
        response
    }
}

/// Sends back whatever comes, until the other side ends.
pub(super) async fn echo((upgrade, _open): Tunnel) {
    if let Ok(upgraded) = upgrade.await {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        // However the tunnel ends, it has ended.
        let _ended = tokio::io::copy(&mut read, &mut write).await;
    }
}

/// Sleeps from when it is first asked.
async fn sleep_lazily(time: Duration) {
    sleep(time).await;
}

/// The number in `ms=`; default 100.
fn milliseconds(query: Option<&str>) -> Duration {
    let mut pairs = query.unwrap_or_default().split('&');
    let ms = pairs.find_map(|pair| pair.strip_prefix("ms=")?.parse().ok());
    Duration::from_millis(ms.unwrap_or(100))
}

/// The request as text.
async fn written(request: Request<Incoming>) -> io::Result<String> {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        writeln!(text, "{name}: {value}").map_err(io::Error::other)?;
    }
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    text.push('\n');
    text.push_str(&String::from_utf8_lossy(&body));
    Ok(text)
}
