//! Ten thousand requests that fail in every way leave nothing in flight.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    error::Error,
    fmt,
    panic::{self, AssertUnwindSafe},
    task::{Context as Task, Poll},
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use tightrope_balance::{Balance, BalanceError, Context, Random};
use tightrope_upstream::{Attempt, Change, EndpointId, Failure, Outcome, Picked};
use tower::{Service, ServiceExt};

use crate::support::{STRATEGIES, id, in_flight, upstream};

const REQUESTS: u64 = 1_000;
const AT_ONCE: usize = 50;

#[derive(Debug)]
struct Request {
    key: [u8; 8],
    fate: u64,
    attempt: Attempt,
}

#[derive(Debug)]
struct Refused(EndpointId);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refused", self.0)
    }
}

impl Error for Refused {}

/// Answers, fails, panics or hangs, as the fate of the request says.
#[derive(Clone)]
struct Unreliable;

impl Service<Picked<Request>> for Unreliable {
    type Response = ();
    type Error = Refused;
    type Future = BoxFuture<'static, Result<(), Refused>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, picked: Picked<Request>) -> Self::Future {
        let (request, mut pick) = picked.into_parts();
        let fate = request.fate >> (8 * (request.attempt.number() - 1));
        assert!(fate % 16 != 0, "in call");
        async move {
            tokio::time::sleep(Duration::from_millis(fate % 7)).await;
            match fate % 16 {
                1 | 2 => panic!("in future"),
                3..=8 => {
                    pick.set_outcome(Outcome::Failure(Failure::Connect));
                    Err(Refused(pick.endpoint().id().clone()))
                }
                9 => std::future::pending().await,
                _ => {
                    pick.set_outcome(Outcome::Success);
                    Ok(())
                }
            }
        }
        .boxed()
    }
}

/// Tries up to three endpoints; gives the number of tries.
async fn request<C>(mut balance: Balance<Unreliable, C>, key: u64, fate: u64) -> u64
where
    Balance<Unreliable, C>: Service<Request, Response = (), Error = BalanceError<Refused>>,
{
    let mut attempt = Attempt::first();
    for tries in 1..=3 {
        let again = Request {
            key: key.to_be_bytes(),
            fate,
            attempt: attempt.clone(),
        };
        match balance.ready().await.unwrap().call(again).await {
            Err(BalanceError::Inner(Refused(endpoint))) => {
                assert!(!attempt.has_tried(&endpoint), "{endpoint} was tried before");
                attempt = attempt.next(endpoint);
            }
            _ => return tries,
        }
    }
    3
}

#[tokio::test(start_paused = true)]
async fn requests_that_fail_in_every_way_leave_nothing_in_flight() {
    let usual = panic::take_hook();
    // The panics here are meant: do not print thousands of them.
    panic::set_hook(Box::new(move |info| match info.payload_as_str() {
        Some("in call" | "in future") => {}
        _ => usual(info),
    }));
    for (what, make) in STRATEGIES {
        let upstream = upstream(&[1, 2, 3, 1, 1]);
        let balance = Balance::new(&upstream, make(), Unreliable)
            .with_seed(42)
            .with_context(|r: &Request| Context::new().with_key(&r.key).with_attempt(&r.attempt));
        let mut random = Random::from_seed(42);
        let mut running = FuturesUnordered::new();
        let mut ends = BTreeMap::new();
        for key in 0..REQUESTS {
            let (fate, patience) = (random.next_u64(), random.below(15));
            let one = AssertUnwindSafe(request(balance.clone(), key, fate)).catch_unwind();
            let patience = Box::pin(tokio::time::sleep(Duration::from_millis(patience)));
            running.push(async move {
                match select(Box::pin(one), patience).await {
                    Either::Left((Ok(_), _)) => "ended",
                    Either::Left((Err(_), _)) => "panicked",
                    Either::Right(_) => "aborted",
                }
            });
            if running.len() == AT_ONCE {
                *ends.entry(running.next().await.unwrap()).or_insert(0) += 1;
            }
            match key % 100 {
                0 => drop(upstream.apply(Change::new().drain(id(1), "test")).unwrap()),
                50 => drop(
                    upstream
                        .apply(Change::new().undrain(id(1), "test"))
                        .unwrap(),
                ),
                _ => {}
            }
        }
        while let Some(end) = running.next().await {
            *ends.entry(end).or_insert(0) += 1;
        }
        assert_eq!(in_flight(&upstream), 0, "{what}");
        // Each way to end did happen, and each attempt was counted once.
        assert_eq!(ends.values().sum::<u64>(), REQUESTS);
        assert!(
            ends.len() == 3 && ends.values().all(|&n| n > REQUESTS / 20),
            "{ends:?}"
        );
        let snapshot = upstream.snapshot();
        let totals = snapshot.members().iter().map(|m| m.record().totals());
        let counted: u64 = totals.map(|t| t.succeeded + t.failed + t.cancelled).sum();
        assert!((REQUESTS..=3 * REQUESTS).contains(&counted), "{counted}");
    }
}
