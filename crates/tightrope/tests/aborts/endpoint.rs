//! Endpoints on Unix sockets that do what their scripts say, byte by byte if need be.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, VecDeque},
    path::Path,
    rc::Rc,
    time::Duration,
};

use h2::Reason;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::{sleep, timeout},
};

use super::stage::Part;

/// What an endpoint does about a request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Reads its head.
    Head,
    /// Reads it to its end.
    End,
    /// Reads on until there is this.
    Until(&'static str),
    Write(&'static str),
    /// Waits for this many milliseconds.
    Pause(u64),
    /// Says nothing for as long as a step may take, unless the other side goes.
    Hang,
    /// Sends back what comes, until the other side ends.
    Echo,
    Close,
    // Those of HTTP/2.
    /// Writes a head with this status.
    Answer(u16),
    Data(&'static str),
    /// The last of the response.
    Last(&'static str),
    /// The same with a trailer.
    Trailers,
    Reset(Reason),
    GoAway,
}

/// What all endpoints share.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    /// For the requests to come, in order. After that each is answered well.
    pub(crate) scripts: RefCell<VecDeque<Vec<Step>>>,
    /// How much happens before one connection dies: a connection made, a request that comes, a
    /// step and each byte that is written count as one; with HTTP/2 each write counts as two.
    pub(crate) death: Cell<Option<usize>>,
    pub(crate) ticks: Cell<usize>,
    /// By what they are at.
    pub(crate) new: Cell<usize>,
    pub(crate) busy: Cell<usize>,
    pub(crate) idle: Cell<usize>,
    /// The endpoints of which a connection was ever idle.
    pub(crate) rested: RefCell<BTreeSet<usize>>,
}

/// One connection, from its endpoint.
struct Conversation {
    /// The number of its endpoint.
    endpoint: usize,
    scene: Rc<Scene>,
    stream: UnixStream,
    seen: Vec<u8>,
    at: At,
}

/// Where somebody is counted.
pub(crate) struct At {
    scene: Rc<Scene>,
    of: fn(&Scene) -> &Cell<usize>,
}

/// The connection is over.
pub(crate) struct Over;

/// How long a step may take: some wait for nothing.
pub(crate) const LONG: Duration = Duration::from_millis(100);

const HEAD_END: &str = "\r\n\r\n";

const LAST_CHUNK: &str = "0\r\n\r\n";

pub(crate) const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Accepts connections at the endpoint with this number and path, each of which is somebody of its own.
pub(crate) fn listen(
    (endpoint, path): (usize, &Path),
    scene: Rc<Scene>,
    entrance: Rc<RefCell<Vec<Part>>>,
) -> Part {
    let listener = UnixListener::bind(path).unwrap();
    Box::pin(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let conversation = Conversation::new(endpoint, stream, &scene);
            let part = async {
                let _over = conversation.run().await;
            };
            entrance.borrow_mut().push(Box::pin(part));
        }
    })
}

// === impl Scene ===

impl Scene {
    /// How much of `wanted` happens before the death that is due.
    pub(crate) fn live(&self, wanted: usize) -> usize {
        let now = self.ticks.get();
        let left = self.death.get().map(|death| death.saturating_sub(now));
        let lived = wanted.min(left.unwrap_or(usize::MAX));
        self.ticks.set(now + lived);
        if lived < wanted {
            self.death.set(None);
        }
        lived
    }

    pub(crate) fn tick(&self) -> Result<(), Over> {
        if self.live(1) == 1 { Ok(()) } else { Err(Over) }
    }
}

// === impl Conversation ===

impl Conversation {
    fn new(endpoint: usize, stream: UnixStream, scene: &Rc<Scene>) -> Self {
        Self {
            endpoint,
            scene: Rc::clone(scene),
            stream,
            seen: Vec::new(),
            at: At::new(scene, |scene| &scene.new),
        }
    }

    async fn run(mut self) -> Result<(), Over> {
        self.scene.tick()?;
        loop {
            while self.seen.is_empty() {
                self.fill().await?;
            }
            self.at.becomes(|scene| &scene.busy);
            self.scene.tick()?;
            let script = self.scene.scripts.borrow_mut().pop_front();
            for step in script.unwrap_or_else(|| vec![Step::Head, Step::Write(WELL)]) {
                self.scene.tick()?;
                timeout(LONG, self.play(step)).await.map_err(|_| Over)??;
            }
            // Whatever the script was made for: what follows is the next request.
            let end = timeout(LONG, self.end()).await.map_err(|_| Over)??;
            self.seen.drain(..end);
            self.at.becomes(|scene| &scene.idle);
            self.scene.rested.borrow_mut().insert(self.endpoint);
        }
    }

    async fn play(&mut self, step: Step) -> Result<(), Over> {
        match step {
            Step::Head => {
                self.until(0, HEAD_END).await?;
            }
            Step::End => {
                self.end().await?;
            }
            Step::Until(text) => {
                self.until(0, text).await?;
            }
            Step::Write(text) => self.write(text.as_bytes()).await?,
            Step::Pause(ms) => sleep(Duration::from_millis(ms)).await,
            Step::Hang => loop {
                self.fill().await?;
            },
            Step::Echo => loop {
                self.seen.clear();
                self.fill().await?;
                let seen = std::mem::take(&mut self.seen);
                self.write(&seen).await?;
            },
            Step::Close => return Err(Over),
            step => unreachable!("{step:?} is of HTTP/2"),
        }
        Ok(())
    }

    /// Reads until there is `text`, not before `start`; where it ends.
    async fn until(&mut self, start: usize, text: &str) -> Result<usize, Over> {
        loop {
            let mut parts = self.seen[start..].windows(text.len());
            match parts.position(|part| part == text.as_bytes()) {
                Some(at) => return Ok(start + at + text.len()),
                None => self.fill().await?,
            }
        }
    }

    /// Reads the request to its end; where that is.
    async fn end(&mut self) -> Result<usize, Over> {
        let body = self.until(0, HEAD_END).await?;
        let head = str::from_utf8(&self.seen[..body]).unwrap();
        if head.contains("\r\ntransfer-encoding: chunked\r\n") {
            return self.until(body, LAST_CHUNK).await;
        }
        let length = head
            .split_once("\r\ncontent-length: ")
            .and_then(|(_, rest)| rest.split("\r\n").next());
        let end = body + length.map_or(0, |length| length.parse::<usize>().unwrap());
        while self.seen.len() < end {
            self.fill().await?;
        }
        Ok(end)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let lived = self.scene.live(bytes.len());
        let written = self.stream.write_all(&bytes[..lived]).await;
        written.map_err(|_| Over)?;
        if lived == bytes.len() {
            Ok(())
        } else {
            Err(Over)
        }
    }

    async fn fill(&mut self) -> Result<(), Over> {
        match self.stream.read_buf(&mut self.seen).await {
            Ok(1..) => Ok(()),
            _ => Err(Over),
        }
    }
}

// === impl At ===

impl At {
    pub(crate) fn new(scene: &Rc<Scene>, of: fn(&Scene) -> &Cell<usize>) -> Self {
        of(scene).set(of(scene).get() + 1);
        Self {
            scene: Rc::clone(scene),
            of,
        }
    }

    pub(crate) fn becomes(&mut self, of: fn(&Scene) -> &Cell<usize>) {
        *self = Self::new(&self.scene, of);
    }
}

impl Drop for At {
    fn drop(&mut self) {
        let count = (self.of)(&self.scene);
        count.set(count.get() - 1);
    }
}
