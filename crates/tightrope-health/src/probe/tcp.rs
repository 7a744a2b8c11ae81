//! Does somebody listen, and give the right answer?

use tightrope_upstream::{Address, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[cfg(feature = "tls")]
use super::Tls;
use super::{
    Place, Probe, ProbeError, ProbeFuture,
    connect::{Connect, Stream},
    excerpt::excerpt,
};

/// Passes when a connection to the endpoint's address is made, over TCP or, on Unix, to the socket
/// of that path, and the answer, where one is expected, is right.
///
/// By default nothing is sent and nothing expected, and the connection is closed at once. That tells
/// that a process listens, not that it works: where the endpoint speaks HTTP, ask it. Where it speaks
/// something else, a few bytes will often do:
///
/// ```
/// use tightrope_health::{ExpectedBytes, TcpProbe};
///
/// let redis = TcpProbe::new()
///     .with_send("PING\r\n")
///     .with_expect(ExpectedBytes::StartsWith(b"+PONG".to_vec()))?;
/// let smtp = TcpProbe::new().with_expect(ExpectedBytes::StartsWith(b"220".to_vec()))?;
/// # Ok::<(), tightrope_health::TcpProbeError>(())
/// ```
///
/// The names of endpoints are resolved at each probe, on a thread of the runtime that is meant for
/// such waits.
#[derive(Clone, Debug)]
#[must_use]
pub struct TcpProbe {
    connect: Connect,
    sent: Vec<u8>,
    expected: Option<ExpectedBytes>,
    answer_limit: usize,
}

/// What the other side must say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedBytes {
    /// First of all this.
    StartsWith(Vec<u8>),
    /// This, somewhere in it.
    Contains(Vec<u8>),
}

/// Why a setting of a [`TcpProbe`] was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TcpProbeError {
    /// Any answer would be right, and so would none.
    #[error("expected bytes are empty")]
    Empty,
    /// No answer could ever be right.
    #[error("answer limit is {limit} bytes, and {expected} are expected")]
    Limit {
        /// The most bytes that are read.
        limit: usize,
        /// How many of them are expected.
        expected: usize,
    },
}

/// The answer is read up to this many bytes.
const ANSWER_LIMIT: usize = 4096;

// === impl TcpProbe ===

impl TcpProbe {
    /// Connects.
    pub const fn new() -> Self {
        Self {
            connect: Connect::new(),
            sent: Vec::new(),
            expected: None,
            answer_limit: ANSWER_LIMIT,
        }
    }

    /// Connects there. Default: to the endpoint's address.
    pub fn with_place(mut self, place: Place) -> Self {
        self.connect.place = place;
        self
    }

    /// Speaks TLS with whom it connects to, before it sends or expects anything. Default: not.
    #[cfg(feature = "tls")]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.connect.tls = Some(tls);
        self
    }

    /// Sends these bytes, before anything is read. Default: none.
    pub fn with_send(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.sent = bytes.into();
        self
    }

    /// Expects this answer. It is read until it is right, or cannot be any more, or ends. Default:
    /// any or none, unread.
    ///
    /// # Errors
    /// It is empty, or longer than the limit of an answer.
    pub fn with_expect(mut self, bytes: ExpectedBytes) -> Result<Self, TcpProbeError> {
        if bytes.bytes().is_empty() {
            return Err(TcpProbeError::Empty);
        }
        self.expected = Some(bytes);
        self.checked()
    }

    /// Fails if what is expected has not come within this many bytes. Default: 4096.
    ///
    /// # Errors
    /// What is expected is longer.
    pub fn with_answer_limit(mut self, bytes: usize) -> Result<Self, TcpProbeError> {
        self.answer_limit = bytes;
        self.checked()
    }

    fn checked(self) -> Result<Self, TcpProbeError> {
        let limit = self.answer_limit;
        match self.expected.as_ref().map(|bytes| bytes.bytes().len()) {
            Some(expected) if expected > limit => Err(TcpProbeError::Limit { limit, expected }),
            _ => Ok(self),
        }
    }

    async fn ask(&self, endpoint: &Endpoint) -> Result<(), ProbeError> {
        let address = self.place(endpoint)?;
        let mut stream = self.connect.open(&address).await?;
        if !self.sent.is_empty() {
            let sent = stream.write_all(&self.sent).await;
            sent.map_err(ProbeError::exchange)?;
            stream.flush().await.map_err(ProbeError::exchange)?;
        }
        match &self.expected {
            Some(expected) => self.hear(&mut stream, expected).await,
            None => Ok(()),
        }
    }

    /// Reads until the answer is right or wrong.
    async fn hear(
        &self,
        stream: &mut Box<dyn Stream>,
        expected: &ExpectedBytes,
    ) -> Result<(), ProbeError> {
        let limit = u64::try_from(self.answer_limit).unwrap_or(u64::MAX);
        let mut stream = stream.take(limit);
        let mut answer = Vec::new();
        loop {
            let heard = answer.len();
            let read = stream.read_buf(&mut answer).await;
            let is_over = read.map_err(ProbeError::exchange)? == 0;
            match expected.judge(&answer, heard) {
                Some(true) => return Ok(()),
                None if !is_over => {}
                _ => return Err(expected.missed(&answer)),
            }
        }
    }
}

impl Default for TcpProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe for TcpProbe {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(self.ask(endpoint))
    }

    fn place(&self, endpoint: &Endpoint) -> Result<Address, ProbeError> {
        self.connect.place(endpoint)
    }
}

// === impl ExpectedBytes ===

impl ExpectedBytes {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::StartsWith(bytes) | Self::Contains(bytes) => bytes,
        }
    }

    /// Whether `answer`, of which the first `judged` bytes left it open, is right; `None` if that
    /// depends on what is still to come.
    fn judge(&self, answer: &[u8], judged: usize) -> Option<bool> {
        match self {
            Self::StartsWith(bytes) if answer.len() >= bytes.len() => {
                Some(answer.starts_with(bytes))
            }
            Self::StartsWith(bytes) => (!bytes.starts_with(answer)).then_some(false),
            Self::Contains(bytes) => {
                let from = (judged + 1).saturating_sub(bytes.len());
                let found = answer[from..]
                    .windows(bytes.len())
                    .any(|part| part == bytes);
                found.then_some(true)
            }
        }
    }

    fn missed(&self, answer: &[u8]) -> ProbeError {
        let verb = match self {
            Self::StartsWith(_) => "does not start with",
            Self::Contains(_) => "does not contain",
        };
        let text = |bytes| excerpt(&String::from_utf8_lossy(bytes));
        let (answer, expected) = (text(answer), text(self.bytes()));
        ProbeError::Unexpected(format!("answer `{answer}` {verb} `{expected}`"))
    }
}
