//! The sources that need nothing but memory.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{future::Future, pin::pin, task::Poll};

use tightrope_discover::{Fixed, channel};
use tightrope_upstream::{EndpointSpec, Source};

fn list(ports: &[u16]) -> Vec<EndpointSpec> {
    let spec = |port| EndpointSpec::new(format!("127.0.0.1:{port}").parse().unwrap());
    ports.iter().copied().map(spec).collect()
}

/// What the source has to say now.
async fn now(source: &mut impl Source) -> Poll<Option<Vec<EndpointSpec>>> {
    let mut next = pin!(source.next());
    std::future::poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx)))
        .await
        .map(|answer| answer.map(Result::unwrap))
}

#[tokio::test]
async fn a_fixed_list_is_given_once() {
    let mut source = Fixed::new(list(&[1, 2]));
    drop(source.next()); // not polled: nothing lost
    assert_eq!(now(&mut source).await, Poll::Ready(Some(list(&[1, 2]))));
    assert_eq!(now(&mut source).await, Poll::Ready(None));
}

#[tokio::test]
async fn a_channel_waits_for_the_first_list() {
    let (sender, mut source) = channel();
    assert_eq!(now(&mut source).await, Poll::Pending);
    sender.send(Vec::new()).unwrap();
    assert_eq!(now(&mut source).await, Poll::Ready(Some(Vec::new())));
    assert_eq!(now(&mut source).await, Poll::Pending);
}

#[tokio::test]
async fn the_newest_list_wins_however_many_were_sent() {
    let (sender, mut source) = channel();
    for port in 1..=1_000 {
        sender.send(list(&[port])).unwrap();
    }
    assert_eq!(now(&mut source).await, Poll::Ready(Some(list(&[1_000]))));
    assert_eq!(now(&mut source).await, Poll::Pending);
}

#[tokio::test]
async fn the_last_list_is_given_after_its_senders_are_gone() {
    let (sender, mut source) = channel();
    let other = sender.clone();
    drop(sender);
    assert_eq!(now(&mut source).await, Poll::Pending);
    other.send(list(&[7])).unwrap();
    drop(other);
    assert_eq!(now(&mut source).await, Poll::Ready(Some(list(&[7]))));
    assert_eq!(now(&mut source).await, Poll::Ready(None));
}

#[tokio::test]
async fn a_sender_is_told_that_the_source_is_gone() {
    let (sender, source) = channel();
    drop(source);
    let error = sender.send(Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "nobody takes the lists any more");
}
