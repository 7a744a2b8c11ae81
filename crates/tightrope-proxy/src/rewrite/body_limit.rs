//! A limit on the bodies of requests.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::answer::OrAnswer;
use crate::respond::{self, Text};

/// Answers requests with 413 whose bodies are larger than they may be.
///
/// Where the head says how long the body is, nobody inside hears of the request, and a client that
/// waits for `100 Continue` sends nothing. Else the body breaks off at the first piece that is too
/// much. If the service inside fails then the answer is 413 too; if it has begun to answer
/// already, that answer stands.
///
/// Put it inside of what turns errors into responses, as it has to see the error.
///
/// ```
/// use std::convert::Infallible;
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use tightrope_proxy::rewrite::{AnswerBody, BodyLimitLayer, LimitedBody};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = BodyLimitLayer::new(4).layer(service_fn(async |_: Request<LimitedBody<String>>| {
///     Ok::<_, Infallible>(Response::new(AnswerBody::inner(String::new())))
/// }));
/// let send = |body: &str| service.clone().oneshot(Request::new(body.to_owned()));
/// assert_eq!(send("four").await?.status(), 200);
/// assert_eq!(send("fives").await?.status(), 413);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct BodyLimitLayer {
    limit: u64,
}

/// The service of a [`BodyLimitLayer`].
#[derive(Clone, Debug)]
pub struct BodyLimit<S> {
    inner: S,
    limit: u64,
}

pin_project! {
    /// The body of a request, which breaks off where it becomes too large.
    #[derive(Debug)]
    pub struct LimitedBody<B> {
        #[pin]
        body: B,
        left: u64,
        limit: u64,
        is_too_large: Arc<AtomicBool>,
    }
}

/// Why a [`LimitedBody`] broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyLimitError<E> {
    /// It is too large.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// How many bytes it may have.
        limit: u64,
    },
    /// The body inside failed.
    #[error("the body failed")]
    Inner(#[source] E),
}

pin_project! {
    /// The response of [`BodyLimit`].
    ///
    /// # Cancellation
    /// Dropping it drops the future inside.
    #[derive(Debug)]
    pub struct BodyLimitFuture<F> {
        #[pin]
        response: OrAnswer<F>,
        is_too_large: Arc<AtomicBool>,
    }
}

// === impl BodyLimitLayer ===

impl BodyLimitLayer {
    /// Bodies may have this many bytes, trailers not counted; [`u64::MAX`] limits nothing.
    pub const fn new(limit: u64) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for BodyLimitLayer {
    type Service = BodyLimit<S>;

    fn layer(&self, inner: S) -> BodyLimit<S> {
        BodyLimit {
            inner,
            limit: self.limit,
        }
    }
}

// === impl BodyLimit ===

impl<S> BodyLimit<S> {
    /// The service inside.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to change it.
    #[must_use]
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the wrapping.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for BodyLimit<S>
where
    S: Service<Request<LimitedBody<B>>, Response = Response<R>>,
    B: Body,
    R: From<Text>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BodyLimitFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_too_large = Arc::new(AtomicBool::new(false));
        // What Content-Length says.
        let response = if request.body().size_hint().lower() > self.limit {
            OrAnswer::own(respond::too_large())
        } else {
            OrAnswer::inner(self.inner.call(request.map(|body| LimitedBody {
                body,
                left: self.limit,
                limit: self.limit,
                is_too_large: Arc::clone(&is_too_large),
            })))
        };
        BodyLimitFuture {
            response,
            is_too_large,
        }
    }
}

// === impl LimitedBody ===

impl<B: Body> Body for LimitedBody<B> {
    type Data = B::Data;
    type Error = BodyLimitError<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let this = self.project();
        let Some(frame) = ready!(this.body.poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(BodyLimitError::Inner)?;
        let length = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        match this.left.checked_sub(length) {
            Some(left) => {
                *this.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                *this.left = 0;
                // Whoever then sees the service fail sees why: Release, with Acquire below.
                this.is_too_large.store(true, Ordering::Release);
                Poll::Ready(Some(Err(BodyLimitError::TooLarge { limit: *this.limit })))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl BodyLimitFuture ===

impl<F, R, E> Future for BodyLimitFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Text>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match ready!(this.response.poll(cx)) {
            Err(_) if this.is_too_large.load(Ordering::Acquire) => {
                Poll::Ready(Ok(respond::too_large().map(R::from)))
            }
            response => Poll::Ready(response),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::BodyExt;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::rewrite::AnswerBody;

    type Own = AnswerBody<String>;

    /// A body of unknown length.
    struct Stream {
        pieces: usize,
    }

    impl Body for Stream {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let Some(left) = self.pieces.checked_sub(1) else {
                return Poll::Ready(None);
            };
            self.pieces = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"12")))))
        }
    }

    #[tokio::test]
    async fn a_stream_breaks_off_where_it_is_too_much() {
        for (pieces, status) in [(2, 200), (3, 413)] {
            let reads = service_fn(async |request: Request<LimitedBody<Stream>>| {
                let read = request.into_body().collect().await;
                read.map(|_| Response::new(Own::inner(String::new())))
            });
            let service = BodyLimitLayer::new(5).layer(reads);
            let response = service.oneshot(Request::new(Stream { pieces })).await;
            assert_eq!(response.unwrap().status(), status);
        }
    }

    #[tokio::test]
    async fn other_failures_stay_what_they_are() {
        let fails =
            service_fn(async |_: Request<LimitedBody<String>>| Err::<Response<Own>, _>("failed"));
        let service = BodyLimitLayer::new(5).layer(fails);
        let error = service.oneshot(Request::new("1".to_owned())).await;
        assert_eq!(error.unwrap_err(), "failed");
    }

    #[tokio::test]
    async fn an_answer_that_has_begun_stands() {
        let answers = service_fn(async |request: Request<LimitedBody<Stream>>| {
            let read = request.into_body().collect().await;
            let error = read.unwrap_err().to_string();
            Ok::<_, std::convert::Infallible>(Response::new(Own::inner(error)))
        });
        let service = BodyLimitLayer::new(5).layer(answers);
        let response = service
            .oneshot(Request::new(Stream { pieces: 3 }))
            .await
            .unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "the body has more than 5 bytes");
    }
}
