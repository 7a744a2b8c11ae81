//! Whatever goes wrong, nothing stays in flight.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tightrope::{
    proxy::{Forward, ForwardConfig},
    retry::Replay,
    upstream::{Change, Picked},
};
use tightrope_test::{Answer, Client};
use tokio::{task::JoinSet, time::timeout};
use tower::Service;

use super::world::{PATIENCE, World, front, soon};

/// Panics where the path says so, and is the inner service elsewhere.
#[derive(Clone)]
struct Panicking<S> {
    inner: S,
    panics: Arc<AtomicUsize>,
}

impl<S> Service<Picked<Request<Replay<Incoming>>>> for Panicking<S>
where
    S: Service<Picked<Request<Replay<Incoming>>>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, picked: Picked<Request<Replay<Incoming>>>) -> Self::Future {
        let when = picked
            .request()
            .uri()
            .query()
            .unwrap_or_default()
            .to_owned();
        let panics = Arc::clone(&self.panics);
        let boom = move || {
            panics.fetch_add(1, Ordering::Relaxed);
            // Unwinds as a panic does, without a message for each.
            std::panic::resume_unwind(Box::new("as told"));
        };
        if when == "panic=call" {
            boom();
        }
        if when == "panic=first" {
            return Box::pin(async move {
                let _held = picked;
                boom();
                unreachable!()
            });
        }
        let answer = self.inner.call(picked);
        Box::pin(async move {
            let answer = answer.await;
            if when == "panic=last" {
                boom();
            }
            answer
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_that_go_wrong_leave_nothing_in_flight() {
    const REQUESTS: usize = 10_000;
    let world = World::shared().await;
    let panics = Arc::new(AtomicUsize::new(0));
    let config = ForwardConfig::new().with_head_timeout(Duration::from_millis(100));
    let inner = Panicking {
        inner: Forward::new(config),
        panics: Arc::clone(&panics),
    };
    let front = front(&world.upstream, inner).await;
    let records: Vec<_> = world.upstream.snapshot().members().to_vec();

    let mut clients = JoinSet::new();
    for seed in 0..32 {
        let address = front.address();
        clients.spawn(async move {
            let mut chance = StdRng::seed_from_u64(seed);
            let mut ends = [0; 3];
            for _ in 0..REQUESTS.div_ceil(32) {
                ends[misbehave(address, &mut chance).await as usize] += 1;
            }
            ends
        });
    }
    let mut ends = [0; 3];
    // Each request is waited for with patience; together they take as long as the machine needs.
    while let Some(client) = clients.join_next().await {
        for (sum, count) in ends.iter_mut().zip(client.unwrap()) {
            *sum += count;
        }
    }
    // Everything happened: whole answers, broken ones, clients that left.
    assert!(ends.iter().all(|&count| count > REQUESTS / 20), "{ends:?}");
    assert!(panics.load(Ordering::Relaxed) > REQUESTS / 20);

    let update = world.upstream.apply(Change::new().replace([])).unwrap();
    let report = update.drained(PATIENCE).await;
    assert!(report.remaining.is_empty(), "{report:?}");
    for endpoint in records {
        assert_eq!(endpoint.record().in_flight(), 0, "{}", endpoint.id());
    }
}

#[derive(Clone, Copy)]
enum End {
    Whole,
    Broken,
    Left,
}

/// One request, and how it ended.
async fn misbehave(address: std::net::SocketAddr, chance: &mut StdRng) -> End {
    let paths = [
        "/",
        "/status/503",
        "/long?ms=4",
        "/slow?ms=3",
        "/reset",
        "/cut",
        "/ws",
        "/echo",
        "/?panic=call",
        "/?panic=first",
        "/?panic=last",
        "/stream",
    ];
    let path = match chance.random_range(0..200) {
        // Seldom, because it takes until the timeout.
        0 => "/gate",
        _ => paths[chance.random_range(0..paths.len())],
    };
    let leaves = chance.random_range(0..3) == 0 || path == "/stream";
    let patience = Duration::from_micros(chance.random_range(0..4000));
    let size = chance.random_range(0..100_000);
    let request = async {
        let mut client = Client::connect(address).await?;
        if path == "/ws" {
            let (_, tunnel) = client.websocket(path).await?;
            drop(tunnel);
            return Ok(End::Whole);
        }
        let mut request = Request::get(path);
        let mut content = Bytes::new();
        if path == "/echo" {
            request = Request::post(path);
            content = vec![b'x'; size].into();
        }
        let mut response = client.send(request.body(Full::new(content))?).await?;
        if leaves {
            // Takes a piece and goes.
            let _piece = response.body_mut().frame().await;
            return Ok(End::Left);
        }
        Answer::read(response).await.map(|_| End::Whole)
    };
    let ended: Result<End, tightrope_test::BoxError> = if leaves {
        match timeout(patience, request).await {
            Ok(ended) => ended,
            Err(_elapsed) => Ok(End::Left),
        }
    } else {
        soon(request).await
    };
    ended.unwrap_or(End::Broken)
}
