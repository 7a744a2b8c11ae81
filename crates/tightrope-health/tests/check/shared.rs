//! One probe for several upstreams.

use std::time::Duration;

use tightrope_health::{ProbeError, probe, probe::Shared};
use tightrope_upstream::{Change, Endpoint, Health, Upstream};
use tokio::time::Instant;

use super::scripted::{
    Answer, SECOND, Seen, check_by, id, name, scripted, spec, upstream, verdict,
};

const PLENTY: Duration = Duration::from_secs(3600);

fn member(upstream: &Upstream) -> std::sync::Arc<Endpoint> {
    std::sync::Arc::clone(&upstream.snapshot().members()[0])
}

#[tokio::test(start_paused = true)]
async fn a_server_of_two_upstreams_is_asked_once_per_interval_and_both_know() {
    let (probe, mut sight) = scripted();
    let (api, admin) = (
        upstream(Health::Unhealthy, [1]),
        upstream(Health::Unhealthy, [1]),
    );
    let (mut of_api, mut of_admin) = (api.events(), admin.events());
    let start = Instant::now();
    let shared = Shared::new(probe.clone(), SECOND / 2);
    let _api = check_by(&api, shared.clone()).spawn();
    let _admin = check_by(&admin, shared).spawn();
    for second in 0..5 {
        assert_eq!(sight.began().await, (name(1), start + second * SECOND));
    }
    assert_eq!(verdict(&mut of_api).await.1, Health::Healthy);
    assert_eq!(verdict(&mut of_admin).await.1, Health::Healthy);
    probe.answer(&name(1), Answer::Fail);
    for events in [&mut of_api, &mut of_admin] {
        let (_, health, reason) = verdict(events).await;
        assert_eq!(health, Health::Unhealthy);
        assert_eq!(reason, "probe: as scripted");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_meanwhile_waits_for_the_same_answer() {
    let (probe, mut sight) = scripted();
    probe.answer(&name(1), Answer::Late(SECOND));
    let upstream = upstream(Health::Healthy, [1]);
    let member = member(&upstream);
    let shared = Shared::new(probe, Duration::ZERO);
    let later = async {
        tokio::time::sleep(SECOND / 2).await;
        probe::check(&shared, &member, PLENTY).await
    };
    let (first, second) = tokio::join!(probe::check(&shared, &member, PLENTY), later);
    first.unwrap();
    second.unwrap();
    sight.began().await;
    assert!(sight.is_still_for(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_good_for_as_long_as_it_is_fresh() {
    let (probe, mut sight) = scripted();
    let [first, second, third] = [1; 3].map(|port| upstream(Health::Healthy, [port]));
    let shared = Shared::new(probe.clone(), SECOND);
    let ask = async |upstream| probe::check(&shared, &member(upstream), PLENTY).await;
    ask(&first).await.unwrap();
    probe.answer(&name(1), Answer::Fail);
    tokio::time::advance(SECOND - Duration::from_millis(1)).await;
    ask(&second).await.unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    let error = ask(&third).await.unwrap_err();
    let ProbeError::Shared(cause) = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(**cause, ProbeError::Unexpected(_)));
    assert_eq!(error.to_string(), "as scripted");
    sight.began().await;
    sight.began().await;
    assert!(sight.is_still_for(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_the_same_answer_twice() {
    let (probe, mut sight) = scripted();
    let [first, second] = [1; 2].map(|port| upstream(Health::Healthy, [port]));
    let shared = Shared::new(probe.clone(), 60 * SECOND);
    let ask = async |upstream| probe::check(&shared, &member(upstream), PLENTY).await;
    ask(&first).await.unwrap();
    ask(&second).await.unwrap();
    tokio::time::advance(SECOND).await;
    // A killed server must not pass because of how it was.
    probe.answer(&name(1), Answer::Fail);
    ask(&second).await.unwrap_err();
    ask(&first).await.unwrap_err();
    sight.began().await;
    sight.began().await;
    assert!(sight.is_still_for(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn other_servers_have_answers_of_their_own() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Unhealthy, [1, 2]);
    let mut events = upstream.events();
    probe.answer(&name(1), Answer::Hang);
    let _task = check_by(&upstream, Shared::new(probe, SECOND / 2)).spawn();
    for port in [1, 2] {
        assert_eq!(sight.began().await.0, name(port));
    }
    assert_eq!(verdict(&mut events).await.0, name(2));
}

#[tokio::test(start_paused = true)]
async fn when_the_one_who_asks_gives_up_the_next_asks_anew() {
    let (probe, mut sight) = scripted();
    probe.answer(&name(1), Answer::Hang);
    let (api, admin) = (
        upstream(Health::Healthy, [1]),
        upstream(Health::Unhealthy, [1]),
    );
    let mut events = admin.events();
    let shared = Shared::new(probe.clone(), SECOND / 2);
    let _api = check_by(&api, shared.clone()).spawn();
    sight.began().await;
    let _admin = check_by(&admin, shared).spawn();
    tokio::time::advance(SECOND / 4).await;
    probe.answer(&name(1), Answer::Pass);
    api.apply(Change::new().remove(id(1))).unwrap();
    assert_eq!(sight.next().await, Seen::Dropped(name(1)));
    assert_eq!(verdict(&mut events).await.1, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_does_not_hold_up_the_others() {
    let (probe, _sight) = scripted();
    probe.answer(&name(1), Answer::Panic);
    let upstream = upstream(Health::Healthy, [1]);
    let mut events = upstream.events();
    let _task = check_by(&upstream, Shared::new(probe.clone(), SECOND / 2)).spawn();
    let (_, health, reason) = verdict(&mut events).await;
    assert_eq!((health, &*reason), (Health::Unhealthy, "probe: panicked"));
    probe.answer(&name(1), Answer::Pass);
    assert_eq!(verdict(&mut events).await.1, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn servers_that_come_and_go_leave_nothing_behind() {
    let (probe, _sight) = scripted();
    let shared = Shared::new(probe, SECOND);
    for port in 1..=100 {
        let upstream = upstream(Health::Healthy, []);
        upstream.apply(Change::new().add(spec(port))).unwrap();
        let asked = probe::check(&shared, &member(&upstream), PLENTY).await;
        asked.unwrap();
        tokio::time::advance(2 * SECOND).await;
    }
    let kept = format!("{shared:?}").matches("Answer {").count();
    assert_eq!(kept, 1);
}
