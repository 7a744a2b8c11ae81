//! Endpoints that speak HTTP/2, and do stream by stream what their scripts say.

use std::{
    cell::RefCell,
    io,
    path::Path,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    server::{self, SendResponse},
};
use http::{HeaderMap, HeaderValue, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixListener, UnixStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};

use super::{
    endpoint::{At, LONG, Over, Scene, Step},
    stage::Part,
};

/// One connection, from its endpoint.
struct Conversation {
    /// The number of its endpoint.
    endpoint: usize,
    scene: Rc<Scene>,
    entrance: Rc<RefCell<Vec<Part>>>,
    orders: UnboundedSender<Order>,
    at: At,
}

/// What a stream wants of its connection.
enum Order {
    GoAway,
    Close,
}

/// A request, and the means to answer it.
struct Stream {
    scene: Rc<Scene>,
    request: RecvStream,
    respond: SendResponse<Bytes>,
    response: Option<SendStream<Bytes>>,
    orders: UnboundedSender<Order>,
    _at: At,
}

/// A connection that dies when it is due: before something is written, or in the midst of it.
struct Mortal {
    io: UnixStream,
    scene: Rc<Scene>,
    is_dead: bool,
}

/// Accepts connections at the endpoint with this number and path. Each of them and each request is somebody of its own.
pub(crate) fn listen(
    (endpoint, path): (usize, &Path),
    scene: Rc<Scene>,
    entrance: Rc<RefCell<Vec<Part>>>,
) -> Part {
    let listener = UnixListener::bind(path).unwrap();
    Box::pin(async move {
        loop {
            let (io, _) = listener.accept().await.unwrap();
            let (orders, ordered) = unbounded_channel();
            let conversation = Conversation {
                endpoint,
                scene: Rc::clone(&scene),
                entrance: Rc::clone(&entrance),
                orders,
                at: At::new(&scene, |scene| &scene.new),
            };
            let part = async {
                let _over = conversation.run(io, ordered).await;
            };
            entrance.borrow_mut().push(Box::pin(part));
        }
    })
}

// === impl Conversation ===

impl Conversation {
    async fn run(
        mut self,
        io: UnixStream,
        mut ordered: UnboundedReceiver<Order>,
    ) -> Result<(), Over> {
        self.scene.tick()?;
        let io = Mortal {
            io,
            scene: Rc::clone(&self.scene),
            is_dead: false,
        };
        let connection = server::handshake(io).await;
        let mut connection: server::Connection<_, Bytes> = connection.map_err(|_| Over)?;
        // Its streams are counted for themselves.
        self.at.becomes(|scene| &scene.idle);
        self.scene.rested.borrow_mut().insert(self.endpoint);
        loop {
            tokio::select! {
                biased;
                order = ordered.recv() => match order {
                    Some(Order::GoAway) => connection.graceful_shutdown(),
                    Some(Order::Close) | None => return Err(Over),
                },
                asked = connection.accept() => {
                    let Some(Ok((request, respond))) = asked else {
                        return Err(Over);
                    };
                    self.scene.tick()?;
                    let stream = Stream {
                        scene: Rc::clone(&self.scene),
                        request: request.into_body(),
                        respond,
                        response: None,
                        orders: self.orders.clone(),
                        _at: At::new(&self.scene, |scene| &scene.busy),
                    };
                    self.entrance.borrow_mut().push(Box::pin(stream.run()));
                }
            }
        }
    }
}

// === impl Stream ===

impl Stream {
    async fn run(mut self) {
        let script = self.scene.scripts.borrow_mut().pop_front();
        for step in script.unwrap_or_else(|| vec![Step::Answer(200), Step::Last("ok")]) {
            if self.scene.tick().is_err() {
                let _gone = self.orders.send(Order::Close);
                return;
            }
            match timeout(LONG, self.play(step)).await {
                Ok(Some(())) => {}
                // The other side gave it up, or it takes too long.
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// None where nobody wants it any more.
    async fn play(&mut self, step: Step) -> Option<()> {
        match step {
            Step::End => {
                while let Some(data) = self.request.data().await {
                    let count = data.ok()?.len();
                    self.request.flow_control().release_capacity(count).ok()?;
                }
                self.request.trailers().await.ok()?;
            }
            Step::Answer(status) => {
                let head = Response::builder().status(status).body(()).unwrap();
                self.response = Some(self.respond.send_response(head, false).ok()?);
            }
            Step::Data(text) => self.send(text, false)?,
            Step::Last(text) => self.send(text, true)?,
            Step::Trailers => {
                let trailer = ("x-trailer".parse().unwrap(), HeaderValue::from_static("1"));
                let response = self.response.as_mut()?;
                response
                    .send_trailers(HeaderMap::from_iter([trailer]))
                    .ok()?;
            }
            Step::Reset(reason) => self.respond.send_reset(reason),
            Step::Pause(ms) => sleep(Duration::from_millis(ms)).await,
            Step::Hang => {
                let reset = std::future::poll_fn(|cx| match &mut self.response {
                    Some(response) => response.poll_reset(cx),
                    None => self.respond.poll_reset(cx),
                });
                let _why = reset.await;
                return None;
            }
            Step::GoAway => self.orders.send(Order::GoAway).ok()?,
            Step::Close => {
                let _gone = self.orders.send(Order::Close);
                return None;
            }
            step => unreachable!("{step:?} is of HTTP/1.1"),
        }
        Some(())
    }

    fn send(&mut self, text: &'static str, is_end: bool) -> Option<()> {
        let response = self.response.as_mut()?;
        response
            .send_data(Bytes::from_static(text.as_bytes()), is_end)
            .ok()
    }
}

// === impl Mortal ===

impl AsyncRead for Mortal {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Mortal {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Nothing, a part or all of it.
        let lived = match self.is_dead {
            true => 0,
            false => self.scene.live(2),
        };
        self.is_dead = lived < 2;
        if lived == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = &bytes[..bytes.len() * lived / 2];
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
