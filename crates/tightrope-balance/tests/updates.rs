//! Updates while others pick, on real threads.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use tightrope_balance::{Balance, Context};
use tightrope_upstream::{Change, Health, Update, Weight};

use crate::support::{STRATEGIES, id, in_flight, number, spec, upstream};

/// How many endpoints there are, each changed by one writer only.
const ENDPOINTS: usize = 8;
const WRITERS: usize = 2;
const READERS: usize = 3;
const UPDATES: usize = 100;

/// What a writer did to an endpoint of its own: odd while it is known to get no picks.
type Stages = [AtomicUsize; ENDPOINTS];

/// Waits until every pick follows the update. The other writer may just be at it.
fn applied(update: &Update) {
    while !update.is_applied() {
        thread::yield_now();
    }
}

#[test]
fn nobody_drained_is_picked_once_the_update_is_applied() {
    for (what, make) in STRATEGIES {
        let upstream = upstream(&[1; ENDPOINTS]);
        let balance = Balance::new(&upstream, make(), ());
        let stages = Stages::default();
        let writing = AtomicUsize::new(WRITERS);
        let failed = AtomicBool::new(false);
        let start = Barrier::new(WRITERS + READERS);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (upstream, stages, writing) = (&upstream, &stages, &writing);
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    for turn in 0..UPDATES / 2 {
                        let n = writer + WRITERS * (turn % (ENDPOINTS / WRITERS - 1));
                        let (out, back) = match turn % 4 {
                            0 => (
                                Change::new().drain(id(n), "test"),
                                Change::new().undrain(id(n), "test"),
                            ),
                            1 => (Change::new().remove(id(n)), Change::new().add(spec(n, 1))),
                            2 => (
                                Change::new().set_weight(id(n), Weight::ZERO),
                                Change::new().set_weight(id(n), Weight::ONE),
                            ),
                            // Changes nothing for those who fail open.
                            _ => (
                                Change::new()
                                    .set_health(id(n), Health::Unhealthy, "test")
                                    .drain(id(n), "test"),
                                Change::new()
                                    .set_health(id(n), Health::Healthy, "test")
                                    .undrain(id(n), "test"),
                            ),
                        };
                        applied(&upstream.apply(out).unwrap());
                        stages[n].fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        stages[n].fetch_add(1, Ordering::SeqCst);
                        upstream.apply(back).unwrap();
                    }
                    writing.fetch_sub(1, Ordering::SeqCst);
                });
            }
            for _ in 0..READERS {
                let (stages, writing, failed) = (&stages, &writing, &failed);
                let start = &start;
                let mut balance = balance.clone();
                scope.spawn(move || {
                    start.wait();
                    let mut n = 0_u32;
                    loop {
                        n += 1;
                        let key = n.to_be_bytes();
                        let client = [10, key[1], key[2], key[3]].into();
                        let context = Context::new().with_key(&key).with_client(client);
                        let before: Vec<usize> = stages
                            .iter()
                            .map(|stage| stage.load(Ordering::SeqCst))
                            .collect();
                        // Two of the endpoints are never changed.
                        let picked = number(&balance.pick(&context).unwrap());
                        let after = stages[picked].load(Ordering::SeqCst);
                        if before[picked] == after && after % 2 == 1 {
                            failed.store(true, Ordering::SeqCst);
                        }
                        if writing.load(Ordering::SeqCst) == 0 {
                            break;
                        }
                        // More threads than cores: the writers are to get on.
                        thread::yield_now();
                    }
                });
            }
        });
        assert!(
            !failed.into_inner(),
            "{what} picked somebody out of service"
        );
        assert_eq!(in_flight(&upstream), 0, "{what}");
        assert_eq!(upstream.snapshot().available().len(), ENDPOINTS);
    }
}
