//! A client of HTTP/1.1 on one connection.

use std::{fmt, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A tunnel, for bytes in both directions.
pub type Tunnel = TokioIo<Upgraded>;

/// One connection to a server, which ends when this is dropped.
pub struct Client {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    connection: AbortOnDropHandle<()>,
}

/// A response with all of its body.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body as text, whatever was not UTF-8 replaced.
    pub body: String,
}

impl Client {
    /// Connects to `address`.
    ///
    /// # Errors
    /// The connection is refused or ends at once.
    pub async fn connect(address: SocketAddr) -> Result<Self, BoxError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(async move {
            // Whoever waits for an answer is told of the error.
            let _ended = connection.with_upgrades().await;
        });
        Ok(Self {
            address,
            sender,
            connection: AbortOnDropHandle::new(connection),
        })
    }

    /// Asks for `path` and reads the whole answer.
    ///
    /// # Errors
    /// The connection ends before the answer does.
    pub async fn get(&mut self, path: &str) -> Result<Answer, BoxError> {
        let request = Request::get(path).body(Full::default())?;
        Answer::read(self.send(request).await?).await
    }

    /// Sends `request`, with this server as its host unless it names one. The body of the response
    /// is left to the caller.
    ///
    /// # Errors
    /// The connection ends before the head of the response does.
    pub async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, BoxError> {
        if !request.headers().contains_key(header::HOST) {
            let host = self.address.to_string().parse()?;
            request.headers_mut().insert(header::HOST, host);
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Asks for a WebSocket on `path`. Gives the name of the origin and the tunnel, in which this
    /// sends and expects bare bytes.
    ///
    /// # Errors
    /// The server does not switch protocols.
    pub async fn websocket(mut self, path: &str) -> Result<(String, Tunnel), BoxError> {
        let request = Request::get(path)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .body(Full::default())?;
        let response = self.send(request).await?;
        let answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: String::new(),
        };
        if answer.status != 101 {
            return Err(format!("no upgrade: status {}", answer.status).into());
        }
        let tunnel = hyper::upgrade::on(response).await?;
        // The task of the connection ended by handing it over.
        self.connection.abort();
        Ok((answer.origin().to_owned(), TokioIo::new(tunnel)))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

// === impl Answer ===

impl Answer {
    /// Reads the whole of `response`.
    ///
    /// # Errors
    /// Its body ends before it is complete.
    pub async fn read(response: Response<Incoming>) -> Result<Self, BoxError> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// The name of the [`Origin`](crate::Origin) that answered; empty where none did.
    #[must_use]
    pub fn origin(&self) -> &str {
        let name = self.headers.get("x-origin");
        name.and_then(|name| name.to_str().ok()).unwrap_or_default()
    }
}
