//! Reads a report from the trailers of a body.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tightrope_upstream::Endpoint;

use super::{LoadReport, Reports};

pin_project! {
    /// A body whose trailers may hold a report. What passes through is not changed.
    #[derive(Debug)]
    pub struct ReadBody<B> {
        #[pin]
        body: B,
        waits: Option<(Arc<Endpoint>, Reports)>,
    }
}

impl<B> ReadBody<B> {
    pub(super) const fn new(body: B, waits: Option<(Arc<Endpoint>, Reports)>) -> Self {
        Self { body, waits }
    }
}

impl<B: Body> Body for ReadBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
            && let Some((endpoint, reports)) = this.waits.take()
            && let Ok(Some(report)) = LoadReport::from_headers(trailers)
        {
            reports.observe(&endpoint, Some(&report));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
