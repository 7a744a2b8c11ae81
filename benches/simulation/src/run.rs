//! One run: requests arrive, are picked for, wait, are worked on and answered.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    sync::atomic::Ordering,
};

use tightrope::{
    balance::{Balance, Context, Random, prequal::Metered},
    upstream::{Change, Failure, Outcome, Pick, Upstream},
};

use crate::{
    clock::Clock,
    fleet::{Fleet, exponential, index, spec},
    probing::Probing,
    report::{Case, Figures, percentiles},
    strategies::Balancer,
    workload::{
        ANTAGONIST_NS, ENDPOINTS, FAILING, GIVE_UP_NS, ONE_WAY_NS, SECOND_NS, SLOW_EVERY,
        WARM_UP_NS, Workload, is_slow,
    },
};

/// How many endpoints are not slow.
const USUAL: usize = ENDPOINTS - ENDPOINTS / SLOW_EVERY;

/// Runs `case`.
pub(crate) fn run(case: &Case) -> Figures {
    Clock::run(|clock| Run::new(case, clock).finish())
}

struct Run<'a> {
    workload: &'a Workload,
    clock: Clock,
    random: Random,
    fleet: Fleet,
    upstreams: Vec<Upstream>,
    balancers: Vec<Balance<()>>,
    probing: Probing,
    requests: Vec<Request>,
    free: Vec<u32>,
    rate: f64,
    next_ns: u64,
    // What happens a fixed time later happens in order.
    on_way: VecDeque<(u64, u32)>,
    answers: VecDeque<(u64, u32)>,
    deadlines: VecDeque<(u64, u32)>,
    later: BinaryHeap<Reverse<(u64, Later)>>,
    results: Results,
}

enum Event {
    Send,
    Reach(u32),
    Answer(u32),
    Probe,
    Report,
    GiveUp(u32),
    Later(Later),
}

struct Request {
    sent_ns: u64,
    server: usize,
    /// None once it was answered or given up.
    pick: Option<Pick>,
    fails: bool,
    /// While it is at a server that answers probes.
    metered: Option<Metered>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Later {
    Finish { server: usize, request: u32 },
    Disturb { server: usize },
    Join { nth: usize },
}

#[derive(Default)]
struct Results {
    latencies_ms: Vec<f32>,
    errors: usize,
    to_failing: usize,
    /// To those who joined, each in its first second; and to the usual ones meanwhile.
    to_joining: usize,
    to_usual: usize,
}

impl<'a> Run<'a> {
    fn new(case: &'a Case, clock: Clock) -> Self {
        let workload = &case.workload;
        let mut random = Random::from_seed(workload.seed);
        let servers = ENDPOINTS + workload.joining;
        let fleet = Fleet::new(servers);
        let probing = Probing::default();
        let (mut upstreams, mut balancers) = (Vec::new(), Vec::new());
        for index in 0..workload.balancers {
            let upstream = Upstream::new("fleet");
            change(&upstream, Change::new().replace((0..ENDPOINTS).map(spec)));
            let strategy = (case.strategy.make)(Balancer {
                index,
                workload,
                seen: &fleet.seen,
                probing: &probing,
            });
            let balance = Balance::new(&upstream, strategy, ());
            balancers.push(balance.with_seed(random.next_u64()));
            upstreams.push(upstream);
        }
        let mut later = BinaryHeap::new();
        for server in 0..servers {
            later.push(Reverse((0, Later::Disturb { server })));
        }
        for nth in 0..workload.joining {
            let at_ns = WARM_UP_NS + nth as u64 * SECOND_NS;
            later.push(Reverse((at_ns, Later::Join { nth })));
        }
        Self {
            workload,
            clock,
            random,
            fleet,
            upstreams,
            balancers,
            probing,
            requests: Vec::new(),
            free: Vec::new(),
            rate: workload.rate(),
            next_ns: 0,
            on_way: VecDeque::new(),
            answers: VecDeque::new(),
            deadlines: VecDeque::new(),
            later,
            results: Results::default(),
        }
    }

    fn finish(mut self) -> Figures {
        let end_ns = self.workload.end_ns();
        let mut is_measuring = false;
        while let Some((now_ns, event)) = self.next().filter(|&(at_ns, _)| at_ns < end_ns) {
            if now_ns >= WARM_UP_NS && !is_measuring {
                is_measuring = true;
                self.fleet.start_measuring(now_ns);
            }
            self.happen(now_ns, event);
        }
        let Results {
            mut latencies_ms,
            errors,
            to_failing,
            to_joining,
            to_usual,
        } = self.results;
        let [p50_ms, p99_ms, p999_ms] = percentiles(&mut latencies_ms);
        Figures {
            requests: latencies_ms.len(),
            p50_ms,
            p99_ms,
            p999_ms,
            errors,
            unevenness: self.fleet.unevenness(end_ns),
            to_failing,
            to_joining: to_joining as f64 / (to_usual as f64 / USUAL as f64),
        }
    }

    /// Takes out what happens next.
    fn next(&mut self) -> Option<(u64, Event)> {
        let front = |queue: &VecDeque<(u64, u32)>| queue.front().map_or(u64::MAX, |next| next.0);
        let later = self.later.peek().map_or(u64::MAX, |next| next.0.0);
        let on_way = front(&self.on_way);
        let answer = front(&self.answers);
        let deadline = front(&self.deadlines);
        let probe = self.probing.next_probe_ns();
        let report = self.probing.next_answer_ns();
        let soonest = self
            .next_ns
            .min(on_way)
            .min(answer)
            .min(deadline)
            .min(later)
            .min(probe)
            .min(report);
        let event = if soonest == answer {
            Event::Answer(self.answers.pop_front()?.1)
        } else if soonest == deadline {
            Event::GiveUp(self.deadlines.pop_front()?.1)
        } else if soonest == later {
            Event::Later(self.later.pop()?.0.1)
        } else if soonest == probe {
            Event::Probe
        } else if soonest == report {
            Event::Report
        } else if soonest == on_way {
            Event::Reach(self.on_way.pop_front()?.1)
        } else {
            self.next_ns += exponential(1.0 / self.rate, &mut self.random);
            Event::Send
        };
        Some((soonest, event))
    }

    fn happen(&mut self, now_ns: u64, event: Event) {
        match event {
            Event::Send => self.send(now_ns),
            Event::Reach(request) => self.reach(request, now_ns),
            Event::Answer(request) => self.answer(request, now_ns),
            Event::GiveUp(request) => self.give_up(request, now_ns),
            Event::Probe => self.probe(now_ns),
            Event::Report => {
                self.clock.advance_to(now_ns);
                self.probing.answer(now_ns);
            }
            Event::Later(Later::Finish { server, request }) => {
                if let Some(metered) = self.requests[request as usize].metered.take() {
                    self.clock.advance_to(now_ns);
                    metered.answered();
                }
                self.fleet.finish(server, now_ns);
                self.answers.push_back((now_ns + ONE_WAY_NS, request));
                self.take_next(server, now_ns);
            }
            Event::Later(Later::Disturb { server }) => {
                self.fleet.disturb(server, &mut self.random);
                let at_ns = now_ns + exponential(ANTAGONIST_NS, &mut self.random);
                self.later.push(Reverse((at_ns, Later::Disturb { server })));
            }
            Event::Later(Later::Join { nth }) => {
                self.clock.advance_to(now_ns);
                for upstream in &self.upstreams {
                    change(upstream, Change::new().add(spec(ENDPOINTS + nth)));
                }
            }
        }
    }

    fn send(&mut self, now_ns: u64) {
        self.clock.advance_to(now_ns);
        let balancer = self.random.below(self.balancers.len() as u64) as usize;
        let Ok(pick) = self.balancers[balancer].pick(&Context::new()) else {
            panic!("every endpoint is available");
        };
        self.probing.run(balancer, now_ns);
        let server = index(pick.endpoint());
        if let Some(measured_ns) = now_ns.checked_sub(WARM_UP_NS) {
            let newest = ENDPOINTS + (measured_ns / SECOND_NS) as usize;
            self.results.to_failing += usize::from(server == FAILING);
            self.results.to_joining += usize::from(server == newest);
            self.results.to_usual += usize::from(server < ENDPOINTS && !is_slow(server));
        }
        self.fleet.seen[server]
            .present
            .fetch_add(1, Ordering::Relaxed);
        let request = Request {
            sent_ns: now_ns,
            server,
            pick: Some(pick),
            fails: self.workload.failing && server == FAILING,
            metered: None,
        };
        let id = if let Some(id) = self.free.pop() {
            self.requests[id as usize] = request;
            id
        } else {
            self.requests.push(request);
            (self.requests.len() - 1) as u32
        };
        self.on_way.push_back((now_ns + ONE_WAY_NS, id));
        self.deadlines.push_back((now_ns + GIVE_UP_NS, id));
    }

    fn reach(&mut self, id: u32, now_ns: u64) {
        let &Request { server, fails, .. } = &self.requests[id as usize];
        if fails {
            self.answers.push_back((now_ns + ONE_WAY_NS, id));
            return;
        }
        if self.probing.is_used() {
            self.clock.advance_to(now_ns);
            self.requests[id as usize].metered = Some(self.fleet.begin(server));
        }
        if self.fleet.arrive(server, id, now_ns) {
            self.work(server, id, now_ns);
        }
    }

    /// The next probe is at its server.
    fn probe(&mut self, now_ns: u64) {
        if let Some(asked) = self.probing.next_probe() {
            self.clock.advance_to(now_ns);
            let report = self.fleet.report(asked.server);
            self.probing.report(asked, report, now_ns);
        }
    }

    fn work(&mut self, server: usize, request: u32, now_ns: u64) {
        let at_ns = now_ns + self.fleet.work_ns(server, &mut self.random);
        self.later
            .push(Reverse((at_ns, Later::Finish { server, request })));
    }

    /// Gives a free worker of `server` the next request that somebody still waits for.
    fn take_next(&mut self, server: usize, now_ns: u64) {
        while let Some(id) = self.fleet.dequeue(server, now_ns) {
            if self.requests[id as usize].pick.is_some() {
                return self.work(server, id, now_ns);
            }
            self.fleet.skip(server);
            self.requests[id as usize].metered = None;
            self.forget(id);
        }
    }

    fn answer(&mut self, id: u32, now_ns: u64) {
        let request = &mut self.requests[id as usize];
        if let Some(mut pick) = request.pick.take() {
            self.clock.advance_to(now_ns);
            let outcome = if request.fails {
                Outcome::Failure(Failure::Response)
            } else {
                Outcome::Success
            };
            pick.answered(outcome);
            pick.set_outcome(outcome);
            let (sent_ns, fails) = (request.sent_ns, request.fails);
            self.count(sent_ns, now_ns, fails);
        }
        self.forget(id);
    }

    fn give_up(&mut self, id: u32, now_ns: u64) {
        let request = &mut self.requests[id as usize];
        // The place may be another request's by now.
        let is_same = request.sent_ns + GIVE_UP_NS == now_ns;
        if let Some(mut pick) = request.pick.take_if(|_| is_same) {
            self.clock.advance_to(now_ns);
            pick.set_outcome(Outcome::Failure(Failure::HeadTimeout));
            let sent_ns = request.sent_ns;
            drop(pick);
            self.count(sent_ns, now_ns, true);
        }
    }

    /// The endpoint is done with the request.
    fn forget(&mut self, id: u32) {
        let server = self.requests[id as usize].server;
        self.fleet.seen[server]
            .present
            .fetch_sub(1, Ordering::Relaxed);
        self.free.push(id);
    }

    fn count(&mut self, sent_ns: u64, now_ns: u64, is_error: bool) {
        if sent_ns >= WARM_UP_NS {
            let latency_ms = (now_ns - sent_ns) as f32 / 1e6;
            self.results.latencies_ms.push(latency_ms);
            self.results.errors += usize::from(is_error);
        }
    }
}

fn change(upstream: &Upstream, change: Change) {
    if let Err(error) = upstream.apply(change) {
        panic!("the endpoints of the simulation are refused: {error}");
    }
}
