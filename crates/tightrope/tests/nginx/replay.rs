//! nginx beside ours, through one script.

use std::{collections::HashMap, mem};

use tightrope::upstream::{Attempt, Pick};

use super::{
    marks::Marks,
    recording::{Recording, Request, Step},
    world::{State, World},
};

pub(crate) struct Replay<'r> {
    pub(crate) world: World<'r>,
    marks: Marks,
    /// Who came back without a trial, since nobody else was left.
    used: Option<usize>,
    span: Span,
    spans: Vec<Span>,
    /// The requests that last, by their ids; none where nobody was found for one.
    held: HashMap<String, Option<Pick>>,
}

/// How many attempts went to each server, here and there, while nobody changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    here: (Vec<State>, Vec<usize>),
    there: (Vec<State>, Vec<usize>),
    pub(crate) requests: usize,
}

// === impl Replay ===

impl<'r> Replay<'r> {
    pub(crate) fn new(recording: &'r Recording) -> Self {
        Self {
            world: World::new(recording),
            marks: Marks::new(&recording.config.servers),
            used: None,
            span: Span::default(),
            spans: Vec::new(),
            held: HashMap::new(),
        }
    }

    /// Takes a step, unless it is a request.
    pub(crate) async fn step<'s>(&mut self, step: &'s Step) -> Option<&'s Request> {
        match step {
            Step::Refuse(servers) => self.world.refuse(servers),
            Step::Time(second) => {
                let was_anybody_in = self.world.states().contains(&State::In);
                self.world.at(*second).await;
                self.marks.set_time(*second);
                if !was_anybody_in {
                    let states = self.world.states();
                    self.used = states.iter().position(|&state| state == State::In);
                }
            }
            Step::Request(request) => return Some(request),
            Step::End(_) => unreachable!("no request is held"),
        }
        self.begin_span();
        None
    }

    /// Sends `request` where nginx sent it, and looks for each attempt where we would have.
    pub(crate) async fn follow(&mut self, request: &Request, at: &str) {
        let mut attempt = Attempt::first();
        for &there in &request.route {
            self.assert_alike(at);
            let picked = self.world.pick(request, &attempt);
            let here = picked.map(|pick| self.world.place(&pick));
            self.count(&[here], &[there]);
            let Some(there) = there else {
                assert_eq!(here, None, "{at}");
                return;
            };
            // Whom nginx could have chosen: not out, and a backup only where it chose one.
            let here = here.unwrap();
            assert_ne!(self.marks.states()[here], State::Out, "{at}");
            assert_eq!(
                self.world.is_backup(here),
                self.world.is_backup(there),
                "{at}"
            );
            let server = self.world.server(there);
            let pick = server.pick().unwrap();
            self.marks.chosen(there);
            let is_refused = self.world.attempt(pick).await;
            self.marks.ended(there, is_refused);
            attempt = attempt.next(server.id().clone());
        }
        self.assert_alike(at);
    }

    /// Sends `request` where our balancer sends it, and that of nginx where it went.
    pub(crate) async fn send(&mut self, request: &Request) -> Vec<Option<usize>> {
        let states = self.states();
        let route = self.world.send(request).await;
        self.count_as(states, &route, &request.route);
        for &place in request.route.iter().flatten() {
            self.marks.chosen(place);
            self.marks.ended(place, self.world.refuses(place));
        }
        route
    }

    /// Takes a step of a script in which requests last: each has its place where nginx sent it.
    pub(crate) fn hold(&mut self, step: &Step, at: &str) {
        let request = match step {
            Step::Request(request) => request,
            Step::End(id) => return drop(self.held.remove(id).unwrap()),
            _ => unreachable!("nobody fails"),
        };
        let [there] = request.route[..] else {
            unreachable!("nobody fails")
        };
        let have_room = |is_backup: bool| {
            let (world, mut servers) = (&self.world, self.world.servers());
            servers.any(|it| world.is_backup(it) == is_backup && world.server(it).has_room())
        };
        let expected = match (have_room(false), have_room(true)) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        };
        let picked = self.world.pick(request, &Attempt::first());
        let here = picked.map(|pick| self.world.place(&pick));
        let is_backup = |place: Option<usize>| place.map(|place| self.world.is_backup(place));
        assert_eq!(is_backup(there), expected, "{at}");
        assert_eq!(is_backup(here), expected, "{at}");
        // Were one full, there would be no place.
        let pick = there.map(|there| self.world.server(there).pick().unwrap());
        self.held.insert(request.id.clone(), pick);
    }

    pub(crate) fn spans(mut self) -> Vec<Span> {
        self.begin_span();
        self.spans
    }

    /// Whoever is out here is out there.
    fn assert_alike(&self, at: &str) {
        let (here, there) = self.states();
        for (server, states) in here.iter().zip(&there).enumerate() {
            let is_used = self.used == Some(server) && states == (&State::In, &State::OnTrial);
            assert!(
                states.0 == states.1 || is_used,
                "{at}, server {server}: {here:?}, nginx {there:?}"
            );
        }
    }

    fn states(&self) -> (Vec<State>, Vec<State>) {
        (self.world.states(), self.marks.states())
    }

    fn begin_span(&mut self) {
        self.spans.push(mem::take(&mut self.span));
    }

    fn count(&mut self, here: &[Option<usize>], there: &[Option<usize>]) {
        self.count_as(self.states(), here, there);
    }

    /// Counts attempts that were made while these were out.
    fn count_as(
        &mut self,
        states: (Vec<State>, Vec<State>),
        here: &[Option<usize>],
        there: &[Option<usize>],
    ) {
        if (&self.span.here.0, &self.span.there.0) != (&states.0, &states.1) {
            self.begin_span();
            let none = vec![0; states.0.len()];
            self.span.here = (states.0, none.clone());
            self.span.there = (states.1, none);
        }
        self.span.requests += 1;
        for &place in here.iter().flatten() {
            self.span.here.1[place] += 1;
        }
        for &place in there.iter().flatten() {
            self.span.there.1[place] += 1;
        }
    }
}

// === impl Span ===

impl Span {
    pub(crate) fn are_states_equal(&self) -> bool {
        self.here.0 == self.there.0
    }

    /// The most by which a server had more or less here than there.
    pub(crate) fn apart(&self) -> usize {
        let counts = self.here.1.iter().zip(&self.there.1);
        counts.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
    }
}
