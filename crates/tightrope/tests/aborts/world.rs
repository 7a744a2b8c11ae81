//! A whole proxy over two endpoints, and what must be left of a request: nothing.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    iter,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::Either;
use hyper::body::Body;
use tightrope::{
    balance::{Balance, Context, Describe, Queue, RoundRobin},
    forwarded::{Forwarded, ForwardedLayer, Trust},
    health::{Observe, ObserveLayer},
    proxy::{Forward, ForwardBody, ForwardConfig, HttpClassify, Protocol, respond},
    retry::{Backoff, Budget, Hedge, Retry, RetryLayer, attempt},
    upstream::{Address, Change, EndpointSpec, Pick, Upstream},
};
use tokio::{runtime::Handle, time::sleep};
use tower::{Layer, Service, ServiceExt};

use super::{
    count::{Counted, Watchers},
    endpoint::{self, Scene},
    exchange::Exchange,
    http2,
    people::{Person, ask, talk},
    stage::{Fate, Stage},
};

type Inner = Counted<Observe<Forward, Watchers, HttpClassify>>;

type Stack = Forwarded<Retry<Balance<Inner, Attempts>>>;

pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) scene: Rc<Scene>,
    protocol: Protocol,
    upstream: Upstream,
    forward: Forward,
    stack: Stack,
    budget: Budget,
    watchers: Watchers,
    folder: PathBuf,
    /// How many requests the stack was called with.
    requests: Rc<Cell<u64>>,
}

/// Tells the balancer of attempts.
#[derive(Clone)]
pub(crate) struct Attempts;

/// What to give up, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abort {
    /// How often what asks is polled: the response future, then the body.
    pub(crate) asker: usize,
    /// How many pieces of the request come before its body fails.
    pub(crate) pieces: usize,
    /// How often the client behind a server is polled.
    pub(crate) client: usize,
    /// What of the endpoints happens before a connection of theirs dies.
    pub(crate) endpoint: Option<usize>,
}

/// What became of an exchange.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) asker: Rc<Fate>,
    pub(crate) client: Rc<Fate>,
    pub(crate) status: Rc<RefCell<Option<u16>>>,
}

const ENDPOINTS: usize = 2;

/// Longer than any script, and much less than any timeout of the proxy.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long endpoints are full: until after the pause before a retry.
const OCCUPIED: Duration = Duration::from_millis(6);

// === impl World ===

impl World {
    /// Of endpoints that speak `protocol`.
    pub(crate) fn new(protocol: Protocol) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tightrope-aborts-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let (mut stage, scene) = (Stage::default(), Rc::new(Scene::default()));
        let upstream = Upstream::new("aborts");
        let places = places(protocol);
        let all = NonZeroU32::new(ENDPOINTS as u32 * places.get());
        let mut change = Change::new().limit_in_flight(all);
        for number in 0..ENDPOINTS {
            let path = folder.join(number.to_string());
            let entrance = Rc::clone(&stage.entrance);
            let listen = match protocol {
                Protocol::Http1 => endpoint::listen,
                _ => http2::listen,
            };
            let part = listen((number, &path), Rc::clone(&scene), entrance);
            stage.enter(part, usize::MAX);
            let spec = EndpointSpec::new(Address::Unix(path.into()));
            change = change.add(spec.with_max_in_flight(places));
        }
        upstream.apply(change).unwrap();
        let watchers = Watchers::default();
        let forward = Forward::new(ForwardConfig::new().with_protocol(protocol));
        let observe = ObserveLayer::new(watchers.clone(), HttpClassify).layer(forward.clone());
        let queue = Queue::new(NonZeroUsize::new(8).unwrap(), Duration::from_secs(60));
        let balance = Balance::new(&upstream, RoundRobin::new(), Counted::new(observe))
            .with_queue(queue)
            .with_describe(Attempts);
        let millisecond = Duration::from_millis(1);
        // A retry for each request.
        let budget = Budget::new(100).unwrap().with_reserve(0).unwrap();
        let retry = RetryLayer::new()
            .with_budget(budget.clone())
            .with_backoff(
                Backoff::new(2 * millisecond, 4 * millisecond)
                    .unwrap()
                    .with_seed(1),
            )
            .with_hedge(Hedge::after(4 * millisecond));
        let stack = ForwardedLayer::new(Trust::nobody()).layer(retry.layer(balance));
        Self {
            stage,
            scene,
            protocol,
            upstream,
            forward,
            stack,
            budget,
            watchers,
            folder,
            requests: Rc::default(),
        }
    }

    /// Lets `exchange` begin, as `person` has it.
    pub(crate) fn begin(&mut self, exchange: &Exchange, person: Person, abort: Abort) -> Course {
        self.scene
            .scripts
            .borrow_mut()
            .extend(exchange.scripts.clone());
        self.scene.death.set(abort.endpoint);
        let picks = self.occupy(exchange.full);
        if !picks.is_empty() {
            let occupied = async move {
                sleep(OCCUPIED).await;
                for pick in picks {
                    super::stage::pause().await;
                    drop(pick);
                }
            };
            self.stage.enter(Box::pin(occupied), usize::MAX);
        }
        let requests = Rc::clone(&self.requests);
        let status = Rc::default();
        let (asker, client) = match person {
            Person::Caller => {
                let request = ask::request(exchange.request, abort.pieces);
                // Called at once, so that it can be dropped before it was polled.
                requests.set(requests.get() + 1);
                let response = self.stack.call(request);
                let part = ask::read(response, Rc::clone(&status));
                let asker = self.stage.enter(Box::pin(part), abort.asker);
                let nobody = Rc::new(Fate::default());
                nobody.is_over.set(true);
                (asker, nobody)
            }
            Person::Client => {
                let (near, far) = tokio::io::duplex(64);
                let stack = self.stack.clone();
                let served = talk::serve(far, answering(stack, requests));
                let asker = self.stage.enter(Box::pin(served), abort.asker);
                let part = talk::talk(near, exchange.request, Rc::clone(&status));
                (asker, self.stage.enter(Box::pin(part), abort.client))
            }
        };
        Course {
            asker,
            client,
            status,
        }
    }

    /// The places of this many endpoints, where they are not taken.
    fn occupy(&mut self, endpoints: usize) -> Vec<Pick> {
        let snapshot = self.upstream.snapshot();
        let members = snapshot.members().iter().take(endpoints);
        members
            .flat_map(|endpoint| {
                iter::repeat_with(|| endpoint.pick()).take(places(self.protocol).get() as usize)
            })
            .flatten()
            .collect()
    }

    /// How many attempts went to an endpoint.
    pub(crate) fn attempts(&self) -> u64 {
        self.balance().get_ref().all()
    }

    fn balance(&self) -> &Balance<Inner, Attempts> {
        self.stack.get_ref().get_ref()
    }

    /// Waits for the end of `courses`, and panics where anything stays. `what` they were is said then.
    pub(crate) async fn leaves_nothing(mut self, courses: &[Course], what: &dyn std::fmt::Debug) {
        let are_over = || {
            courses
                .iter()
                .all(|c| c.asker.is_over.get() && c.client.is_over.get())
        };
        if !self.stage.until(PATIENCE, are_over).await {
            panic!("{what:?} never ends: {:?}", self.state());
        }
        self.settles(what).await;
        // Every attempt but the first was paid for, unless the one before was not sent.
        let (requests, further) = (self.requests.get(), self.balance().get_ref().further());
        let left = self.budget.available();
        assert!(
            left + further >= requests && left <= requests,
            "{what:?}: {left} in the budget after {further} retries of {requests} requests",
        );

        // All places can be taken again.
        let places = ENDPOINTS * places(self.protocol).get() as usize;
        let answers: Vec<_> = (0..places)
            .map(|_| self.begin(&well(self.protocol), Person::Caller, Abort::NEVER))
            .collect();
        let are_over = || answers.iter().all(|c| c.asker.is_over.get());
        assert!(
            self.stage.until(PATIENCE, are_over).await,
            "{what:?}: no place"
        );
        for answer in answers {
            assert_eq!(*answer.status.borrow(), Some(200), "{what:?}");
        }
        self.settles(what).await;

        let (scene, folder) = (Rc::clone(&self.scene), self.folder.clone());
        let mut stage = std::mem::take(&mut self.stage);
        drop(self);
        let is_gone = || {
            let open = scene.new.get() + scene.busy.get() + scene.idle.get();
            open == 0 && Handle::current().metrics().num_alive_tasks() == 0
        };
        assert!(
            stage.until(PATIENCE, is_gone).await,
            "{what:?}: {scene:?} after the end"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    async fn settles(&mut self, what: &dyn std::fmt::Debug) {
        self.scene.death.set(None);
        self.scene.scripts.borrow_mut().clear();
        let mut stage = std::mem::take(&mut self.stage);
        if !stage.until(PATIENCE, || self.is_at_rest()).await {
            panic!("{what:?} leaves something: {}", self.state());
        }
        self.stage = stage;
    }

    fn is_at_rest(&self) -> bool {
        let snapshot = self.upstream.snapshot();
        let in_flight = snapshot.members().iter().map(|e| e.record().in_flight());
        let connections = snapshot
            .members()
            .iter()
            .map(|e| self.forward.connections(e));
        // One for each endpoint closes its idle connections, and one drives each of HTTP/2.
        let mut tasks = self.scene.rested.borrow().len();
        if self.protocol == Protocol::Http2 {
            tasks += self.scene.idle.get();
        }
        in_flight.sum::<usize>() == 0
            && self.upstream.in_flight() == 0
            && self.waiting() == 0
            && connections.map(|c| c.streams + c.waiting).sum::<usize>() == 0
            && self.watchers.count() == 0
            && self.scene.new.get() == 0
            && self.scene.busy.get() == 0
            && Handle::current().metrics().num_alive_tasks() <= tasks
    }

    fn waiting(&self) -> usize {
        self.balance().waiting()
    }

    fn state(&self) -> String {
        let snapshot = self.upstream.snapshot();
        let in_flight: Vec<_> = snapshot
            .members()
            .iter()
            .map(|e| e.record().in_flight())
            .collect();
        let connections = snapshot
            .members()
            .iter()
            .map(|e| self.forward.connections(e));
        format!(
            "{in_flight:?} in flight, {} places, {} waiting, {:?} observed, {} tasks, {:?}, {:?}",
            self.upstream.in_flight(),
            self.waiting(),
            self.watchers,
            Handle::current().metrics().num_alive_tasks(),
            self.scene,
            connections.collect::<Vec<_>>(),
        )
    }
}

/// How many requests at a time an endpoint takes.
const fn places(protocol: Protocol) -> NonZeroU32 {
    match protocol {
        Protocol::Http1 => NonZeroU32::MIN,
        // On one connection.
        _ => NonZeroU32::MIN.saturating_add(1),
    }
}

fn well(protocol: Protocol) -> Exchange {
    Exchange {
        name: "afterwards",
        protocol,
        request: super::exchange::Asks::Get,
        scripts: vec![],
        full: 0,
        comes_to: (200, 1),
    }
}

/// The stack as a server has it.
fn answering<B>(
    stack: Stack,
    requests: Rc<Cell<u64>>,
) -> impl Service<
    Request<B>,
    Response = Response<Either<ForwardBody, respond::Text>>,
    Error = Infallible,
    Future: 'static,
> + Clone
where
    B: Body<Data = bytes::Bytes, Error: Into<tightrope_test::BoxError>> + Send + Unpin + 'static,
{
    tower::service_fn(move |request: Request<B>| {
        let response = stack.clone().oneshot(request);
        requests.set(requests.get() + 1);
        async move {
            Ok(match response.await {
                Ok(response) => response.map(Either::Left),
                Err(error) => respond::response(&error).map(Either::Right),
            })
        }
    })
}

// === impl Abort ===

impl Abort {
    /// Nobody goes.
    pub(crate) const NEVER: Self = Self {
        asker: usize::MAX,
        pieces: usize::MAX,
        client: usize::MAX,
        endpoint: None,
    };
}

// === impl Attempts ===

impl<B> Describe<Request<B>> for Attempts {
    fn describe<'r>(&self, request: &'r Request<B>) -> Context<'r> {
        Context::new().with_attempt(attempt(request))
    }
}
