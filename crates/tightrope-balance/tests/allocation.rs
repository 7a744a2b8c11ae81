//! A pick allocates nothing, and neither does the service around it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context as Task, Poll, Waker},
};

use allocation_counter::measure;
use tightrope_balance::{Balance, Context, Prequal};
use tightrope_upstream::{Attempt, Picked};
use tower::Service;

use crate::support::{Idle, STRATEGIES, tried, upstream};

/// Answers at once and allocates nothing.
#[derive(Clone)]
struct NoOp;

impl Service<Picked<u64>> for NoOp {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, picked: Picked<u64>) -> Self::Future {
        ready(Ok(*picked.request()))
    }
}

#[test]
fn a_pick_allocates_nothing() {
    for (what, make) in STRATEGIES {
        for weights in [vec![1; 100], vec![5, 1, 1], vec![1; 2]] {
            let mut balance = Balance::new(&upstream(&weights), make(), ());
            for attempt in [Attempt::first(), tried(&[0]), tried(&[0, 1, 2])] {
                let mut pick = |n: u8| {
                    let key = [n];
                    let context = Context::new()
                        .with_key(&key)
                        .with_client([10, 0, n, 1].into())
                        .with_attempt(&attempt);
                    drop(balance.pick(&context));
                };
                pick(0); // what the first pick of a thread sets up is not counted
                let counted = measure(|| (0..200).for_each(&mut pick));
                assert_eq!(counted.count_total, 0, "{what}");
            }
        }
    }
}

#[test]
fn a_call_allocates_nothing() {
    for (what, make) in STRATEGIES {
        let mut balance = Balance::new(&upstream(&[1; 100]), make(), NoOp);
        let mut call = |request: u64| {
            let mut task = Task::from_waker(Waker::noop());
            assert!(balance.poll_ready(&mut task).is_ready());
            let response = pin!(balance.call(request)).poll(&mut task);
            assert_eq!(response, Poll::Ready(Ok(request)));
        };
        call(0); // what the first pick of a thread sets up is not counted
        let counted = measure(|| (0..200).for_each(&mut call));
        assert_eq!(counted.count_total, 0, "{what}");
    }
}

#[test]
fn a_call_with_nobody_to_pick_allocates_nothing() {
    let mut balance = Balance::new(&upstream(&[0, 0]), (STRATEGIES[0].1)(), NoOp);
    let mut call = |request: u64| {
        let mut task = Task::from_waker(Waker::noop());
        assert!(pin!(balance.call(request)).poll(&mut task).is_ready());
    };
    call(0);
    assert_eq!(measure(|| (0..200).for_each(&mut call)).count_total, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pick_by_reports_allocates_nothing() {
    let (strategy, prober) = Prequal::new(Idle);
    let mut balance = Balance::new(&upstream(&[1; 8]), strategy, ());
    let prober = tokio::spawn(prober);
    let mut pick = || drop(balance.pick(&Context::new()));
    // Reports are there, and the prober sleeps and is woken.
    for _ in 0..10 {
        pick();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(measure(&mut pick).count_total, 0);
    }
    assert_eq!(measure(|| (0..200).for_each(|_| pick())).count_total, 0);
    assert!(!prober.is_finished());
}
