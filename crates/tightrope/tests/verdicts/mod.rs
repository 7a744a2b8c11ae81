//! Probes, live traffic, changes and time together: whatever happens in whatever order, the verdicts
//! are those of a [simple model](model), and picks follow the verdicts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod model;
mod world;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use tightrope::upstream::{Admin, Change, Ejection, Endpoint, Health, Weight};
use tokio::time::sleep;

use self::{
    model::{Ending, Model, Rules, most},
    world::{Attempt, World, id, name, settle, spec},
};

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    Add(usize, u16, Option<usize>),
    Remove(usize),
    Weigh(usize, u16),
    Drain(usize, bool),
    Restore(usize),
    /// From now on probes find it well, or sick.
    Probes(usize, bool),
    /// So many attempts on it, one after the other.
    Live(usize, Ending, u32),
    /// A balancer's pick, which is kept.
    Pick(usize, u8),
    /// One of those that are kept ends.
    End(usize, Ending),
    /// In seconds.
    Wait(u64),
}

/// An attempt that is kept.
struct Kept {
    name: usize,
    era: u32,
    attempt: Attempt,
    /// Its endpoint left meanwhile.
    is_stale: bool,
}

const NAMES: usize = 4;

fn rules() -> impl Strategy<Value = Rules> {
    let max_ejected = prop_oneof![0.0..=1.0_f64, Just(0.0), Just(1.0), Just(1.0), Just(1.0)];
    let min_available = prop_oneof![2 => Just(0_usize), 1 => 1..=2_usize];
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.8));
    (flags, 1..=3_u32, 1..=3_u32, max_ejected, min_available).prop_map(
        |(
            (is_healthy_at_first, probes_restore, has_probation),
            rise,
            fall,
            max_ejected,
            min_available,
        )| Rules {
            is_healthy_at_first,
            rise,
            fall,
            max_ejected,
            min_available,
            probes_restore,
            has_probation,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..NAMES;
    let limit = || prop::option::of(1..=2_usize);
    let ending = |failures| {
        prop_oneof![
            2 => Just(Ending::Success),
            failures => Just(Ending::Failure),
            2 => Just(Ending::Nobody),
            1 => Just(Ending::GivenUp),
        ]
    };
    let weight = || prop_oneof![1 => Just(0), 9 => 1..=3_u16];
    let well = prop::bool::weighted(0.7);
    prop_oneof![
        5 => (who.clone(), weight(), limit()).prop_map(|(who, w, most)| Step::Add(who, w, most)),
        3 => who.clone().prop_map(Step::Remove),
        1 => (who.clone(), weight()).prop_map(|(who, weight)| Step::Weigh(who, weight)),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, is)| Step::Drain(who, is)),
        1 => who.clone().prop_map(Step::Restore),
        3 => (who.clone(), well).prop_map(|(who, is)| Step::Probes(who, is)),
        12 => (who, ending(9), 1..=5_u32).prop_map(|(who, how, n)| Step::Live(who, how, n)),
        6 => (0..4_usize, any::<u8>()).prop_map(|(strategy, key)| Step::Pick(strategy, key)),
        4 => (any::<usize>(), ending(3)).prop_map(|(which, how)| Step::End(which, how)),
        8 => (1..=12_u64).prop_map(Step::Wait),
    ]
}

/// What is, beside what is expected.
struct Run {
    world: World,
    model: Model,
    rules: Rules,
    kept: Vec<Kept>,
}

impl Run {
    async fn new(rules: Rules) -> Self {
        let mut run = Self {
            world: World::new(rules),
            model: Model::new(rules),
            rules,
            kept: Vec::new(),
        };
        for who in 0..NAMES {
            run.add(who, 1, None);
        }
        settle().await;
        run
    }

    fn add(&mut self, who: usize, weight: u16, limit: Option<usize>) {
        self.apply(Change::new().add(spec(who, weight, limit)));
        self.model.add(who, weight, limit);
    }

    fn apply(&self, change: Change) {
        self.world.upstream.apply(change).unwrap();
    }

    async fn take(&mut self, step: &Step) {
        let is_member = |who: usize| self.model.find(who).is_some();
        match *step {
            Step::Add(who, weight, limit) if !is_member(who) => self.add(who, weight, limit),
            Step::Remove(who) if is_member(who) => {
                self.apply(Change::new().remove(id(who)));
                self.model.remove(who);
                for kept in self.kept.iter_mut().filter(|kept| kept.name == who) {
                    kept.is_stale = true;
                }
            }
            Step::Weigh(who, weight) if is_member(who) => {
                self.apply(Change::new().set_weight(id(who), Weight::from(weight)));
                self.model.weigh(who, weight);
            }
            Step::Drain(who, is_draining) if is_member(who) => {
                self.apply(match is_draining {
                    true => Change::new().drain(id(who), "by hand"),
                    false => Change::new().undrain(id(who), "by hand"),
                });
                self.model.drain(who, is_draining);
            }
            Step::Restore(who) if is_member(who) => {
                self.apply(Change::new().restore(id(who), "by hand"));
                self.model.restore(who);
            }
            Step::Probes(who, is_well) => self.world.probes.set(who, is_well),
            Step::Live(who, ending, times) if is_member(who) => {
                for _ in 0..times {
                    let era = self.model.find(who).unwrap().era;
                    self.world.begin(who).end(ending).await;
                    self.model.ended(who, era, ending);
                }
            }
            Step::Pick(strategy, key) => {
                if let Some(pick) = self.world.pick(strategy, key) {
                    let who = name(pick.endpoint());
                    let mut attempt = self.world.begin(who);
                    attempt.pick = Some(pick);
                    self.kept.push(Kept {
                        name: who,
                        era: self.model.find(who).unwrap().era,
                        attempt,
                        is_stale: false,
                    });
                    self.model.picked(who);
                }
            }
            Step::End(which, ending) if !self.kept.is_empty() => {
                let kept = self.kept.swap_remove(which % self.kept.len());
                let ending = match kept.is_stale {
                    true => Ending::GivenUp,
                    false => ending,
                };
                kept.attempt.end(ending).await;
                if !kept.is_stale {
                    self.model.ended(kept.name, kept.era, ending);
                }
                self.model.released(kept.name);
            }
            Step::Wait(seconds) => {
                for _ in 0..seconds {
                    sleep(Duration::from_secs(1)).await;
                    settle().await;
                    for probed in self.world.probes.ended() {
                        self.model.probed(probed.name, probed.began, probed.passed);
                    }
                    self.model.second();
                }
            }
            _ => {}
        }
        settle().await;
    }

    fn assert_verdicts(&self) -> Result<(), TestCaseError> {
        let snapshot = self.world.upstream.snapshot();
        prop_assert_eq!(snapshot.members().len(), self.model.members.len());
        let members = snapshot.members().iter().zip(snapshot.availability());
        for ((member, availability), expected) in members.zip(&self.model.members) {
            let status = member.record().status();
            let verdicts = (
                name(member),
                status.admin.value() == Admin::Draining,
                status.health.value() == Health::Healthy,
                status.ejection.value(),
                *availability,
                member.record().in_flight(),
            );
            let expected_verdicts = (
                expected.name,
                expected.is_draining,
                expected.is_healthy,
                expected.ejection,
                expected.availability(),
                expected.in_flight,
            );
            prop_assert_eq!(verdicts, expected_verdicts, "{:?}", expected);
        }
        Ok(())
    }

    /// Each balancer picks somebody who is available and has room, where there is one.
    fn assert_picks(&mut self, key: u8) -> Result<(), TestCaseError> {
        let free = self.model.members.iter().filter(|member| member.is_free());
        let free: Vec<usize> = free.map(|member| member.name).collect();
        for (strategy, picked) in self.world.picks(key) {
            let is_right = picked.map_or(free.is_empty(), |picked| free.contains(&picked));
            prop_assert!(is_right, "{}: {:?} of {:?}", strategy, picked, free);
        }
        Ok(())
    }

    /// Where somebody was ejected, no more are out than may be, and enough are left.
    fn assert_cap(&self, before: &[usize]) -> Result<(), TestCaseError> {
        if self.ejected().iter().all(|who| before.contains(who)) {
            return Ok(());
        }
        let snapshot = self.world.upstream.snapshot();
        let is_in =
            |member: &&Arc<Endpoint>| member.record().status().ejection.value() == Ejection::In;
        let members = snapshot.members();
        let out = members.len() - members.iter().filter(is_in).count();
        let in_service = snapshot.availability().iter();
        let in_service = in_service.filter(|it| it.is_in_service()).count();
        let most = most(in_service, self.rules.max_ejected);
        prop_assert!(out <= most, "{} of {}", out, in_service);
        let available = snapshot.available().iter();
        let left = available.filter(|index| is_in(&&members[**index as usize]));
        prop_assert!(left.count() >= self.rules.min_available);
        Ok(())
    }

    /// Who is ejected, whatever else is said of it.
    fn ejected(&self) -> Vec<usize> {
        let snapshot = self.world.upstream.snapshot();
        let members = snapshot.members().iter();
        let ejected =
            members.filter(|member| member.record().status().ejection.value() == Ejection::Ejected);
        ejected.map(|member| name(member)).collect()
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
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn verdicts_are_those_of_the_model_and_picks_follow_them(
        rules in rules(),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        run(async {
            let mut run = Run::new(rules).await;
            for (number, step) in steps.iter().enumerate() {
                let before = run.ejected();
                run.take(step).await;
                run.assert_verdicts()?;
                run.assert_picks(number as u8)?;
                if matches!(step, Step::Live(..) | Step::End(..)) {
                    run.assert_cap(&before)?;
                }
            }
            Ok(())
        })?;
    }
}
