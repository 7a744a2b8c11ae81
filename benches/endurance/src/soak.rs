//! Mixed traffic, of which much goes wrong.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{ADMIN, ORIGINS, PROXY, idle, origin, program::Program};

/// How many of each were done, and how many of those did not go as they should.
#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    failed: AtomicU64,
}

/// What the administration says.
#[derive(Deserialize)]
struct State {
    tasks: u64,
    upstreams: Vec<Upstream>,
}

#[derive(Deserialize)]
struct Upstream {
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    in_flight: u64,
}

/// What a client does again and again.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Small,
    Large,
    Upload,
    Http2,
    WebSocket,
    LeaveInHead,
    /// Leaves within the body of a request.
    LeaveAsking,
    /// Leaves within the body of a response.
    LeaveReading,
    /// Asks for what ends the endpoint's connection.
    Reset,
}

const HABITS: [(Habit, usize); 9] = [
    (Habit::Small, 8),
    (Habit::Large, 3),
    (Habit::Upload, 3),
    (Habit::Http2, 2),
    (Habit::WebSocket, 2),
    (Habit::LeaveInHead, 1),
    (Habit::LeaveAsking, 2),
    (Habit::LeaveReading, 2),
    (Habit::Reset, 1),
];

const SAMPLE: Duration = Duration::from_secs(10);
const RELOAD: Duration = Duration::from_secs(3);
/// How long the second endpoint is there, and is not.
const STOP: Duration = Duration::from_secs(5);
/// Between what one client does.
const PAUSE: Duration = Duration::from_millis(5);
/// After the last request, until all must be given back: an idle connection to an endpoint, and the
/// task that closes it, stay for a minute.
const SETTLE: Duration = Duration::from_secs(75);

/// Runs for `span`, prints samples, and fails where requests or tasks are left over.
pub(crate) async fn run(program: &Program, span: Duration) -> io::Result<()> {
    let [steady, unsteady] = ORIGINS;
    let _steady = origin::start(steady);
    let counts = Arc::new(Counts::default());
    let before = State::ask().await?;
    let start = Instant::now();
    let mut load = JoinSet::new();
    load.spawn(async move {
        loop {
            let here = origin::start(unsteady);
            sleep(STOP).await;
            drop(here);
            sleep(STOP).await;
        }
    });
    for (habit, count) in HABITS {
        for _ in 0..count {
            let counts = Arc::clone(&counts);
            load.spawn(async move {
                loop {
                    let done = timeout(Duration::from_secs(30), habit.once()).await;
                    counts.done.fetch_add(1, Ordering::Relaxed);
                    let error = match done {
                        Ok(Ok(())) => None,
                        Ok(Err(error)) => Some(error.to_string()),
                        Err(late) => Some(late.to_string()),
                    };
                    if let Some(error) = error {
                        counts.failed.fetch_add(1, Ordering::Relaxed);
                        eprintln!("{:7}  {habit:?}: {error}", start.elapsed().as_secs());
                    }
                    sleep(PAUSE).await;
                }
            });
        }
    }
    eprintln!("seconds  resident KiB  files  tasks  in flight      done  failed");
    let (mut next_sample, mut next_reload) = (start + SAMPLE, start + RELOAD);
    while start.elapsed() < span {
        tokio::time::sleep_until(next_sample.min(next_reload)).await;
        let now = Instant::now();
        if now >= next_reload {
            program.reload()?;
            next_reload += RELOAD;
        }
        if now >= next_sample {
            print(program, &counts, start).await?;
            next_sample += SAMPLE;
        }
    }
    load.shutdown().await;
    let end = Instant::now() + SETTLE;
    loop {
        sleep(SAMPLE.min(end - Instant::now())).await;
        let state = print(program, &counts, start).await?;
        let (tasks, in_flight) = (state.tasks, state.in_flight());
        if in_flight == 0 && tasks <= before.tasks {
            return Ok(());
        }
        if Instant::now() >= end {
            let more = tasks.saturating_sub(before.tasks);
            return Err(io::Error::other(format!(
                "{in_flight} requests are in flight for ever, and {more} tasks never end"
            )));
        }
    }
}

/// A sample.
async fn print(program: &Program, counts: &Counts, start: Instant) -> io::Result<State> {
    let state = State::ask().await?;
    let (tasks, in_flight) = (state.tasks, state.in_flight());
    let (resident, files) = (program.resident()?, program.files()?);
    let [done, failed] = [&counts.done, &counts.failed].map(|n| n.load(Ordering::Relaxed));
    let seconds = start.elapsed().as_secs();
    eprintln!(
        "{seconds:7}  {resident:12}  {files:5}  {tasks:5}  {in_flight:9}  {done:8}  {failed:6}"
    );
    Ok(state)
}

// === impl State ===

impl State {
    async fn ask() -> io::Result<Self> {
        let mut stream = TcpStream::connect(ADMIN).await?;
        let request = b"GET /state HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or(io::ErrorKind::InvalidData)?;
        Ok(serde_json::from_str(body)?)
    }

    /// Of all endpoints.
    fn in_flight(&self) -> u64 {
        let endpoints = self.upstreams.iter().flat_map(|one| &one.endpoints);
        endpoints.map(|endpoint| endpoint.in_flight).sum()
    }
}

// === impl Habit ===

impl Habit {
    async fn once(self) -> io::Result<()> {
        if matches!(self, Self::Http2) {
            return http2().await;
        }
        let mut stream = TcpStream::connect(PROXY).await?;
        match self {
            Self::Small => {
                for _ in 0..50 {
                    idle::ask(&mut stream).await?;
                }
                Ok(())
            }
            Self::Large => take(&mut stream, "GET /body/1048576", b"", 1_048_576).await,
            Self::Upload => take(&mut stream, "POST /upload", &[b'x'; 256 * 1024], 12).await,
            Self::WebSocket => websocket(&mut stream).await,
            Self::LeaveInHead => {
                let part = b"POST /upload HTTP/1.1\r\nhost: a.test\r\n";
                stream.write_all(part).await
            }
            Self::LeaveAsking => {
                let part = b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 9999\r\n\r\nabc";
                stream.write_all(part).await?;
                sleep(PAUSE).await;
                Ok(())
            }
            Self::LeaveReading => {
                stream
                    .write_all(b"GET /body/4194304 HTTP/1.1\r\nhost: a.test\r\n\r\n")
                    .await?;
                stream.read_exact(&mut [0; 10_000]).await?;
                Ok(())
            }
            Self::Reset | Self::Http2 => {
                stream
                    .write_all(b"GET /reset HTTP/1.1\r\nhost: a.test\r\n\r\n")
                    .await?;
                let mut status = [0; 12];
                stream.read_exact(&mut status).await?;
                match &status {
                    b"HTTP/1.1 502" => Ok(()),
                    _ => Err(io::ErrorKind::InvalidData.into()),
                }
            }
        }
    }
}

/// Sends a request and reads an answer with `bytes` of body, after which the server closes.
async fn take(stream: &mut TcpStream, line: &str, body: &[u8], bytes: usize) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
    match head {
        Some(head) if answer.len() == head + 4 + bytes && answer.starts_with(b"HTTP/1.1 200") => {
            Ok(())
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn websocket(stream: &mut TcpStream) -> io::Result<()> {
    let request =
        "GET /ws HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    for _ in 0..10 {
        stream.write_all(b"ping").await?;
        stream.read_exact(&mut [0; 4]).await?;
    }
    Ok(())
}

/// Some requests on one connection: small ones, large ones, uploads, and some that are given up.
async fn http2() -> io::Result<()> {
    let stream = TokioIo::new(TcpStream::connect(PROXY).await?);
    let shake = http2::Builder::new(TokioExecutor::new()).handshake(stream);
    let (mut send, connection) = shake.await.map_err(io::Error::other)?;
    let mut tasks = JoinSet::new();
    let connection = tokio::spawn(connection);
    for number in 0..20 {
        let (path, body) = match number % 4 {
            0 => ("upload", vec![b'x'; 100_000]),
            1 => ("body/200000", Vec::new()),
            _ => ("small", Vec::new()),
        };
        let request =
            Request::post(format!("http://a.test/{path}")).body(Full::<Bytes>::from(body));
        let response = send.send_request(request.map_err(io::Error::other)?);
        tasks.spawn(async move {
            let mut body = response.await.map_err(io::Error::other)?.into_body();
            while let Some(frame) = body.frame().await {
                frame.map_err(io::Error::other)?;
                if number == 1 {
                    break;
                }
            }
            Ok::<(), io::Error>(())
        });
    }
    drop(send);
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    connection.abort();
    Ok(())
}
