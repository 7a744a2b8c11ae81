//! The running whole, and how a configuration becomes it.

use std::{
    collections::{BTreeMap, HashMap},
    io, iter,
    net::SocketAddr,
    num::NonZeroU32,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tightrope::{
    proxy::{Forward, ForwardConfig, MinRate},
    upstream::Change,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;
use tower::Layer;

use crate::{
    Shared,
    access_log::AccessLog,
    admin::AdminServer,
    config::{self, Config, ConfigError, Connections, HostHeader, TlsFiles},
    error_log::ErrorLog,
    frontend::{self, Router},
    listen,
    restart::Inherited,
    server::{Server, Settings},
    site::Site,
    workers::Workers,
};

/// Everything that runs.
pub(crate) struct Proxy {
    /// Where the configuration came from; `None` for flags.
    path: Option<PathBuf>,
    sites: ArcSwap<Sites>,
    running: Mutex<Running>,
    connections: TaskTracker,
    workers: Workers,
}

/// The upstreams, by name.
pub(crate) type Sites = BTreeMap<String, Arc<Site>>;

/// What only a change of the configuration changes. Whoever changes an upstream holds the lock as
/// well, so that a configuration that was checked against it can be applied.
pub(crate) struct Running {
    config: Config,
    /// One for each worker, with connections of its own.
    forwards: HashMap<Way, Vec<Forward>>,
    /// That of each upstream.
    ways: HashMap<String, Way>,
    servers: HashMap<SocketAddr, Server>,
    admin: Option<AdminServer>,
}

/// What tells one `Forward` from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Way {
    /// The `Host` that endpoints see.
    host: HostHeader,
    tls: Option<TlsFiles>,
    connections: Connections,
}

// === impl Proxy ===

impl Proxy {
    pub(crate) async fn start(
        config: Config,
        path: Option<PathBuf>,
        inherited: Inherited,
        workers: Workers,
    ) -> Result<Shared, ConfigError> {
        let proxy = Arc::new(Self {
            path,
            sites: ArcSwap::default(),
            running: Mutex::new(Running {
                config: Config::default(),
                forwards: HashMap::new(),
                ways: HashMap::new(),
                servers: HashMap::new(),
                admin: None,
            }),
            connections: TaskTracker::new(),
            workers,
        });
        proxy.apply(config, inherited).await?;
        Ok(proxy)
    }

    /// The upstreams.
    pub(crate) fn sites(&self) -> Arc<Sites> {
        self.sites.load_full()
    }

    /// How many tasks the workers have.
    pub(crate) fn tasks(&self) -> usize {
        self.workers.tasks()
    }

    /// Held by whoever changes an upstream.
    pub(crate) const fn running(&self) -> &Mutex<Running> {
        &self.running
    }

    /// Says on the standard error where it listens.
    pub(crate) async fn announce(&self) {
        let running = self.running.lock().await;
        for server in running.servers.values() {
            let (scheme, address) = (server.scheme(), server.address());
            tracing::info!("accepting requests on {scheme}://{address}");
        }
        if let Some(admin) = &running.admin {
            tracing::info!("administration on http://{}", admin.address());
        }
    }

    /// Reads the file again and applies it, or changes nothing.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<(), ConfigError> {
        match &self.path {
            Some(path) => self.apply(Config::read(path)?, Inherited::default()).await,
            None => Err(ConfigError("there is no file to read again".to_owned())),
        }
    }

    /// Makes `config` true. Everything that can fail comes first.
    async fn apply(
        self: &Arc<Self>,
        config: Config,
        mut inherited: Inherited,
    ) -> Result<(), ConfigError> {
        let mut running = self.running.lock().await;
        let old = self.sites();
        for upstream in &config.upstreams {
            if let Some(site) = old.get(&upstream.name) {
                site.check(upstream).map_err(|error| {
                    ConfigError(format!("upstream `{}`: {error}", upstream.name))
                })?;
            }
        }
        let log = AccessLog::open(&config.access_log)
            .await
            .map_err(|error| ConfigError(format!("access_log: {error}")))?;
        let error_log = ErrorLog::open(&config.error_log)
            .map_err(|error| ConfigError(format!("error_log: {error}")))?;
        let frontend = frontend::layer(&config.forwarded, config.limits.underscores.into())?;
        let (mut listeners, mut acceptors) = (Vec::new(), HashMap::new());
        for listener in &config.listeners {
            let address = listener.address;
            let acceptor = config::acceptor(&listener.tls);
            let acceptor =
                acceptor.map_err(|error| ConfigError(format!("listener `{address}`: {error}")))?;
            acceptors.insert(address, acceptor);
            if !running.servers.contains_key(&address) {
                let mut sockets = inherited.take(address);
                if sockets.is_empty() {
                    let bound = listen::several(address, self.workers.count()).await;
                    sockets = bound.map_err(|error| unbound("listener", address, &error))?;
                }
                listeners.push((listener, sockets));
            }
        }
        let admin = match &config.admin {
            Some(admin) if running.config.admin.as_ref() != Some(admin) => {
                let kept = running.admin.as_ref().map(AdminServer::address) == Some(admin.address);
                match kept {
                    // The same address with another token.
                    true => None,
                    false => Some(match inherited.take(admin.address).pop() {
                        Some(socket) => socket,
                        None => {
                            let bound = listen::one(admin.address).await;
                            bound.map_err(|error| unbound("admin", admin.address, &error))?
                        }
                    }),
                }
            }
            _ => None,
        };

        let same_forwards =
            running.config.timeouts == config.timeouts && running.config.limits == config.limits;
        let (mut forwards, mut ways) = (HashMap::new(), HashMap::new());
        for upstream in &config.upstreams {
            let name = &upstream.name;
            let refused = |error| ConfigError(format!("upstream `{name}`: {error}"));
            let way = Way::of(upstream).map_err(refused)?;
            if !forwards.contains_key(&way) {
                let old = running.forwards.get(&way).filter(|_| same_forwards);
                let each = match old {
                    Some(old) => old.clone(),
                    None => {
                        let count = self.workers.count();
                        let forward = way.config(forward_config(&config), count);
                        let workers = iter::repeat_n(forward.map_err(refused)?, count);
                        workers.map(Forward::new).collect()
                    }
                };
                forwards.insert(way.clone(), each);
            }
            ways.insert(name.clone(), way);
        }
        let mut sites = Sites::new();
        for upstream in &config.upstreams {
            let name = &upstream.name;
            let old = old.get(name);
            let same_way = same_forwards && running.ways.get(name) == ways.get(name);
            let site = match old {
                Some(old) if same_way && old.config == *upstream => Arc::clone(old),
                _ => Arc::new(Site::start(
                    upstream.clone(),
                    old.map(AsRef::as_ref),
                    &forwards[&ways[name]],
                    &self.workers,
                )?),
            };
            sites.insert(upstream.name.clone(), site);
        }
        let mut routes = Vec::new();
        for worker in 0..self.workers.count() {
            let site = |name: &str| sites.get(name).map(Arc::clone);
            routes.push(Arc::new(frontend::routes(&config.routes, worker, site)?));
        }
        let settings = |listener: &config::Listener, worker: usize| {
            let site = listener.upstream.as_ref();
            let target = match site.and_then(|name| sites.get(name)) {
                Some(site) => Router::site(Arc::clone(site), worker),
                None => Router::routes(Arc::clone(&routes[worker])),
            };
            let tls = acceptors.get(&listener.address).cloned().flatten();
            Settings::new(frontend.layer(target), log.clone(), &config, listener, tls)
        };
        for listener in &config.listeners {
            if let Some(server) = running.servers.get(&listener.address) {
                server.set(|worker| settings(listener, worker));
            }
        }
        for (listener, sockets) in listeners {
            let address = listener.address;
            let settings = |worker| settings(listener, worker);
            let (workers, connections) = (&self.workers, &self.connections);
            let server = Server::spawn(sockets, settings, workers, connections)
                .map_err(|error| unbound("listener", address, &error))?;
            running.servers.insert(address, server);
        }
        let wanted = |address: &SocketAddr| config.listeners.iter().any(|l| l.address == *address);
        running.servers.retain(|address, _| wanted(address));
        self.sites.store(Arc::new(sites));
        match (&config.admin, admin) {
            (Some(admin), Some(socket)) => {
                let server = AdminServer::spawn(socket, admin.token.clone(), self)
                    .map_err(|error| unbound("admin", admin.address, &error))?;
                running.admin = Some(server);
            }
            (Some(admin), None) => {
                if let Some(server) = &running.admin {
                    server.set_token(admin.token.clone());
                }
            }
            (None, _) => running.admin = None,
        }
        running.forwards = forwards;
        running.ways = ways;
        running.config = config;
        error_log.install();
        Ok(())
    }

    /// All sockets that it listens on, for another process.
    pub(crate) async fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        let running = self.running.lock().await;
        let servers = running.servers.values().flat_map(Server::sockets);
        let admin = running.admin.iter().map(AdminServer::socket);
        servers.chain(admin).collect()
    }

    /// Accepts no more, lets requests and tunnels end until the deadline, then drops the rest.
    pub(crate) async fn stop(&self) {
        let mut running = self.running.lock().await;
        let patience = running.config.timeouts.shutdown;
        let until = Instant::now() + patience;
        tracing::info!("stopping; requests have {patience:?} to end");
        running.servers.clear();
        running.admin = None;
        self.connections.close();
        let _late = timeout_at(until, self.connections.wait()).await;
        // Tunnels outlive their connections; their picks tell when they end.
        for site in self.sites().values() {
            if let Ok(update) = site.upstream.apply(Change::new().replace([])) {
                let left = until.saturating_duration_since(Instant::now());
                let report = update.drained(left).await;
                for (endpoint, count) in report.remaining {
                    tracing::warn!(%endpoint, count, "requests did not end in time");
                }
            }
        }
    }
}

// === impl Way ===

impl Way {
    /// That of `upstream`; reads the files that it names.
    fn of(upstream: &config::Upstream) -> Result<Self, ConfigError> {
        let tls = upstream.tls.as_ref().map(config::UpstreamTls::read);
        Ok(Self {
            host: upstream.host_header.clone(),
            tls: tls.transpose()?,
            connections: upstream.connections.clone(),
        })
    }

    /// How it is forwarded by each of so many workers, as `config` says of the rest.
    fn config(&self, config: ForwardConfig, workers: usize) -> Result<ForwardConfig, ConfigError> {
        let policy = self.host.policy();
        let policy = policy.map_err(|error| ConfigError(format!("host_header: {error}")))?;
        let config = self.connections.of(config.with_host(policy), workers);
        Ok(match &self.tls {
            Some(tls) => config.with_tls(tls.client()?),
            None => config,
        })
    }
}

fn unbound(what: &str, address: SocketAddr, error: &io::Error) -> ConfigError {
    ConfigError(format!("{what} `{address}`: {error}"))
}

fn forward_config(
    Config {
        timeouts, limits, ..
    }: &Config,
) -> ForwardConfig {
    ForwardConfig::new()
        .with_underscores(limits.underscores.into())
        .with_connect_timeout(timeouts.connect)
        .with_head_timeout(timeouts.response_head)
        .with_body_idle_timeout(timeouts.response_body)
        .with_request_body_idle_timeout(timeouts.request_body)
        .with_min_request_rate(min_rate(limits.request_rate, timeouts.request_body))
        .with_min_response_rate(min_rate(limits.response_rate, timeouts.response_body))
        .with_pool_idle_timeout(timeouts.pool_idle)
}

/// As patient as with a single pause.
fn min_rate(rate: Option<NonZeroU32>, patience: Duration) -> Option<MinRate> {
    Some(MinRate::new(rate?).with_patience(patience))
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
