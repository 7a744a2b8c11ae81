//! Attempts and failures: small words that every crate must read alike.

use crate::members::{id, member};
use tightrope_upstream::{Attempt, Failure, Fault, Metadata, Patience};

#[test]
fn an_attempt_knows_its_number_and_where_the_ones_before_went() {
    let first = Attempt::first();
    assert_eq!(first, Attempt::default());
    assert_eq!(first.number(), 1);
    assert!(!first.has_tried(&id("a")));
    let third = first.next(id("a")).next(id("b"));
    assert_eq!(third.number(), 3);
    assert_eq!(third.tried(), [id("a"), id("b")]);
    assert!(third.has_tried(&id("b")));
    assert!(!third.has_tried(&id("c")));
}

#[test]
fn an_attempt_avoids_what_it_is_told_to_and_forgives() {
    let second = Attempt::first().next(id("a")).avoiding(id("b"));
    assert_eq!(second.number(), 2);
    assert_eq!(second.clone().avoiding(id("a")), second);
    let third = second.next_anywhere().forgiving(&id("a"));
    assert_eq!((third.number(), third.tried()), (3, [id("b")].as_slice()));
}

#[test]
fn who_follows_an_attempt_learns_where_it_went_first() {
    let (first, destination) = Attempt::first().followed();
    assert_eq!(destination.endpoint(), None);
    first.clone().goes_to(&id("a"));
    first.goes_to(&id("b"));
    assert_eq!(destination.endpoint(), Some(&id("a")));
    // The next attempt is another one.
    first.next(id("a")).goes_to(&id("c"));
    assert_eq!(destination.endpoint(), Some(&id("a")));
}

#[test]
fn what_an_attempt_was_made_of_comes_back_to_who_follows_it() {
    let (first, destination) = Attempt::first().followed();
    assert_eq!(destination.take_returned::<&str>(), None);
    first.clone().give_back(Box::new("the first"));
    first.give_back(Box::new("the last"));
    // The next attempt is another one, which nobody follows.
    first.next(id("a")).give_back(Box::new("another"));
    assert_eq!(destination.take_returned(), Some(Box::new("the last")));
    assert_eq!(destination.take_returned::<&str>(), None);
}

#[test]
fn patience_is_shared_by_clones_and_is_that_of_one_attempt() {
    let patience = Patience::new(None);
    let first = Attempt::first().with_patience(patience.clone());
    let seen = first.clone().avoiding(id("a")).patience().cloned();
    assert_eq!(seen.as_ref(), Some(&patience));
    assert_ne!(patience, Patience::new(None));
    patience.give_up();
    assert!(seen.is_some_and(|seen| seen.is_over()));
    assert_eq!(first.next_anywhere().patience(), None);
    let deadline = tokio::time::Instant::now();
    assert_eq!(Patience::new(Some(deadline)).deadline(), Some(deadline));
}

#[test]
fn every_failure_has_one_fault_and_only_those_before_the_first_byte_were_never_sent() {
    use Failure::*;
    let cases = [
        (Unavailable, Fault::Local, true),
        (Connect, Fault::Upstream, true),
        (ConnectTimeout, Fault::Upstream, true),
        (Refused, Fault::Local, true),
        (Stale, Fault::Local, false),
        (Reset, Fault::Upstream, false),
        (Protocol, Fault::Upstream, false),
        (HeadTimeout, Fault::Upstream, false),
        (BodyTimeout, Fault::Upstream, false),
        (Response, Fault::Upstream, false),
        (Downstream, Fault::Downstream, false),
        (DownstreamTimeout, Fault::Downstream, false),
        (Local, Fault::Local, false),
    ];
    for (failure, fault, never_sent) in cases {
        assert_eq!(failure.fault(), fault, "{failure}");
        assert_eq!(failure.never_sent(), never_sent, "{failure}");
    }
}

#[test]
fn labels_are_found_by_key_and_listed_in_order() {
    let labels = Metadata::from_iter([("zone", "b"), ("version", "2"), ("zone", "a")]);
    assert_eq!(labels.get("zone"), Some("a"));
    assert_eq!(labels.get("rack"), None);
    let listed: Vec<_> = labels.iter().collect();
    assert_eq!(listed, [("version", "2"), ("zone", "a")]);
    let spec = member("a").with_metadata(labels.clone());
    assert_eq!(spec.metadata, labels);
}
