//! How many retries there are.

use std::{thread, time::Duration};

use http::Request;
use tightrope_retry::{Budget, BudgetError, RetryLayer};
use tokio::time::advance;

use crate::world::{World, answer};

fn taken(budget: &Budget) -> u64 {
    (0..).take_while(|_| budget.withdraw()).count() as u64
}

#[tokio::test(start_paused = true)]
async fn thirty_percent_are_three_in_ten() {
    let budget = Budget::new(30).unwrap().with_reserve(0).unwrap();
    let mut taken = Vec::new();
    for _ in 0..20 {
        budget.deposit();
        taken.push(u8::from(budget.withdraw()));
    }
    assert_eq!(
        taken,
        [0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_paid_in_is_good_for_ten_seconds() {
    let budget = Budget::new(100).unwrap().with_reserve(0).unwrap();
    for _ in 0..10 {
        budget.deposit();
        advance(Duration::from_secs(1)).await;
    }
    // The first is over.
    assert_eq!(budget.available(), 9);
    assert!(budget.withdraw());
    advance(Duration::from_secs(1)).await;
    // It was the oldest that was taken.
    assert_eq!(budget.available(), 8);
    advance(Duration::from_secs(7)).await;
    assert_eq!(taken(&budget), 1);
    advance(Duration::from_secs(99)).await;
    assert!(!budget.withdraw());
}

#[tokio::test(start_paused = true)]
async fn there_are_some_for_each_second() {
    let budget = Budget::new(0).unwrap().with_reserve(3).unwrap();
    assert_eq!((budget.available(), taken(&budget)), (30, 30));
    advance(Duration::from_secs(2)).await;
    budget.deposit();
    assert_eq!(taken(&budget), 6);
    advance(Duration::from_secs(999)).await;
    assert_eq!(taken(&budget), 30);
}

#[test]
fn what_makes_no_sense_is_refused() {
    assert_eq!(Budget::new(101).unwrap_err(), BudgetError::Percent(101));
    let error = Budget::default().with_reserve(1_000_001).unwrap_err();
    assert_eq!(
        error.to_string(),
        "reserve is 1000001, not from 0 to 1000000"
    );
    let largest = Budget::new(100).unwrap().with_reserve(1_000_000).unwrap();
    assert_eq!(largest.available(), 10_000_000);
    assert_eq!(Budget::default().available(), 100);
}

#[test]
fn no_two_threads_take_the_same_retry() {
    let budget = Budget::new(50).unwrap().with_reserve(1).unwrap();
    // Taken are at most those that were paid in, and those of the seconds that this takes.
    let begin = std::time::SystemTime::now();
    let taken: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..10_000)
                        .filter(|_| {
                            budget.deposit();
                            budget.withdraw()
                        })
                        .count() as u64
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    let seconds = begin.elapsed().unwrap().as_secs() + 11;
    let all = 40_000 / 2 + seconds;
    assert!(taken + budget.available() <= all, "{taken} of {all}");
    assert!(taken + 4 >= 40_000 / 2, "{taken}");
}

#[tokio::test(start_paused = true)]
async fn under_full_failure_retries_add_no_more_than_the_budget() {
    let world = World::new([answer(503)]);
    let layer = RetryLayer::new();
    let requests = 10_000;
    for _ in 0..requests {
        let sent = world.send(layer.clone(), Request::new(String::new())).await;
        assert_eq!(sent, Ok(503));
        advance(Duration::from_millis(10)).await;
    }
    // 100 s: 20 percent, 10 a second, and those of the ten seconds before.
    let added = world.seen().len() - requests;
    assert!(added <= requests / 5 + 10 * 110, "{added}");
    assert!(added >= requests / 5 + 10 * 100, "{added}");
}

#[tokio::test(start_paused = true)]
async fn layers_that_are_given_the_same_budget_share_it() {
    let budget = Budget::new(0).unwrap().with_reserve(1).unwrap();
    let (first, second) = (World::new([answer(503)]), World::new([answer(503)]));
    for world in [&first, &second, &first, &second] {
        let layer = RetryLayer::new().with_budget(budget.clone());
        let sent = world.send(layer, Request::new(String::new())).await;
        assert_eq!(sent, Ok(503));
    }
    let made = first.seen().len() + second.seen().len();
    assert_eq!(made, 4 + 8);
    assert_eq!(budget.available(), 2);
}
