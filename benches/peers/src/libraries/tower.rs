//! Calls through tower's balancer: the less loaded of two.

use std::{
    convert::Infallible,
    future::{Ready, poll_fn, ready},
    hint::black_box,
    mem,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use tokio::runtime::{self, Runtime};
use tower::{
    BoxError, Service,
    balance::p2c,
    buffer::Buffer,
    discover::Change,
    load::{CompleteOnResponse, PeakEwmaDiscover, PendingRequestsDiscover},
};

use super::now;
use crate::{Case, Picks, What, Writer};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "call/tower",
        make: |count| Box::new(Balanced::new(count, pending)),
    },
    Case {
        name: "call_shared/tower",
        make: |count| Box::new(Buffered::new(count)),
    },
    Case {
        name: "two_draws/tower",
        make: |count| Box::new(Balanced::new(count, pending)),
    },
    Case {
        name: "peak_ewma_2/tower",
        make: |count| Box::new(Balanced::new(count, peak)),
    },
];

type Pending = p2c::Balance<PendingRequestsDiscover<Feed>, ()>;
type Peak = p2c::Balance<PeakEwmaDiscover<Feed>, ()>;

/// Calls a balancer.
struct Balanced<S> {
    count: u32,
    make: fn(Feed) -> S,
    held: Held<S>,
}

enum Held<S> {
    Alone(S),
    Shared(Arc<Mutex<S>>),
    Moving,
}

/// Calls a balancer behind a buffer, from a task on the same thread as the buffer's.
struct Buffered {
    runtime: Runtime,
    service: Buffer<(), <Pending as Service<()>>::Future>,
}

/// The services to balance over, and what changes of them.
struct Feed {
    first: Range<u32>,
    changes: Option<mpsc::Receiver<Change<u32, Nothing>>>,
}

/// Answers at once.
#[derive(Clone)]
struct Nothing;

struct Changes {
    middle: u32,
    what: What,
    next: Option<Change<u32, Nothing>>,
    changes: mpsc::Sender<Change<u32, Nothing>>,
}

fn pending(feed: Feed) -> Pending {
    p2c::Balance::new(PendingRequestsDiscover::new::<()>(
        feed,
        CompleteOnResponse::default(),
    ))
}

/// As a new endpoint is assumed to be by linkerd, and with the decay that is default in tightrope.
fn peak(feed: Feed) -> Peak {
    let (rtt, decay) = (Duration::from_millis(30), Duration::from_secs(10));
    p2c::Balance::new(PeakEwmaDiscover::new::<()>(
        feed,
        rtt,
        decay,
        CompleteOnResponse::default(),
    ))
}

fn call<S: Service<()>>(service: &mut S, context: &mut Context<'_>) {
    let Poll::Ready(Ok(())) = service.poll_ready(context) else {
        unreachable!("it is always ready");
    };
    let Ok(answer) = now(service.call(())) else {
        unreachable!("it never fails");
    };
    drop(black_box(answer));
}

// === impl Balanced ===

impl<S: Service<()> + Send + 'static> Balanced<S> {
    fn new(count: u32, make: fn(Feed) -> S) -> Self {
        let mut service = make(Feed::new(count, None));
        // Services join at the first call.
        call(&mut service, &mut Context::from_waker(Waker::noop()));
        Self {
            count,
            make,
            held: Held::Alone(service),
        }
    }
}

impl<S: Service<()> + Send + 'static> Picks for Balanced<S> {
    fn make(&mut self, picks: u32) {
        let mut context = Context::from_waker(Waker::noop());
        match &mut self.held {
            Held::Alone(service) => (0..picks).for_each(|_| call(service, &mut context)),
            Held::Shared(service) => {
                (0..picks).for_each(|_| call(&mut *service.lock().unwrap(), &mut context));
            }
            Held::Moving => unreachable!("it moves while it is shared only"),
        }
    }

    fn share(&mut self) -> Option<Box<dyn Picks>> {
        let shared = match mem::replace(&mut self.held, Held::Moving) {
            Held::Alone(service) => Arc::new(Mutex::new(service)),
            Held::Shared(service) => service,
            Held::Moving => return None,
        };
        self.held = Held::Shared(Arc::clone(&shared));
        Some(Box::new(Self {
            count: self.count,
            make: self.make,
            held: Held::Shared(shared),
        }))
    }

    fn writer(&mut self, what: What) -> Option<Box<dyn Writer>> {
        let (sender, receiver) = mpsc::channel();
        self.held = Held::Alone((self.make)(Feed::new(self.count, Some(receiver))));
        self.make(1);
        Some(Box::new(Changes {
            middle: self.count / 2,
            what,
            next: None,
            changes: sender,
        }))
    }
}

// === impl Buffered ===

impl Buffered {
    fn new(count: u32) -> Self {
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let service =
            runtime.block_on(async { Buffer::new(pending(Feed::new(count, None)), 1024) });
        let mut buffered = Self { runtime, service };
        buffered.make(1);
        buffered
    }
}

impl Picks for Buffered {
    fn make(&mut self, picks: u32) {
        let service = &mut self.service;
        let calls = async {
            for _ in 0..picks {
                poll_fn(|context| service.poll_ready(context)).await?;
                service.call(()).await?;
            }
            Ok::<_, BoxError>(())
        };
        self.runtime.block_on(calls).unwrap();
    }
}

// === impl Feed ===

impl Feed {
    const fn new(count: u32, changes: Option<mpsc::Receiver<Change<u32, Nothing>>>) -> Self {
        Self {
            first: 0..count,
            changes,
        }
    }
}

impl Stream for Feed {
    type Item = Result<Change<u32, Nothing>, Infallible>;

    /// Wakes nobody: it is asked again at every call.
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(n) = self.first.next() {
            return Poll::Ready(Some(Ok(Change::Insert(n, Nothing))));
        }
        match &self.changes {
            None => Poll::Ready(None),
            Some(changes) => match changes.try_recv() {
                Ok(change) => Poll::Ready(Some(Ok(change))),
                Err(_) => Poll::Pending,
            },
        }
    }
}

// === impl Nothing ===

impl Service<()> for Nothing {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

// === impl Changes ===

impl Writer for Changes {
    fn prepare(&mut self, n: u32) {
        self.next = Some(match self.what {
            What::Health if n.is_multiple_of(2) => Change::Remove(self.middle),
            What::Health | What::Weight => Change::Insert(self.middle, Nothing),
        });
    }

    fn publish(&mut self) {
        if let Some(change) = self.next.take() {
            // An error means that nobody picks any more.
            let _gone = self.changes.send(change);
        }
    }
}
