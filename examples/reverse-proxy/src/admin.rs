//! Answers questions and takes orders, in JSON.

use std::{
    collections::HashMap,
    fmt::Display,
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::{Path, Query, Request, State as Shared},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tightrope::{
    health::probe,
    rollout::{BlueGreen, Gate, Rollback, RolloutError, Step, StepReport},
    upstream::{Change, Endpoint, EndpointId, Group, Weight},
};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    config,
    proxy::Proxy,
    site::Site,
    state::{State, UpstreamState},
};

/// What serves the administration. Dropping it closes the address.
#[derive(Debug)]
pub(crate) struct AdminServer {
    address: SocketAddr,
    /// The same that the task accepts on.
    socket: OwnedFd,
    admin: Arc<Admin>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Admin {
    proxy: Weak<Proxy>,
    token: ArcSwap<Option<String>>,
    /// The newest rollout of each upstream.
    rollouts: Mutex<HashMap<String, Rollback>>,
}

/// Why an order was not carried out.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    error: String,
}

type Answer<T> = Result<Json<T>, Refusal>;

/// What can be asked and ordered.
const HELP: &str = "\
GET  /state
GET  /upstreams/NAME
POST /upstreams/NAME/switch?group=G[&wait=drained]
POST /upstreams/NAME/rollback
POST /upstreams/NAME/activate_all
PUT  /upstreams/NAME/endpoints                  a JSON list: [{\"address\":\"127.0.0.1:8081\",\"weight\":1,\"group\":\"blue\"}]
POST /upstreams/NAME/endpoints/ID/weight?to=N
POST /upstreams/NAME/endpoints/ID/drain[?wait=SECONDS]
POST /upstreams/NAME/endpoints/ID/undrain
POST /reload
";

// === impl AdminServer ===

impl AdminServer {
    pub(crate) fn spawn(
        listener: std::net::TcpListener,
        token: Option<String>,
        proxy: &Arc<Proxy>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let socket = listener.as_fd().try_clone_to_owned()?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let admin = Arc::new(Admin {
            proxy: Arc::downgrade(proxy),
            token: ArcSwap::from_pointee(token),
            rollouts: Mutex::default(),
        });
        let router = Router::new()
            .route("/", get(async || HELP))
            .route("/state", get(state))
            .route("/reload", post(reload))
            .route("/upstreams/{name}", get(upstream))
            .route("/upstreams/{name}/switch", post(switch))
            .route("/upstreams/{name}/rollback", post(rollback))
            .route("/upstreams/{name}/activate_all", post(activate_all))
            .route("/upstreams/{name}/endpoints", put(replace))
            .route("/upstreams/{name}/endpoints/{id}/weight", post(set_weight))
            .route("/upstreams/{name}/endpoints/{id}/drain", post(drain))
            .route("/upstreams/{name}/endpoints/{id}/undrain", post(undrain))
            .layer(from_fn_with_state(Arc::clone(&admin), guard))
            .with_state(Arc::clone(&admin));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the administration ended");
            }
        });
        Ok(Self {
            address,
            socket,
            admin,
            _task: AbortOnDropHandle::new(task),
        })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its socket, for another process.
    pub(crate) fn socket(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone()
    }

    pub(crate) fn set_token(&self, token: Option<String>) {
        self.admin.token.store(Arc::new(token));
    }
}

/// Lets in who has the token. A page in a browser that was lured into asking is kept out: browsers
/// say where such a request comes from, and no other client does.
async fn guard(Shared(admin): Shared<Arc<Admin>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) {
        return refuse(StatusCode::FORBIDDEN, "not for pages in browsers").into_response();
    }
    if let Some(token) = &**admin.token.load() {
        let sent = headers
            .get(header::AUTHORIZATION)
            .map(http::HeaderValue::as_bytes);
        let sent = sent.and_then(|value| value.strip_prefix(b"Bearer "));
        if !sent.is_some_and(|sent| same(sent, token.as_bytes())) {
            return refuse(StatusCode::UNAUTHORIZED, "the token is missing or wrong")
                .into_response();
        }
    }
    next.run(request).await
}

/// Compares in a time that does not tell where they differ.
fn same(sent: &[u8], token: &[u8]) -> bool {
    let differ = sent
        .iter()
        .zip(token)
        .fold(0, |differ, (a, b)| differ | (a ^ b));
    sent.len() == token.len() && differ == 0
}

// === the orders ===

async fn state(Shared(admin): Shared<Arc<Admin>>) -> Answer<State> {
    Ok(Json(State::of(&*admin.proxy()?)))
}

async fn upstream(
    Shared(admin): Shared<Arc<Admin>>,
    Path(name): Path<String>,
) -> Answer<UpstreamState> {
    Ok(Json(UpstreamState::of(&*admin.site(&name)?)))
}

async fn reload(Shared(admin): Shared<Arc<Admin>>) -> Answer<State> {
    let proxy = admin.proxy()?;
    proxy
        .reload()
        .await
        .map_err(|error| refuse(StatusCode::BAD_REQUEST, &error))?;
    Ok(Json(State::of(&proxy)))
}

/// What became of a change.
#[derive(Debug, Serialize)]
struct Changed {
    generation: u64,
    /// Whether nothing was left in flight, where that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    drained: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightQuery {
    to: u32,
}

async fn set_weight(
    Shared(admin): Shared<Arc<Admin>>,
    Path((name, id)): Path<(String, String)>,
    Query(query): Query<WeightQuery>,
) -> Answer<Changed> {
    let weight = Weight::new(query.to).map_err(|error| refuse(StatusCode::BAD_REQUEST, &error))?;
    let change = Change::new().set_weight(endpoint_id(&id)?, weight);
    admin.change(&name, change, None).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DrainQuery {
    wait: Option<u64>,
}

async fn drain(
    Shared(admin): Shared<Arc<Admin>>,
    Path((name, id)): Path<(String, String)>,
    Query(query): Query<DrainQuery>,
) -> Answer<Changed> {
    let change = Change::new().drain(endpoint_id(&id)?, "by hand");
    let wait = query.wait.map(Duration::from_secs);
    admin.change(&name, change, wait).await
}

async fn undrain(
    Shared(admin): Shared<Arc<Admin>>,
    Path((name, id)): Path<(String, String)>,
) -> Answer<Changed> {
    let change = Change::new().undrain(endpoint_id(&id)?, "by hand");
    admin.change(&name, change, None).await
}

async fn activate_all(
    Shared(admin): Shared<Arc<Admin>>,
    Path(name): Path<String>,
) -> Answer<Changed> {
    admin
        .change(&name, Change::new().activate_all(), None)
        .await
}

async fn replace(
    Shared(admin): Shared<Arc<Admin>>,
    Path(name): Path<String>,
    endpoints: Result<Json<Vec<config::Endpoint>>, axum::extract::rejection::JsonRejection>,
) -> Answer<Changed> {
    let Json(endpoints) =
        endpoints.map_err(|error| refuse(StatusCode::BAD_REQUEST, &error.body_text()))?;
    let specs = endpoints.iter().map(config::Endpoint::spec);
    admin
        .change(&name, Change::new().replace(specs), None)
        .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchQuery {
    group: String,
    wait: Option<Wait>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wait {
    Drained,
}

/// What became of a switch.
#[derive(Debug, Serialize)]
struct Switched {
    active_group: Option<String>,
    generation: u64,
    /// Each step that was taken so far.
    steps: Vec<String>,
}

/// Answers when the group has the traffic and every pick follows, or with `wait=drained` when the
/// old one is empty as well. The rollout goes on either way.
async fn switch(
    Shared(admin): Shared<Arc<Admin>>,
    Path(name): Path<String>,
    Query(query): Query<SwitchQuery>,
) -> Answer<Switched> {
    let site = admin.site(&name)?;
    let group =
        Group::new(&query.group).map_err(|error| refuse(StatusCode::BAD_REQUEST, &error))?;
    let settings = &site.config.rollout;
    let plan = BlueGreen::new(&site.upstream, group)
        .with_gate(gate(&site))
        .with_drain_deadline(settings.drain);
    let rollout = match plan.start() {
        Ok(rollout) => rollout,
        // Asked twice: it is as it was asked to be.
        Err(RolloutError::AlreadyActive { .. }) => return Ok(Json(Switched::of(&site, &[]))),
        Err(error) => return Err(refuse(StatusCode::CONFLICT, &error)),
    };
    let (switched, is_switched) = oneshot::channel();
    let mut switched = Some(switched);
    let rollback = rollout.rollback();
    let rollout = rollout.with_progress(move |report| {
        tracing::info!(took = ?report.took, "{:?}", report.step);
        if matches!(report.step, Step::Switched { .. })
            && let Some(switched) = switched.take()
        {
            // An error means that nobody waits any more.
            let _gone = switched.send(report.clone());
        }
    });
    lock(&admin.rollouts).insert(name, rollback);
    let end = tokio::spawn(rollout.run());
    if query.wait.is_none()
        && let Ok(step) = is_switched.await
    {
        return Ok(Json(Switched::of(&site, &[step])));
    }
    match end.await {
        Ok(Ok(report)) => Ok(Json(Switched::of(&site, &report.steps))),
        Ok(Err(error)) => Err(refuse(StatusCode::CONFLICT, &error)),
        Err(error) => Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, &error)),
    }
}

/// What the group must show before it gets the traffic: its verdict, and a fresh probe.
fn gate(site: &Site) -> Gate {
    let settings = &site.config.rollout;
    let gate = Gate::new()
        .with_tries(settings.tries)
        .with_interval(settings.interval);
    let (Some(probe), Some(health)) = (&site.probe, &site.config.health) else {
        return gate;
    };
    let (probe, timeout) = (Arc::clone(probe), health.timeout);
    gate.with_check(move |endpoint: Arc<Endpoint>| {
        let probe = Arc::clone(&probe);
        async move {
            let checked = probe::check(&*probe, &endpoint, timeout).await;
            checked.map_err(|error| error.reason())
        }
    })
}

/// Gives the traffic back to whom the newest switch took it from.
async fn rollback(Shared(admin): Shared<Arc<Admin>>, Path(name): Path<String>) -> Answer<Switched> {
    let site = admin.site(&name)?;
    let rollback = lock(&admin.rollouts).get(&name).cloned();
    let rollback =
        rollback.ok_or_else(|| refuse(StatusCode::CONFLICT, &"nothing was switched yet"))?;
    let update = rollback
        .now("by hand")
        .map_err(|error| refuse(StatusCode::CONFLICT, &error))?;
    update.applied().await;
    Ok(Json(Switched::of(&site, &[])))
}

// === impl Admin ===

impl Admin {
    fn proxy(&self) -> Result<Arc<Proxy>, Refusal> {
        self.proxy
            .upgrade()
            .ok_or_else(|| refuse(StatusCode::SERVICE_UNAVAILABLE, &"the proxy is stopping"))
    }

    fn site(&self, name: &str) -> Result<Arc<Site>, Refusal> {
        let site = self.proxy()?.sites().get(name).map(Arc::clone);
        site.ok_or_else(|| {
            refuse(
                StatusCode::NOT_FOUND,
                &format!("there is no upstream `{name}`"),
            )
        })
    }

    async fn change(&self, name: &str, change: Change, drain: Option<Duration>) -> Answer<Changed> {
        let proxy = self.proxy()?;
        let update = {
            let _no_reload = proxy.running().lock().await;
            let site = self.site(name)?;
            site.upstream
                .apply(change)
                .map_err(|error| refuse(StatusCode::CONFLICT, &error))?
        };
        update.applied().await;
        let drained = match drain {
            Some(deadline) => Some(update.drained(deadline).await.is_complete()),
            None => None,
        };
        Ok(Json(Changed {
            generation: update.generation(),
            drained,
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn endpoint_id(text: &str) -> Result<EndpointId, Refusal> {
    EndpointId::new(text).map_err(|error| refuse(StatusCode::BAD_REQUEST, &error))
}

// === impl Switched ===

impl Switched {
    fn of(site: &Site, steps: &[StepReport]) -> Self {
        let snapshot = site.upstream.snapshot();
        Self {
            active_group: snapshot.active_group().map(ToString::to_string),
            generation: snapshot.generation(),
            steps: steps
                .iter()
                .map(|report| format!("{:?} in {:?}", report.step, report.took))
                .collect(),
        }
    }
}

// === impl Refusal ===

fn refuse(status: StatusCode, error: &(impl Display + ?Sized)) -> Refusal {
    Refusal {
        status,
        error: error.to_string(),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.error });
        (self.status, Json(body)).into_response()
    }
}
