//! One line a request, written by a task of its own so that no request waits for the disk.

use std::{
    fmt::{self, Write},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::SystemTime,
};

use bytes::Buf;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, Uri, Version,
    header::{HOST, REFERER, USER_AGENT},
};
use http_body::{Body, Frame, SizeHint};
use humantime_serde::re::humantime;
use pin_project_lite::pin_project;
use tightrope::{forwarded::Client, upstream::Endpoint};
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
    log: mpsc::Sender<String>,
    begun: Instant,
    at: SystemTime,
    peer: SocketAddr,
    client: LoggedClient,
    method: Method,
    target: Uri,
    version: Version,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    host: Option<HeaderValue>,
    status: u16,
    bytes: u64,
    endpoint: Option<Arc<Endpoint>>,
}

/// The client of a request, told by whoever resolved it, for the log. In the extensions of the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoggedClient {
    address: Arc<OnceLock<IpAddr>>,
}

/// A value as nginx writes it: what could end it, or is no printable ASCII, as `\x..`.
struct Escaped<'a>(Option<&'a [u8]>);

pin_project! {
    /// A response body that writes its line when it ends, or is dropped.
    pub(crate) struct LoggedBody<B> {
        #[pin]
        body: B,
        // In a box: a response is moved often.
        line: Option<Box<Line>>,
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

    /// A request has come. None where nothing is written.
    pub(crate) fn enter<B>(&self, peer: SocketAddr, request: &mut Request<B>) -> Option<Box<Line>> {
        let log = self.lines.clone()?;
        let client = LoggedClient::default();
        request.extensions_mut().insert(client.clone());
        let field = |name: HeaderName| request.headers().get(name).cloned();
        Some(Box::new(Line {
            log,
            begun: Instant::now(),
            at: SystemTime::now(),
            peer,
            client,
            referer: field(REFERER),
            user_agent: field(USER_AGENT),
            host: field(HOST),
            method: request.method().clone(),
            target: request.uri().clone(),
            version: request.version(),
            status: CLIENT_LEFT,
            bytes: 0,
            endpoint: None,
        }))
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
        mut line: Option<Box<Line>>,
    ) -> Response<Self> {
        if let Some(line) = &mut line {
            line.status = response.status().as_u16();
            line.endpoint = endpoint;
        }
        response.map(|body| Self { body, line })
    }
}

impl<B: Body> Body for LoggedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(context));
        if let (Some(Ok(frame)), Some(line)) = (&frame, this.line) {
            line.bytes += frame.data_ref().map_or(0, |data| data.remaining() as u64);
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
        // Full: somebody reads the log too slowly, which must not hold up requests.
        let _dropped = self.log.try_send(self.to_string());
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.client.address.get().copied();
        let endpoint = self.endpoint.as_ref();
        let authority = self.target.authority().map(|host| host.as_str().as_bytes());
        // HTTP/2 sends the host beside the path, and HTTP/1.1 within the target only if a client wants it so.
        let target = match self.target.path_and_query() {
            Some(path) if self.version >= Version::HTTP_2 => path.to_string(),
            _ => self.target.to_string(),
        };
        let host = authority.or(self.host.as_ref().map(HeaderValue::as_bytes));
        writeln!(
            f,
            r#"{} - - [{}] "{} {} {:?}" {} {} "{}" "{}" {:.6} {} {}"#,
            client.unwrap_or_else(|| self.peer.ip().to_canonical()),
            Time(self.at),
            self.method,
            Escaped(Some(target.as_bytes())),
            self.version,
            self.status,
            self.bytes,
            Escaped(self.referer.as_ref().map(HeaderValue::as_bytes)),
            Escaped(self.user_agent.as_ref().map(HeaderValue::as_bytes)),
            self.begun.elapsed().as_secs_f64(),
            Escaped(host),
            endpoint.map_or("-", |endpoint| endpoint.id().as_str()),
        )
    }
}

// === impl LoggedClient ===

impl LoggedClient {
    /// Tells the log who the client of `request` is, which was resolved.
    pub(crate) fn tell<B>(request: &Request<B>) {
        let extensions = request.extensions();
        if let Some(logged) = extensions.get::<Self>()
            && let Some(client) = extensions.get::<Client>().and_then(Client::address)
        {
            // Set once: a request is resolved once.
            let _same = logged.address.set(client);
        }
    }
}

// === impl Escaped ===

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.0.filter(|bytes| !bytes.is_empty()) else {
            return f.write_char('-');
        };
        for byte in bytes {
            match byte {
                b'"' | b'\\' | ..=0x1f | 0x7f.. => write!(f, "\\x{byte:02X}")?,
                _ => f.write_char(char::from(*byte))?,
            }
        }
        Ok(())
    }
}

/// A time in UTC, as in the logs of Apache and nginx: `22/Nov/2026:08:15:00 +0000`.
struct Time(SystemTime);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        // 2026-11-22T08:15:00Z
        let text = humantime::format_rfc3339_seconds(self.0).to_string();
        let (year, day, clock) = (text.get(..4), text.get(8..10), text.get(11..19));
        let month = text.get(5..7).and_then(|month| month.parse().ok());
        let month = month.and_then(|month: usize| MONTHS.get(month.checked_sub(1)?));
        match (day, month, year, clock) {
            (Some(day), Some(month), Some(year), Some(clock)) => {
                write!(f, "{day}/{month}/{year}:{clock} +0000")
            }
            _ => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_and_values_are_written_as_nginx_does() {
        let at = |seconds| Time(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
        assert_eq!(at(0), "01/Jan/1970:00:00:00 +0000");
        assert_eq!(at(1_795_335_729), "22/Nov/2026:08:22:09 +0000");
        let text = |bytes: &[u8]| Escaped(Some(bytes)).to_string();
        assert_eq!(text(b"a b"), "a b");
        assert_eq!(text(b"\"\\\n\xff"), r"\x22\x5C\x0A\xFF");
        assert_eq!(text(b""), "-");
        assert_eq!(Escaped(None).to_string(), "-");
    }
}
