//! Whatever happens, the verdicts follow the rules.

use proptest::prelude::*;
use tightrope_health::Listen;
use tightrope_upstream::{Change, Ejection, Health, Outcome};
use tokio::time::sleep;

use super::world::{FAILED, SECOND, World, id, settle};

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    Succeed(usize),
    Fail(usize),
    GiveUp(usize),
    Wait(u8),
    Health(usize, bool),
    Restore(usize),
    Drain(usize, bool),
}

const COUNT: usize = 12;

fn step() -> impl Strategy<Value = Step> {
    let who = 0..COUNT;
    prop_oneof![
        4 => who.clone().prop_map(Step::Succeed),
        30 => (0..4_usize).prop_map(Step::Fail),
        4 => who.clone().prop_map(Step::Fail),
        1 => who.clone().prop_map(Step::GiveUp),
        4 => any::<u8>().prop_map(Step::Wait),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, up)| Step::Health(who, up)),
        1 => who.clone().prop_map(Step::Restore),
        1 => (who, any::<bool>()).prop_map(|(who, out)| Step::Drain(who, out)),
    ]
}

/// What is expected of one endpoint, where nobody else interferes: its row, and how many seconds
/// of its ejection are left.
#[derive(Clone, Copy, Debug, Default)]
struct Model {
    row: u32,
    left: u64,
    lately: u64,
    is_on_probation: bool,
}

impl Model {
    fn fail(&mut self) {
        if self.left > 0 {
            return;
        }
        self.row += 1;
        if self.row == 5 || self.is_on_probation {
            self.lately += 1;
            *self = Self {
                left: 30 * self.lately.min(10),
                lately: self.lately,
                ..Self::default()
            };
        }
    }

    fn succeed(&mut self) {
        if self.left == 0 {
            (self.row, self.is_on_probation) = (0, false);
        }
    }

    /// A second goes by, which ends in a sweep or does not.
    fn second(&mut self, sweeps: bool) {
        if self.left > 0 {
            self.left -= 1;
            if self.left == 0 {
                (self.row, self.is_on_probation) = (0, true);
            }
        } else if sweeps {
            self.lately = self.lately.saturating_sub(1);
        }
    }
}

fn run(test: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_more_than_the_cap_are_out_and_never_everybody(
        steps in prop::collection::vec(step(), 1..300),
        share in 0.0..=1.0_f64,
    ) {
        run(async {
            let world = World::new(COUNT, |detection| {
                let detection = detection.with_success_rate(None);
                detection.with_max_ejected(share).unwrap()
            });
            for step in steps {
                let before = world.upstream.snapshot().available().len();
                let change = match step {
                    Step::Succeed(n) => { world.report(n, Outcome::Success); None }
                    Step::Fail(n) => { world.report(n, FAILED); None }
                    Step::GiveUp(n) => { drop(world.task.reports().begin(&world.endpoint(n))); None }
                    Step::Wait(seconds) => { sleep(SECOND * seconds.into()).await; None }
                    Step::Health(n, true) => Some(Change::new().set_health(id(n), Health::Healthy, "")),
                    Step::Health(n, false) => Some(Change::new().set_health(id(n), Health::Unhealthy, "")),
                    Step::Restore(n) => Some(Change::new().restore(id(n), "")),
                    Step::Drain(n, true) => Some(Change::new().drain(id(n), "")),
                    Step::Drain(n, false) => Some(Change::new().undrain(id(n), "")),
                };
                let is_change = change.is_some();
                if let Some(change) = change {
                    world.upstream.apply(change).unwrap();
                }
                settle().await;
                let snapshot = world.upstream.snapshot();
                let in_service = snapshot.availability().iter().filter(|it| it.is_in_service());
                let most = ((in_service.count() as f64 * share) as usize).max(usize::from(share > 0.0));
                let is_ejected = |n: &usize| world.is_ejected(*n);
                let ejected = (0..COUNT).filter(is_ejected).count();
                if !is_change {
                    // Ejections never empty it, and never exceed the cap; who is taken out by other
                    // means may leave more ejected than would be allowed then.
                    prop_assert!(before == 0 || !snapshot.available().is_empty());
                    let most = most.max((COUNT as f64 * share) as usize);
                    prop_assert!(ejected <= most, "{ejected} of at most {most}");
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn verdicts_are_those_of_the_rules(steps in prop::collection::vec(step(), 1..300)) {
        run(async {
            let world = World::new(COUNT, |detection| {
                let detection = detection.with_success_rate(None);
                detection.with_max_ejected(1.0).unwrap()
            });
            let (mut models, mut seconds) = ([Model::default(); COUNT], 0_u64);
            for step in steps {
                match step {
                    // One is never told of, so that somebody is always available.
                    Step::Succeed(n) if n > 0 => {
                        models[n].succeed();
                        world.report(n, Outcome::Success);
                    }
                    Step::Fail(n) if n > 0 => {
                        models[n].fail();
                        world.report(n, FAILED);
                    }
                    Step::Wait(count) => {
                        for _ in 0..count {
                            seconds += 1;
                            models.iter_mut().for_each(|model| model.second(seconds.is_multiple_of(10)));
                        }
                        sleep(SECOND * count.into()).await;
                    }
                    _ => {}
                }
                settle().await;
                for (n, model) in models.iter().enumerate() {
                    let verdict = world.endpoint(n).record().status().ejection.value();
                    let expected = match model {
                        Model { left: 1.., .. } => Ejection::Ejected,
                        Model { is_on_probation: true, .. } => Ejection::OnTrial,
                        _ => Ejection::In,
                    };
                    prop_assert_eq!(verdict, expected, "{}: {:?}", n, model);
                }
            }
            Ok(())
        })?;
    }
}
