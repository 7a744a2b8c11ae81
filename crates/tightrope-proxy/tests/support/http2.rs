//! The other side of HTTP/2.

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    server::{self, Builder, SendResponse},
};
use http::{HeaderMap, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// A connection of HTTP/2 that an endpoint accepted.
pub(crate) struct Http2 {
    streams: mpsc::UnboundedReceiver<Asked>,
    close: Option<oneshot::Sender<()>>,
    driver: JoinHandle<()>,
}

/// A request, and the means to answer it.
pub(crate) struct Asked {
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

impl Http2 {
    pub(crate) async fn accept<T>(stream: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::with(stream, &Builder::new()).await
    }

    pub(crate) async fn with<T>(stream: T, builder: &Builder) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut connection: server::Connection<T, Bytes> = builder.handshake(stream).await.unwrap();
        let (sender, streams) = mpsc::unbounded_channel();
        let (close, mut closed) = oneshot::channel();
        let driver = tokio::spawn(async move {
            let mut is_closing = false;
            loop {
                tokio::select! {
                    accepted = connection.accept() => match accepted {
                        Some(Ok((request, respond))) => {
                            let _gone = sender.send(Asked { request, respond });
                        }
                        _ => return,
                    },
                    _told = &mut closed, if !is_closing => {
                        is_closing = true;
                        connection.graceful_shutdown();
                    }
                }
            }
        });
        Self {
            streams,
            close: Some(close),
            driver,
        }
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Asked {
        self.streams.recv().await.expect("another request")
    }

    /// Says that no more is taken.
    pub(crate) fn go_away(&mut self) {
        let _told = self.close.take().unwrap().send(());
    }

    /// Closes the connection without a word.
    pub(crate) fn cut(self) {
        self.driver.abort();
    }

    /// Ends when the other side closed the connection.
    pub(crate) async fn closed(mut self) {
        while self.streams.recv().await.is_some() {}
    }
}

impl Asked {
    /// Answers with 200 and this text.
    pub(crate) fn answer(mut self, text: &'static str) {
        let mut body = self.begin(Response::new(()));
        body.send_data(Bytes::from_static(text.as_bytes()), true)
            .unwrap();
    }

    /// Answers with this head, and goes on.
    pub(crate) fn begin(&mut self, head: Response<()>) -> SendStream<Bytes> {
        self.respond.send_response(head, false).unwrap()
    }

    /// The whole body of the request, and its trailers.
    pub(crate) async fn body(&mut self) -> (String, Option<HeaderMap>) {
        let body = self.request.body_mut();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            text.extend_from_slice(&data);
        }
        let trailers = body.trailers().await.unwrap();
        (String::from_utf8(text).unwrap(), trailers)
    }
}
