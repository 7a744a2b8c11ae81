//! Two origins, blue and green, one upstream of them, and a proxy in front.

use std::{convert::Infallible, time::Duration};

use http::Request;
use http_body_util::Either;
use hyper::body::Incoming;
use tightrope::{
    balance::{Balance, Context, RoundRobin},
    proxy::{Forward, ForwardBody, ForwardConfig, respond},
    retry::{Replay, Retry, attempt},
    upstream::{Change, EndpointSpec, Failed, Group, Picked, TakeUnsent, Upstream},
};
use tightrope_test::{Client, Front, Origin};
use tower::{Service, ServiceExt, service_fn};

pub(crate) struct World {
    pub(crate) blue: Origin,
    pub(crate) green: Origin,
    pub(crate) upstream: Upstream,
    pub(crate) front: Front,
}

impl World {
    /// Blue has the traffic.
    pub(crate) async fn new() -> Self {
        let world = Self::shared().await;
        let change = Change::new().activate(group("blue"));
        world.upstream.apply(change).unwrap();
        world
    }

    /// Both have it.
    pub(crate) async fn shared() -> Self {
        let (blue, green) = (Origin::start("blue").await, Origin::start("green").await);
        let upstream = Upstream::new("app");
        let change = Change::new().add(spec(&blue)).add(spec(&green));
        upstream.apply(change).unwrap();
        let front = front(&upstream, Forward::new(ForwardConfig::new())).await;
        Self {
            blue,
            green,
            upstream,
            front,
        }
    }

    /// Which origin answers on a connection of its own.
    pub(crate) async fn ask(&self) -> String {
        let mut client = Client::connect(self.front.address()).await.unwrap();
        let answer = client.get("/").await.unwrap();
        assert_eq!(answer.status, 200);
        answer.origin().to_owned()
    }

    /// How many requests are in flight, by the records of the endpoints.
    pub(crate) fn in_flight(&self) -> usize {
        let snapshot = self.upstream.snapshot();
        let members = snapshot.members().iter();
        members.map(|e| e.record().in_flight()).sum()
    }
}

/// A proxy before `upstream`: round robin, three attempts, and what `inner` does with a pick.
pub(crate) async fn front<S>(upstream: &Upstream, inner: S) -> Front
where
    S: Service<Picked<Request<Replay<Incoming>>>, Response = http::Response<ForwardBody>>,
    S: Clone + Send + Sync + 'static,
    S::Error: Failed + TakeUnsent<Request<Replay<Incoming>>> + Send,
    S::Future: Send,
{
    let balance = Balance::new(upstream, RoundRobin::new(), inner);
    let stack = Retry::new(balance.with_context(|request: &Request<Replay<Incoming>>| {
        Context::new().with_attempt(attempt(request))
    }));
    let service = service_fn(move |request| {
        let stack = stack.clone();
        async move {
            Ok::<_, Infallible>(match stack.oneshot(request).await {
                Ok(response) => response.map(Either::Left),
                Err(error) => respond::response(&error).map(Either::Right),
            })
        }
    });
    Front::start(service).await
}

pub(crate) fn spec(origin: &Origin) -> EndpointSpec {
    let address = origin.address().to_string().parse().unwrap();
    EndpointSpec::new(address).with_group(group(origin.name()))
}

pub(crate) fn group(name: &str) -> Group {
    Group::new(name).unwrap()
}

/// Longer than anything in these tests takes on a busy machine; only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What `future` gives, unless it takes for ever.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}
