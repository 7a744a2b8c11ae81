//! What is expected: the rules, as plainly as they can be written down. Time is in seconds.

use tightrope::upstream::{Availability, Ejection};

/// How to judge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) is_healthy_at_first: bool,
    /// Probes that pass in a row.
    pub(crate) rise: u32,
    /// Failures in a row.
    pub(crate) fall: u32,
    pub(crate) max_ejected: f64,
    pub(crate) min_available: usize,
    pub(crate) has_probation: bool,
    /// Whether a probe that passes ends an ejection.
    pub(crate) probes_restore: bool,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Success,
    /// It answered that it failed.
    Failure,
    /// Nobody was there.
    Nobody,
    GivenUp,
}

pub(crate) struct Model {
    rules: Rules,
    now: u64,
    /// How many records there were.
    records: usize,
    /// In the order in which they joined.
    pub(crate) members: Vec<Member>,
    /// Those who left with something in flight.
    left: Vec<Member>,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: usize,
    pub(crate) weight: u16,
    pub(crate) limit: Option<usize>,
    pub(crate) is_draining: bool,
    pub(crate) in_flight: usize,
    record: usize,
    pub(crate) is_healthy: bool,
    /// From then on no single probe decides.
    is_known: bool,
    /// What was found since the last verdict on its health.
    found: Vec<Found>,
    pub(crate) ejection: Ejection,
    /// Since when that is so.
    since: u64,
    /// When it is over.
    until: Option<u64>,
    /// Ejections, less one for each sweep without.
    lately: u64,
    /// Failures.
    row: u32,
    /// One attempt decides.
    is_in_doubt: bool,
    /// What was sent in an earlier one is ignored.
    pub(crate) era: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Passed,
    Failed,
    /// Live traffic found nobody.
    Nobody,
}

/// Failures in a row that eject.
pub(crate) const ROW: u32 = 3;
/// How long the first ejection lasts, and the longest.
pub(crate) const BASE: u64 = 20;
pub(crate) const LONGEST: u64 = 50;
/// How often the past fades.
pub(crate) const SWEEP: u64 = 10;

// === impl Model ===

impl Model {
    pub(crate) const fn new(rules: Rules) -> Self {
        Self {
            rules,
            now: 0,
            records: 0,
            members: Vec::new(),
            left: Vec::new(),
        }
    }

    pub(crate) fn find(&self, name: usize) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    fn find_mut(&mut self, name: usize) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.name == name)
    }

    pub(crate) fn add(&mut self, name: usize, weight: u16, limit: Option<usize>) {
        let left = self.left.iter().position(|member| member.name == name);
        let mut member = match left {
            Some(place) => self.left.remove(place).rejoin(self.now),
            None => Member::new(name, self.records, self.now, self.rules),
        };
        self.records += usize::from(left.is_none());
        (member.weight, member.limit) = (weight, limit);
        self.members.push(member);
    }

    pub(crate) fn remove(&mut self, name: usize) {
        let place = self.members.iter().position(|member| member.name == name);
        let member = self.members.remove(place.unwrap());
        if member.in_flight > 0 {
            self.left.push(member);
        }
    }

    pub(crate) fn weigh(&mut self, name: usize, weight: u16) {
        self.find_mut(name).unwrap().weight = weight;
    }

    pub(crate) fn drain(&mut self, name: usize, is_draining: bool) {
        self.find_mut(name).unwrap().is_draining = is_draining;
    }

    /// Ends an ejection or a trial before its time.
    pub(crate) fn restore(&mut self, name: usize) {
        let now = self.now;
        let member = self.find_mut(name).unwrap();
        if member.ejection != Ejection::In {
            member.become_(Ejection::In, now);
            member.begin(false);
        }
    }

    pub(crate) fn picked(&mut self, name: usize) {
        self.find_mut(name).unwrap().in_flight += 1;
    }

    pub(crate) fn released(&mut self, name: usize) {
        let mut all = self.members.iter_mut().chain(&mut self.left);
        all.find(|member| member.name == name).unwrap().in_flight -= 1;
        self.left.retain(|member| member.in_flight > 0);
    }

    /// An attempt that began in `era` ended.
    pub(crate) fn ended(&mut self, name: usize, era: u32, ending: Ending) {
        let (rules, now) = (self.rules, self.now);
        let member = self.find_mut(name).unwrap();
        match ending {
            Ending::Nobody if member.is_healthy => member.find(Found::Nobody, rules),
            Ending::Nobody | Ending::GivenUp => {}
            Ending::Success | Ending::Failure => member.found.retain(|it| *it != Found::Nobody),
        }
        if member.era != era {
            return;
        }
        match ending {
            Ending::Success => {
                member.row = 0;
                if member.is_in_doubt {
                    member.is_in_doubt = false;
                    member.become_(Ejection::In, now);
                }
            }
            Ending::Failure | Ending::Nobody => {
                member.row += 1;
                if member.row >= ROW || member.is_in_doubt {
                    self.judge(name);
                }
            }
            Ending::GivenUp => {}
        }
    }

    fn judge(&mut self, name: usize) {
        let (may, now) = (self.may_eject(name), self.now);
        let member = self.find_mut(name).unwrap();
        if member.availability() != Availability::Available {
            return;
        }
        if may {
            member.become_(Ejection::Ejected, now);
            member.lately += 1;
            member.begin(false);
            member.until = Some(now + (BASE * member.lately).min(LONGEST));
        } else {
            member.become_(Ejection::In, now);
            member.begin(false);
        }
    }

    fn may_eject(&self, name: usize) -> bool {
        let availability = self.members.iter().map(Member::availability);
        let in_service = availability.filter(|it| it.is_in_service()).count();
        let others = self.members.iter().filter(|member| member.name != name);
        let out = others.filter(|member| member.ejection != Ejection::In);
        let most = most(in_service, self.rules.max_ejected);
        in_service > 1 && out.count() < most && self.others(name) >= self.rules.min_available
    }

    /// How many others are left: available, and not on trial.
    fn others(&self, name: usize) -> usize {
        let others = self.members.iter().filter(|member| {
            member.name != name
                && member.ejection == Ejection::In
                && member.availability() == Availability::Available
        });
        others.count()
    }

    /// A second went by.
    pub(crate) fn second(&mut self) {
        self.now += 1;
        if self.now.is_multiple_of(SWEEP) {
            for member in self.members.iter_mut().filter(|it| it.until.is_none()) {
                member.lately = member.lately.saturating_sub(1);
            }
            for member in &mut self.left {
                (member.lately, member.until) = (0, None);
            }
        }
        let now = self.now;
        let is_over = |member: &Member| member.until.is_some_and(|until| until <= now);
        for member in self.left.iter_mut().filter(|member| is_over(member)) {
            member.until = None;
        }
        let over = self.members.iter().filter(|member| is_over(member));
        let mut over: Vec<_> = over.map(|it| (it.until, it.record, it.name)).collect();
        over.sort_unstable();
        for (_, _, name) in over {
            let is_tried = self.rules.has_probation && self.others(name) > 0;
            let has_probation = self.rules.has_probation;
            let member = self.find_mut(name).unwrap();
            member.begin(has_probation);
            let ejection = if is_tried {
                Ejection::OnTrial
            } else {
                Ejection::In
            };
            member.become_(ejection, now);
        }
    }

    /// A probe that began at this second ended within it.
    pub(crate) fn probed(&mut self, name: usize, began: u64, passed: bool) {
        let rules = self.rules;
        let member = self.find_mut(name).unwrap();
        let is_news = member.since < began;
        member.find(if passed { Found::Passed } else { Found::Failed }, rules);
        if passed && is_news && rules.probes_restore {
            self.restore(name);
        }
    }
}

/// The most that may be out.
pub(crate) fn most(in_service: usize, max_ejected: f64) -> usize {
    let most = (in_service as f64 * max_ejected) as usize;
    most.max(usize::from(max_ejected > 0.0))
}

// === impl Member ===

impl Member {
    const fn new(name: usize, record: usize, now: u64, rules: Rules) -> Self {
        Self {
            name,
            weight: 1,
            limit: None,
            is_draining: false,
            in_flight: 0,
            record,
            is_healthy: rules.is_healthy_at_first,
            is_known: false,
            found: Vec::new(),
            ejection: Ejection::In,
            since: now,
            until: None,
            lately: 0,
            row: 0,
            is_in_doubt: false,
            era: 0,
        }
    }

    /// It comes back with something in flight: the verdicts stay.
    fn rejoin(mut self, now: u64) -> Self {
        (self.is_known, self.is_draining) = (false, false);
        self.found.clear();
        self.row = 0;
        self.era += 1;
        self.is_in_doubt = self.ejection == Ejection::OnTrial;
        if self.ejection == Ejection::Ejected && self.until.is_none() {
            self.lately += 1;
            self.until = Some(now + BASE);
        }
        self
    }

    pub(crate) const fn availability(&self) -> Availability {
        match self {
            Self {
                is_draining: true, ..
            } => Availability::Draining,
            Self { weight: 0, .. } => Availability::Unweighted,
            Self {
                is_healthy: false, ..
            } => Availability::Unhealthy,
            Self {
                ejection: Ejection::Ejected,
                ..
            } => Availability::Ejected,
            _ => Availability::Available,
        }
    }

    /// Whether it may be picked now.
    pub(crate) fn is_free(&self) -> bool {
        let limit = match self.ejection {
            Ejection::OnTrial => Some(1),
            _ => self.limit,
        };
        self.availability() == Availability::Available
            && limit.is_none_or(|limit| self.in_flight < limit)
    }

    fn become_(&mut self, ejection: Ejection, now: u64) {
        if self.ejection != ejection {
            (self.ejection, self.since) = (ejection, now);
        }
    }

    /// Forgets what was before.
    const fn begin(&mut self, is_in_doubt: bool) {
        self.era += 1;
        (self.row, self.until, self.is_in_doubt) = (0, None, is_in_doubt);
    }

    fn find(&mut self, found: Found, rules: Rules) {
        self.found.push(found);
        let newest = self.found.iter().rev();
        let in_a_row = newest.take_while(|it| (**it == Found::Passed) == self.is_unhealthy());
        let in_a_row = in_a_row.count() as u32;
        let is_first = !self.is_known && found == Found::Passed;
        self.is_known |= found != Found::Nobody;
        let most = match self.is_healthy {
            true => rules.fall,
            false if is_first => 1,
            false => rules.rise,
        };
        if in_a_row >= most {
            (self.is_healthy, self.is_known) = (!self.is_healthy, true);
            self.found.clear();
        }
    }

    const fn is_unhealthy(&self) -> bool {
        !self.is_healthy
    }
}
