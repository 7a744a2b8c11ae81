//! An HTTP/1.1 origin on loopback whose behaviour each request chooses by its path.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};

use self::{script::Script, state::State};

mod body;
mod script;
mod state;

/// An HTTP/1.1 server on a port of loopback, for as long as it lives.
///
/// What it does is up to each request:
///
/// | path | answer |
/// | --- | --- |
/// | `/` | 200 with the name of the origin |
/// | `/slow?ms=N` | the same after N milliseconds |
/// | `/long?ms=N` | 200 with ten pieces of body over N milliseconds |
/// | `/gate` | 200 with the name once [`open_gate`](Self::open_gate) was called |
/// | `/stream` | 200 and the first piece of body at once, the rest once the gate is open |
/// | `/status/N` | status N with the name |
/// | `/reset` | none: the connection ends |
/// | `/cut` | 200 and half of a body, then the connection ends |
/// | `/ws` | 101, then every byte comes back; 400 without `upgrade` |
/// | `/echo` | 200 with request line, header and body of the request as text |
/// | `/infra/health` | 200 `UP` or 503 `DOWN` |
/// | others | 404 |
///
/// Every response names the origin in `x-origin`. Requests for `/infra/health` are not counted.
pub struct Origin {
    state: Arc<State>,
    address: SocketAddr,
    server: Option<Server>,
}

/// The task that accepts connections, and what ends it when dropped.
struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Origin {
    /// Starts one known as `name` on a port that the system chooses.
    ///
    /// # Panics
    /// It cannot listen.
    pub async fn start(name: &str) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let state = Arc::new(State::new(name));
        let server = Some(Server::spawn(listener, &state));
        Self {
            state,
            address,
            server,
        }
    }

    /// Stops listening and ends every connection at once, whatever is in flight. Connections are
    /// refused from then on.
    pub async fn stop(&mut self) {
        if let Some(Server { stop, task }) = self.server.take() {
            drop(stop);
            // An error means that the runtime is going, and the task with it.
            let _gone = task.await;
        }
    }

    /// Listens again on the same port, after [`stop`](Self::stop) if that was not done.
    ///
    /// # Panics
    /// Somebody else took the port.
    pub async fn restart(&mut self) {
        self.stop().await;
        let listener = TcpListener::bind(self.address).await.expect("the old port");
        self.server = Some(Server::spawn(listener, &self.state));
    }

    /// Where it listens, or did before it was stopped.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.state.name()
    }

    /// How many requests it got, over all restarts.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.state.counts().requests
    }

    /// How many requests it is at, until their bodies were taken or their tunnels ended.
    #[must_use]
    pub fn open(&self) -> usize {
        self.state.counts().open
    }

    /// How many connections were made to it, over all restarts.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.counts().connections
    }

    /// Resolves once it got `count` requests.
    pub async fn requests_reach(&self, count: usize) {
        self.state.wait_for(|counts| counts.requests >= count).await;
    }

    /// Resolves once it is at exactly `count` requests.
    pub async fn open_becomes(&self, count: usize) {
        self.state.wait_for(|counts| counts.open == count).await;
    }

    /// Lets through what waits at the gate, and whatever comes.
    pub fn open_gate(&self) {
        self.state.gate().send_replace(true);
    }

    /// Holds what comes to the gate from now on. It begins closed.
    pub fn close_gate(&self) {
        self.state.gate().send_replace(false);
    }

    /// Answers `UP` to health probes, as it does from the start.
    pub fn mark_up(&self) {
        self.state.mark(true);
    }

    /// Answers `DOWN` to health probes, and goes on serving.
    pub fn mark_down(&self) {
        self.state.mark(false);
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("name", &self.name())
            .field("address", &self.address)
            .field("runs", &self.server.is_some())
            .finish()
    }
}

// === impl Server ===

impl Server {
    fn spawn(listener: TcpListener, state: &Arc<State>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, Arc::clone(state), stopped));
        Self { stop, task }
    }
}

async fn serve(listener: TcpListener, state: Arc<State>, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                state.connected();
                connections.spawn(connection(stream, Arc::clone(&state)));
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Serves one connection, and the tunnel that it may become.
async fn connection(stream: TcpStream, state: Arc<State>) {
    // Small pieces are to arrive one by one.
    let _slower = stream.set_nodelay(true);
    let (tunnels, mut tunnel) = mpsc::unbounded_channel();
    let service = service_fn(|request| Script::new(&state, &tunnels).run(request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if served.is_ok()
        && let Ok(tunnel) = tunnel.try_recv()
    {
        script::echo(tunnel).await;
    }
}
