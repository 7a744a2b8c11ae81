//! Lists on their way into an upstream.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::VecDeque, error::Error, future::pending};

use tightrope_discover::{Fixed, OnEmpty, Refresh, RefreshError, Refreshing, Sender, channel};
use tightrope_upstream::{
    Admin, Change, EndpointId, EndpointSpec, Group, Health, NextList, Source, SourceError,
    Upstream, Weight,
};
use tokio::time::Instant;

fn spec(port: u16) -> EndpointSpec {
    EndpointSpec::new(format!("127.0.0.1:{port}").parse().unwrap())
}

fn blue() -> Group {
    Group::new("blue").unwrap()
}

fn ports(upstream: &Upstream) -> Vec<String> {
    let snapshot = upstream.snapshot();
    let members = snapshot.members().iter();
    members
        .map(|member| member.id().as_str().rsplit(':').next().unwrap().to_owned())
        .collect()
}

fn fed(on_empty: OnEmpty) -> (Upstream, Sender, Refreshing) {
    let upstream = Upstream::new("api");
    let (sender, source) = channel();
    let refresh = Refresh::new(&upstream, source).with_on_empty(on_empty);
    (upstream, sender, refresh.spawn())
}

/// Gives these answers, then none.
struct Scripted(VecDeque<Result<Vec<EndpointSpec>, SourceError>>);

impl Source for Scripted {
    fn next(&mut self) -> NextList<'_> {
        Box::pin(async {
            match self.0.pop_front() {
                Some(answer) => Some(answer),
                None => pending().await,
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn each_list_becomes_the_members() {
    let (upstream, sender, refresh) = fed(OnEmpty::Keep);
    sender.send(vec![spec(1), spec(2)]).unwrap();
    let state = refresh.wait_for(|state| state.applied == 1).await;
    assert_eq!(ports(&upstream), ["1", "2"]);
    assert_eq!(state.generation, Some(upstream.snapshot().generation()));

    sender.send(vec![spec(2), spec(3)]).unwrap();
    refresh.wait_for(|state| state.applied == 2).await;
    assert_eq!(ports(&upstream), ["2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn members_that_stay_keep_their_state_and_get_the_settings_of_the_list() {
    let (upstream, sender, refresh) = fed(OnEmpty::Keep);
    sender.send(vec![spec(1), spec(2)]).unwrap();
    refresh.wait_for(|state| state.applied == 1).await;
    let id = EndpointId::new("127.0.0.1:1").unwrap();
    let change = Change::new()
        .drain(id.clone(), "by hand")
        .set_health(id.clone(), Health::Unhealthy, "refused")
        .set_weight(id.clone(), Weight::from(9));
    upstream.apply(change).unwrap();
    let record = upstream.snapshot().members()[0].record().serial();

    sender
        .send(vec![spec(1).with_weight(Weight::from(3)), spec(2)])
        .unwrap();
    refresh.wait_for(|state| state.applied == 2).await;
    let snapshot = upstream.snapshot();
    let endpoint = snapshot.get(&id).unwrap().0;
    assert_eq!(endpoint.record().serial(), record);
    assert_eq!(endpoint.weight(), Weight::from(3));
    assert_eq!(endpoint.record().status().admin.value(), Admin::Draining);
    assert_eq!(endpoint.record().status().health.value(), Health::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_keeps_the_last_good_one() {
    let (upstream, sender, refresh) = fed(OnEmpty::default());
    sender.send(vec![spec(1)]).unwrap();
    refresh.wait_for(|state| state.applied == 1).await;
    sender.send(Vec::new()).unwrap();
    let state = refresh.wait_for(|state| state.refused == 1).await;
    assert!(matches!(*state.last_error.unwrap(), RefreshError::Empty));
    assert_eq!(ports(&upstream), ["1"]);

    sender.send(vec![spec(1)]).unwrap();
    let state = refresh.wait_for(|state| state.applied == 2).await;
    assert!(state.last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_list_without_the_active_group_keeps_the_last_good_one() {
    let (upstream, sender, refresh) = fed(OnEmpty::Keep);
    sender
        .send(vec![spec(1).with_group(blue()), spec(2)])
        .unwrap();
    refresh.wait_for(|state| state.applied == 1).await;
    upstream.apply(Change::new().activate(blue())).unwrap();
    sender.send(vec![spec(2), spec(3)]).unwrap();
    let state = refresh.wait_for(|state| state.refused == 1).await;
    assert_eq!(
        state.last_error.unwrap().to_string(),
        "the list has no endpoint in group `blue`, which has the traffic",
    );
    assert_eq!(ports(&upstream), ["1", "2"]);
    assert_eq!(upstream.snapshot().active_group(), Some(&blue()));
}

#[tokio::test(start_paused = true)]
async fn empty_lists_are_applied_where_that_is_wanted() {
    let (upstream, sender, refresh) = fed(OnEmpty::Apply);
    sender.send(vec![spec(1).with_group(blue())]).unwrap();
    refresh.wait_for(|state| state.applied == 1).await;
    upstream.apply(Change::new().activate(blue())).unwrap();
    sender.send(vec![spec(2)]).unwrap();
    refresh.wait_for(|state| state.applied == 2).await;
    assert_eq!(ports(&upstream), ["2"]);
    sender.send(Vec::new()).unwrap();
    refresh.wait_for(|state| state.applied == 3).await;
    assert!(ports(&upstream).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_with_an_id_twice_is_refused_whole() {
    let (upstream, sender, refresh) = fed(OnEmpty::Keep);
    sender.send(vec![spec(1)]).unwrap();
    refresh.wait_for(|state| state.applied == 1).await;
    sender.send(vec![spec(2), spec(3), spec(2)]).unwrap();
    let state = refresh.wait_for(|state| state.refused == 1).await;
    let error = state.last_error.unwrap();
    assert_eq!(
        error.source().unwrap().to_string(),
        "endpoint `127.0.0.1:2` is there already"
    );
    assert_eq!(ports(&upstream), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_source_keep_the_last_good_list_and_are_paced() {
    let (upstream, begun) = (Upstream::new("api"), Instant::now());
    let answers = [
        Ok(vec![spec(1)]),
        Err(SourceError::from("no route")),
        Err(SourceError::from("still none")),
        Ok(vec![spec(2)]),
    ];
    let refresh = Refresh::new(&upstream, Scripted(answers.into())).spawn();
    let state = refresh.wait_for(|state| state.failed == 2).await;
    assert_eq!(ports(&upstream), ["1"]);
    assert_eq!(
        state.last_error.unwrap().source().unwrap().to_string(),
        "still none"
    );
    let state = refresh.wait_for(|state| state.applied == 2).await;
    assert!(state.last_error.is_none());
    assert_eq!((state.failed, state.refused), (2, 0));
    assert_eq!(ports(&upstream), ["2"]);
    assert_eq!(begun.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_owner_ends_the_refreshing_and_keeps_the_members() {
    let (upstream, sender, refresh) = fed(OnEmpty::Keep);
    sender.send(vec![spec(1)]).unwrap();
    refresh.wait_for(|state| state.applied == 1).await;
    drop(refresh);
    while sender.send(vec![spec(2)]).is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(ports(&upstream), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_source_is_seen_and_keeps_the_members() {
    let upstream = Upstream::new("api");
    let refresh = Refresh::new(&upstream, Fixed::new([spec(1)])).spawn();
    assert!(!refresh.is_ended());
    // It never will be two: the wait ends with the source.
    let state = refresh.wait_for(|state| state.applied == 2).await;
    assert_eq!(state.applied, 1);
    assert!(refresh.is_ended());
    assert_eq!(ports(&upstream), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_ends_the_refreshing_alone() {
    struct Broken;
    impl Source for Broken {
        fn next(&mut self) -> NextList<'_> {
            Box::pin(async { panic!("on purpose") })
        }
    }
    let upstream = Upstream::new("api");
    let refresh = Refresh::new(&upstream, Broken).spawn();
    refresh.wait_for(|_| false).await;
    assert!(refresh.is_ended());
}
