//! Endpoints that do what a script says, behind a balancer that takes the first that was not tried.

#![expect(clippy::unwrap_used, reason = "a test may fail where its set-up fails")]

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tightrope_retry::{Replay, RetryLayer, attempt};
use tightrope_upstream::{
    Change, Endpoint, EndpointId, EndpointSpec, Failed, Failure, Outcome, Pick, TakeUnsent, Unsent,
    Upstream,
};
use tower::{Layer, Service, ServiceExt};

/// What one call does.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) after: Duration,
    /// How long it waits for the choice of an endpoint.
    pub(crate) queued: Duration,
    pub(crate) read: Read,
    pub(crate) then: Then,
}

/// How much of the body is read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Frames(usize),
    All,
}

#[derive(Clone, Debug)]
pub(crate) enum Then {
    Answer(u16, Vec<(&'static str, &'static str)>),
    /// The request comes back: the connection could not be made.
    Refuse,
    /// The request is lost.
    Lose(Failure),
    /// Nobody is picked.
    Nobody,
}

pub(crate) fn answer(status: u16) -> Step {
    then(Then::Answer(status, Vec::new()))
}

pub(crate) fn refuse() -> Step {
    Step {
        read: Read::Frames(0),
        ..then(Then::Refuse)
    }
}

pub(crate) fn lose(failure: Failure) -> Step {
    then(Then::Lose(failure))
}

pub(crate) fn nobody() -> Step {
    then(Then::Nobody)
}

fn then(then: Then) -> Step {
    Step {
        after: Duration::ZERO,
        queued: Duration::ZERO,
        read: Read::All,
        then,
    }
}

impl Step {
    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub(crate) fn queued(self, queued: Duration) -> Self {
        Self { queued, ..self }
    }

    pub(crate) fn reading(self, frames: usize) -> Self {
        let read = Read::Frames(frames);
        Self { read, ..self }
    }
}

/// What one call saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) attempt: usize,
    pub(crate) endpoint: Option<usize>,
    pub(crate) body: String,
    pub(crate) at: Duration,
    /// What it was told of the time that is left, in `grpc-timeout` and `x-left-ms`.
    pub(crate) left: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct World {
    upstream: Upstream,
    pub(crate) endpoints: Arc<[Arc<Endpoint>]>,
    script: Arc<Mutex<VecDeque<Step>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    start: tokio::time::Instant,
    is_ready: bool,
    gives_back: bool,
}

#[derive(Debug)]
pub(crate) struct WorldError {
    failure: Failure,
    unsent: Option<Box<dyn std::any::Any + Send>>,
    endpoint: Option<Arc<Endpoint>>,
}

/// The body of a response, which holds the pick.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) _pick: Pick,
}

impl Failed for WorldError {
    fn failure(&self) -> Failure {
        self.failure
    }
}

impl<B: 'static> TakeUnsent<Request<B>> for WorldError {
    fn take_unsent(&mut self) -> Option<Unsent<Request<B>>> {
        let request = self.unsent.take()?.downcast().unwrap();
        Some(Unsent::new(*request, self.endpoint.take().unwrap()))
    }
}

impl World {
    /// Three endpoints; the last step of the script is repeated.
    pub(crate) fn new(script: impl IntoIterator<Item = Step>) -> Self {
        Self::with_endpoints(3, script)
    }

    pub(crate) fn with_endpoints(count: usize, script: impl IntoIterator<Item = Step>) -> Self {
        let upstream = Upstream::new("test");
        let members =
            (1..=count).map(|n| EndpointSpec::new(format!("10.0.0.{n}:80").parse().unwrap()));
        upstream.apply(Change::new().replace(members)).unwrap();
        Self {
            endpoints: upstream.snapshot().members().into(),
            upstream,
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            seen: Arc::default(),
            start: tokio::time::Instant::now(),
            is_ready: false,
            gives_back: false,
        }
    }

    /// Heads come back when an attempt ended.
    pub(crate) fn giving_back(self) -> Self {
        Self {
            gives_back: true,
            ..self
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Where the calls went.
    pub(crate) fn went(&self) -> Vec<Option<usize>> {
        self.seen().iter().map(|seen| seen.endpoint).collect()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.endpoints.iter().map(|e| e.record().in_flight()).sum()
    }

    /// The status, or the failure.
    pub(crate) async fn send<B>(
        &self,
        layer: RetryLayer,
        request: Request<B>,
    ) -> Result<u16, Failure>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let response = layer.layer(self.clone()).oneshot(request).await;
        let status = response.map(|response| response.status().as_u16());
        assert_eq!(self.in_flight(), 0);
        status.map_err(|error| error.failure())
    }

    fn step(&self) -> Step {
        let mut script = self.script.lock().unwrap();
        match script.len() {
            1 => script[0].clone(),
            _ => script.pop_front().unwrap(),
        }
    }

    fn pick(&self, tried: &[EndpointId]) -> Option<(usize, Pick)> {
        let snapshot = self.upstream.snapshot();
        let mut all = snapshot.members().iter().enumerate();
        let (index, endpoint) = all.find(|(_, endpoint)| !tried.contains(endpoint.id()))?;
        Some((index, endpoint.pick().unwrap()))
    }
}

impl<B> Service<Request<Replay<B>>> for World
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Held>;
    type Error = WorldError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Held>, WorldError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), WorldError>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Replay<B>>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "called before ready");
        let step = self.step();
        let left = ["grpc-timeout", "x-left-ms"].map(|name| request.headers().get_all(name));
        let left = left.into_iter().flatten();
        let left = left.map(|value| value.to_str().unwrap().to_owned());
        let patience = attempt(&request).patience().cloned();
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(Seen {
                attempt: attempt(&request).number(),
                endpoint: None,
                body: String::new(),
                at: self.start.elapsed(),
                left: left.collect(),
            });
            seen.len() - 1
        };
        let fail = |failure| WorldError {
            failure,
            unsent: None,
            endpoint: None,
        };
        let gives_back = self.gives_back;
        let world = self.clone();
        let seen = Arc::clone(&self.seen);
        let is_nobody = matches!(step.then, Then::Nobody);
        let choose = move |request: &Request<Replay<B>>| {
            if is_nobody {
                return None;
            }
            let (index, pick) = world.pick(attempt(request).tried())?;
            attempt(request).goes_to(pick.endpoint().id());
            world.seen.lock().unwrap()[number].endpoint = Some(index);
            Some(pick)
        };
        let chosen = step.queued.is_zero().then(|| choose(&request));
        Box::pin(async move {
            let picked = match chosen {
                Some(picked) => picked,
                None => {
                    tokio::time::sleep(step.queued).await;
                    choose(&request)
                }
            };
            let Some(mut pick) = picked else {
                return Err(fail(Failure::Unavailable));
            };
            let mut left = match step.read {
                Read::Frames(frames) => frames,
                Read::All => usize::MAX,
            };
            while left > 0
                && let Some(frame) = request.body_mut().frame().await
            {
                let frame = frame.map_err(|_| fail(Failure::Downstream))?;
                let text = match (frame.data_ref(), frame.trailers_ref()) {
                    (Some(data), _) => String::from_utf8(data.to_vec()).unwrap(),
                    (None, trailers) => format!("[{}]", trailers.unwrap().len()),
                };
                seen.lock().unwrap()[number].body.push_str(&text);
                left -= 1;
            }
            if !step.after.is_zero() {
                let mut answer = std::pin::pin!(tokio::time::sleep(step.after));
                let is_over = std::future::poll_fn(|task| match answer.as_mut().poll(task) {
                    Poll::Ready(()) => Poll::Ready(false),
                    Poll::Pending if patience.as_ref().is_some_and(|p| p.is_over()) => {
                        Poll::Ready(true)
                    }
                    Poll::Pending => Poll::Pending,
                });
                if is_over.await {
                    pick.set_outcome(Outcome::Failure(Failure::HeadTimeout));
                    return Err(fail(Failure::HeadTimeout));
                }
            }
            if gives_back && !matches!(step.then, Then::Refuse) {
                let attempt = attempt(&request).clone();
                let (head, body) = request.into_parts();
                attempt.give_back(Box::new(head));
                request = Request::new(body);
            }
            match step.then {
                Then::Answer(status, headers) => {
                    pick.answered(match status {
                        500.. => Outcome::Failure(Failure::Gateway),
                        _ => Outcome::Success,
                    });
                    let mut response = Response::new(Held { _pick: pick });
                    *response.status_mut() = status.try_into().unwrap();
                    let headers = headers.into_iter().map(|(name, value)| {
                        (
                            HeaderName::from_static(name),
                            HeaderValue::from_static(value),
                        )
                    });
                    response.headers_mut().extend(headers);
                    Ok(response)
                }
                Then::Refuse => Err(WorldError {
                    failure: Failure::Connect,
                    unsent: Some(Box::new(request)),
                    endpoint: Some(Arc::clone(pick.endpoint())),
                }),
                Then::Lose(failure) => Err(fail(failure)),
                Then::Nobody => unreachable!(),
            }
        })
    }
}

/// A body that comes in pieces, of a length that nobody knows before.
#[derive(Debug)]
pub(crate) struct Pieces(pub(crate) VecDeque<Piece>);

#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Data(&'static str),
    Trailers,
    Fail,
    /// Nothing comes for a moment.
    Wait,
}

pub(crate) fn pieces(pieces: impl IntoIterator<Item = Piece>) -> Pieces {
    Pieces(pieces.into_iter().collect())
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(match self.0.pop_front() {
            Some(Piece::Data(data)) => Ok(Frame::data(data.into())),
            Some(Piece::Trailers) => {
                let value = HeaderValue::from_static("value");
                let trailers = [(HeaderName::from_static("name"), value)];
                Ok(Frame::trailers(trailers.into_iter().collect()))
            }
            Some(Piece::Fail) => Err(std::io::Error::other("the client went away")),
            Some(Piece::Wait) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => return Poll::Ready(None),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
