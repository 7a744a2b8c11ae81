//! One call that is observed, until it has a response.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;
use tightrope_upstream::Classify;

use super::{CallEnd, ObservedBody, body::Watch, classify};
use crate::Listening;

pin_project! {
    /// The response of a [`GrpcObserve`](super::GrpcObserve).
    ///
    /// # Cancellation
    /// Dropping it drops the call, of which nothing is told then.
    #[derive(Debug)]
    pub struct ResponseFuture<F, C, L> {
        #[pin]
        response: F,
        // None once there was a response.
        watch: Option<(C, L)>,
    }
}

impl<F, C, L> ResponseFuture<F, C, L> {
    pub(super) const fn new(response: F, classify: C, listening: L) -> Self {
        Self {
            response,
            watch: Some((classify, listening)),
        }
    }
}

impl<F, C, L, B, E> Future for ResponseFuture<F, C, L>
where
    F: Future<Output = Result<Response<B>, E>>,
    C: Classify<CallEnd, E>,
    L: Listening,
{
    type Output = Result<Response<ObservedBody<B, C, E, L>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.response.poll(cx));
        let watch = this.watch.take();
        Poll::Ready(match result {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let mut watch =
                    watch.map(|(classify, listening)| Watch::new(head.status, classify, listening));
                // A call that failed at once has its status in the head, and so has what is no gRPC.
                let status = classify::status(&head.headers);
                if (status.is_some() || head.status != http::StatusCode::OK)
                    && let Some(watch) = watch.take()
                {
                    watch.end(status.and_then(classify::number));
                }
                Ok(Response::from_parts(head, ObservedBody::new(body, watch)))
            }
            Err(error) => {
                if let Some((classify, listening)) = watch {
                    listening.end(classify.classify(Err(&error)));
                }
                Err(error)
            }
        })
    }
}
