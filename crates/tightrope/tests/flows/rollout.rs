//! Blue/green, refused and taken back, under load.

use std::time::Duration;

use tightrope::{
    health::{HttpProbe, probe},
    rollout::{BlueGreen, Gate, RolloutError, Step, Verify},
    upstream::Reason,
};
use tokio::sync::oneshot;

use super::{
    load::Load,
    world::{PATIENCE, World, group, soon},
};

/// `/infra/health` must answer `UP`.
fn gate() -> Gate {
    Gate::new()
        .with_tries(2)
        .with_interval(Duration::from_secs(2))
        .with_check(|endpoint: std::sync::Arc<_>| async move {
            let probe = HttpProbe::get("/infra/health").unwrap();
            let checked = probe::check(&probe, &endpoint, Duration::from_secs(5)).await;
            checked.map_err(|error| error.reason())
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_not_healthy_gets_no_traffic() {
    let world = World::new().await;
    world.green.mark_down();
    let generation = world.upstream.snapshot().generation();
    let load = Load::start(world.front.address(), ["blue", "green"]);
    load.answers(100).await;
    let plan = BlueGreen::new(&world.upstream, group("green")).with_gate(gate());
    let error = soon(plan.start().unwrap().run()).await.unwrap_err();
    assert!(
        matches!(error, RolloutError::NotReady { tries: 2, .. }),
        "{error:?}"
    );
    let reason = error.to_string();
    assert!(
        reason.contains("green") && reason.contains("503"),
        "{reason}"
    );
    load.answers(100).await;
    let tally = load.stop().await;
    assert_eq!(tally.failed, [""; 0]);
    assert_eq!(tally.misplaced, [""; 0]);
    assert_eq!(world.green.requests(), 0);
    assert_eq!(world.upstream.snapshot().generation(), generation);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_under_load_loses_nothing() {
    let world = World::new().await;
    let load = Load::start(world.front.address(), ["blue", "green"]);
    for _ in 0..5 {
        load.answers(50).await;
        let (switched, is_switched) = oneshot::channel();
        let mut switched = Some(switched);
        let rollout = BlueGreen::new(&world.upstream, group("green"))
            .with_gate(gate())
            .with_verify(Verify::new(PATIENCE))
            .with_drain_deadline(PATIENCE)
            .start()
            .unwrap()
            .with_progress(move |report| {
                if let Step::Switched { .. } = report.step {
                    switched.take().unwrap().send(()).unwrap();
                }
            });
        let rollback = rollout.rollback();
        let mut run = None;
        load.switch(async |_green| {
            run = Some(tokio::spawn(rollout.run()));
            soon(is_switched).await.unwrap();
        })
        .await;
        load.answers(50).await;
        load.switch(async |_blue| {
            let update = rollback.now(Reason::from("green is slow")).unwrap();
            update.applied().await;
        })
        .await;
        let error = soon(run.unwrap()).await.unwrap().unwrap_err();
        assert!(
            matches!(&error, RolloutError::RolledBack { reason, .. } if reason.to_string() == "green is slow"),
            "{error:?}"
        );
    }
    load.answers(50).await;
    let tally = load.stop().await;
    assert_eq!(tally.failed, [""; 0]);
    assert_eq!(tally.misplaced, [""; 0]);
    assert!(world.green.requests() > 0);
    assert_eq!(world.in_flight(), 0);
}
