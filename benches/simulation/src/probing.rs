//! Probes, and the tasks that send them.

use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use tightrope::{
    balance::prequal::{Probe, ProbeFuture, Prober, Report},
    upstream::Endpoint,
};
use tokio::sync::oneshot;

use crate::{fleet::index, workload::ONE_WAY_NS};

/// The probers of all balancers, polled by the simulation, and their probes on the way.
#[derive(Debug, Default)]
pub(crate) struct Probing {
    tasks: RefCell<Vec<Task>>,
    sent: Arc<Sent>,
    on_way: VecDeque<(u64, Asked)>,
    answers: VecDeque<(u64, Answer)>,
}

/// Sends probes for a balancer.
#[derive(Debug)]
pub(crate) struct Line {
    task: usize,
    sent: Arc<Sent>,
}

/// A probe on its way to a server.
#[derive(Debug)]
pub(crate) struct Asked {
    task: usize,
    pub(crate) server: usize,
    reply: oneshot::Sender<Report>,
}

#[derive(Debug)]
struct Answer {
    asked: Asked,
    report: Report,
}

#[derive(Debug)]
struct Task {
    prober: Prober,
    woken: Arc<Woken>,
}

/// The probes that were sent since somebody last looked.
#[derive(Debug, Default)]
struct Sent(Mutex<Vec<Asked>>);

#[derive(Debug)]
struct Woken(AtomicBool);

// === impl Probing ===

impl Probing {
    /// The line of the next balancer that has one.
    pub(crate) fn line(&self) -> Line {
        Line {
            task: self.tasks.borrow().len(),
            sent: Arc::clone(&self.sent),
        }
    }

    /// Runs the prober of the line that was made last.
    pub(crate) fn spawn(&self, prober: Prober) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        self.tasks.borrow_mut().push(Task { prober, woken });
    }

    pub(crate) fn is_used(&self) -> bool {
        !self.tasks.borrow().is_empty()
    }

    /// When the next probe reaches its server.
    pub(crate) fn next_probe_ns(&self) -> u64 {
        self.on_way.front().map_or(u64::MAX, |next| next.0)
    }

    /// When the next answer is back.
    pub(crate) fn next_answer_ns(&self) -> u64 {
        self.answers.front().map_or(u64::MAX, |next| next.0)
    }

    pub(crate) fn next_probe(&mut self) -> Option<Asked> {
        self.on_way.pop_front().map(|(_, asked)| asked)
    }

    /// The server says this.
    pub(crate) fn report(&mut self, asked: Asked, report: Report, now_ns: u64) {
        let answer = Answer { asked, report };
        self.answers.push_back((now_ns + ONE_WAY_NS, answer));
    }

    /// What is to be back by now is back.
    pub(crate) fn answer(&mut self, now_ns: u64) {
        while self.next_answer_ns() <= now_ns {
            let Some((_, Answer { asked, report })) = self.answers.pop_front() else {
                return;
            };
            // A prober that does not wait for it any more does not mind.
            let _is_awaited = asked.reply.send(report);
            // Those of one request are back together.
            let next = self.answers.front();
            if next.is_none_or(|(at_ns, next)| *at_ns > now_ns || next.asked.task != asked.task) {
                self.run(asked.task, now_ns);
            }
        }
    }

    /// Polls the task of a balancer for as long as it has something to do.
    pub(crate) fn run(&mut self, task: usize, now_ns: u64) {
        if let Some(Task { prober, woken }) = self.tasks.get_mut().get_mut(task) {
            let waker = Waker::from(Arc::clone(woken));
            while woken.0.swap(false, Ordering::Relaxed) {
                let ended = Pin::new(&mut *prober).poll(&mut Context::from_waker(&waker));
                assert!(ended.is_pending(), "a prober ended before its balancer");
            }
            let mut sent = self.sent.0.lock().unwrap_or_else(PoisonError::into_inner);
            let on_way = sent.drain(..).map(|asked| (now_ns + ONE_WAY_NS, asked));
            self.on_way.extend(on_way);
        }
    }
}

// === impl Line ===

impl Probe for Line {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            task: self.task,
            server: index(endpoint),
            reply,
        };
        let mut sent = self.sent.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push(asked);
        Box::pin(async { Ok(answer.await?) })
    }
}

// === impl Woken ===

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
