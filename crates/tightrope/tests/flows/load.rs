//! Clients that ask again and again while traffic is switched, and keep the books.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tightrope_test::{Answer, BoxError, Client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use super::world::soon;

/// A closed loop of 64 clients, each with one request at a time.
pub(crate) struct Load {
    books: Arc<Books>,
    clients: JoinSet<()>,
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Whole answers, by kind of client.
    pub(crate) answered: [usize; 4],
    /// Requests that began after one switch had returned and were answered before the next was
    /// called.
    pub(crate) between_switches: usize,
    /// What of those came from the group that had no traffic.
    pub(crate) misplaced: Vec<String>,
    pub(crate) failed: Vec<String>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Short requests on a connection that is kept.
    KeepAlive,
    /// Short requests, each on a connection of its own.
    Close,
    /// Responses that take seconds.
    Long,
    /// Tunnels.
    WebSocket,
}

#[derive(Debug)]
struct Books {
    proxy: SocketAddr,
    groups: [&'static str; 2],
    /// How many switches were called, and how many returned. After an even number the first group
    /// has the traffic.
    called: AtomicUsize,
    returned: AtomicUsize,
    stop: AtomicBool,
    short: watch::Sender<usize>,
    tally: Mutex<Tally>,
}

// === impl Load ===

impl Load {
    /// Starts it against `proxy`, while the first of `groups` has the traffic.
    pub(crate) fn start(proxy: SocketAddr, groups: [&'static str; 2]) -> Self {
        let books = Arc::new(Books {
            proxy,
            groups,
            called: AtomicUsize::new(0),
            returned: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            short: watch::Sender::new(0),
            tally: Mutex::default(),
        });
        let mut clients = JoinSet::new();
        for kind in (0..32)
            .map(|_| Kind::KeepAlive)
            .chain((0..16).map(|_| Kind::Close))
            .chain((0..8).map(|_| Kind::Long))
            .chain((0..8).map(|_| Kind::WebSocket))
        {
            let books = Arc::clone(&books);
            clients.spawn(async move { books.run(kind).await });
        }
        Self { books, clients }
    }

    /// Moves the traffic to the other group by `switch`, whose end is what everybody relies on.
    pub(crate) async fn switch(&self, switch: impl AsyncFnOnce(&'static str)) {
        let number = self.books.called.fetch_add(1, Ordering::SeqCst) + 1;
        switch(self.books.group(number)).await;
        self.books.returned.store(number, Ordering::SeqCst);
    }

    /// Resolves once so many more short requests were answered.
    pub(crate) async fn answers(&self, count: usize) {
        let mut short = self.books.short.subscribe();
        let until = *short.borrow() + count;
        soon(short.wait_for(|short| *short >= until)).await.unwrap();
    }

    /// Lets every client end what it is at.
    pub(crate) async fn stop(mut self) -> Tally {
        self.books.stop.store(true, Ordering::SeqCst);
        while let Some(client) = soon(self.clients.join_next()).await {
            client.unwrap();
        }
        std::mem::take(&mut self.books.tally.lock().unwrap())
    }
}

// === impl Books ===

impl Books {
    fn group(&self, switches: usize) -> &'static str {
        self.groups[switches % 2]
    }

    async fn run(&self, kind: Kind) {
        let mut kept = None;
        while !self.stop.load(Ordering::SeqCst) {
            let returned = self.returned.load(Ordering::SeqCst);
            let asked = match kind {
                Kind::KeepAlive | Kind::Close => self.short(kind, &mut kept, returned).await,
                Kind::Long => self.long(returned).await,
                Kind::WebSocket => self.websocket(returned).await,
            };
            let mut tally = self.tally.lock().unwrap();
            match asked {
                Ok(()) => tally.answered[kind as usize] += 1,
                Err(error) => tally.failed.push(format!("{kind:?}: {error}")),
            }
        }
    }

    async fn short(
        &self,
        kind: Kind,
        kept: &mut Option<Client>,
        returned: usize,
    ) -> Result<(), BoxError> {
        let mut client = match kept.take() {
            Some(client) => client,
            None => Client::connect(self.proxy).await?,
        };
        let answer = client.get("/").await?;
        self.check(answer.origin(), returned);
        if answer.status != 200 || answer.body != answer.origin() {
            return Err(format!("{answer:?}").into());
        }
        if matches!(kind, Kind::KeepAlive) {
            *kept = Some(client);
        }
        self.short.send_modify(|short| *short += 1);
        Ok(())
    }

    async fn long(&self, returned: usize) -> Result<(), BoxError> {
        let mut client = Client::connect(self.proxy).await?;
        let request = http::Request::get("/long?ms=2000").body(Default::default())?;
        let response = client.send(request).await?;
        let origin = response.headers()["x-origin"].to_str()?.to_owned();
        self.check(&origin, returned);
        let answer = Answer::read(response).await?;
        if answer.body.lines().count() != 10 || answer.body.lines().any(|l| !l.starts_with(&origin))
        {
            return Err(format!("cut: {answer:?}").into());
        }
        Ok(())
    }

    async fn websocket(&self, returned: usize) -> Result<(), BoxError> {
        let client = Client::connect(self.proxy).await?;
        let (origin, mut tunnel) = client.websocket("/ws").await?;
        self.check(&origin, returned);
        let mut back = [0; 4];
        for _ in 0..10 {
            tunnel.write_all(b"ping").await?;
            tunnel.read_exact(&mut back).await?;
            // A tunnel lives for a while; nobody waits for this.
            sleep(Duration::from_millis(100)).await;
        }
        tunnel.shutdown().await?;
        match tunnel.read(&mut back).await? {
            0 => Ok(()),
            _ => Err("bytes that nobody sent".into()),
        }
    }

    /// The head of an answer came from `origin` to a request that began after `returned` switches.
    fn check(&self, origin: &str, returned: usize) {
        if self.called.load(Ordering::SeqCst) != returned {
            return;
        }
        let mut tally = self.tally.lock().unwrap();
        tally.between_switches += 1;
        if origin != self.group(returned) {
            let wanted = self.group(returned);
            let misplaced = format!("`{origin}` answered after switch {returned} to {wanted}");
            tally.misplaced.push(misplaced);
        }
    }
}
