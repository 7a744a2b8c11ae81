//! Switches under load.

use std::sync::Mutex;

use tightrope::upstream::{Change, DrainReport};
use tokio::task::JoinSet;

use super::{
    load::Load,
    world::{PATIENCE, World, group, soon},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_switches_under_load_lose_and_misplace_nothing() {
    let world = World::new().await;
    let load = Load::start(world.front.address(), ["blue", "green"]);
    load.answers(100).await;
    let drains = Mutex::new(JoinSet::<DrainReport>::new());
    for _ in 0..50 {
        load.switch(async |to| {
            let change = Change::new().activate(group(to));
            let update = world.upstream.apply(change).unwrap();
            update.applied().await;
            let drained = async move { update.drained(PATIENCE).await };
            drains.lock().unwrap().spawn(drained);
        })
        .await;
        load.answers(100).await;
    }
    let tally = load.stop().await;
    let reports = soon(drains.into_inner().unwrap().join_all()).await;

    assert_eq!(tally.failed, [""; 0]);
    assert_eq!(tally.misplaced, [""; 0]);
    assert!(tally.between_switches >= 2500, "{tally:?}");
    assert!(tally.answered.iter().all(|&count| count > 0), "{tally:?}");
    // Each drain ended because the old group had ended everything, or because the next switch gave
    // it traffic again.
    assert_eq!(reports.len(), 50);
    for report in &reports {
        assert!(report.remaining.is_empty(), "{report:?}");
    }
    assert_eq!(world.in_flight(), 0);
    let answered: usize = tally.answered.iter().sum();
    assert_eq!(world.blue.requests() + world.green.requests(), answered);
}
