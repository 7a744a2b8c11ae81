//! Answers in place of the service inside.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::respond::Text;

pin_project! {
    /// The body of a response: somebody's, or our own.
    ///
    /// Layers that may answer by themselves ask for a service whose body can be made of a [`Text`],
    /// which this one can.
    ///
    /// ```
    /// use http_body::Body;
    /// use tightrope_proxy::{respond, rewrite::AnswerBody};
    ///
    /// let own: AnswerBody<String> = respond::not_found().into_body().into();
    /// assert_eq!(own.size_hint().exact(), Some(10));
    /// assert_eq!(AnswerBody::inner("hello".to_owned()).size_hint().exact(), Some(5));
    /// ```
    #[derive(Clone, Debug)]
    pub struct AnswerBody<B> {
        #[pin]
        body: Whose<B>,
    }
}

pin_project! {
    #[project = WhoseProjection]
    #[derive(Clone, Debug)]
    enum Whose<B> {
        Inner { #[pin] body: B },
        Own { text: Text },
    }
}

pin_project! {
    /// The response of the service inside, or our own in its stead.
    #[project = OrAnswerProjection]
    #[derive(Debug)]
    pub(crate) enum OrAnswer<F> {
        Inner { #[pin] response: F },
        Own { answer: Option<Response<Text>> },
    }
}

// === impl AnswerBody ===

impl<B> AnswerBody<B> {
    /// Somebody's body.
    #[must_use]
    pub const fn inner(body: B) -> Self {
        Self {
            body: Whose::Inner { body },
        }
    }

    /// Somebody's body; `None` where the answer is our own.
    #[must_use]
    pub const fn get_ref(&self) -> Option<&B> {
        match &self.body {
            Whose::Inner { body } => Some(body),
            Whose::Own { .. } => None,
        }
    }
}

impl<B> From<Text> for AnswerBody<B> {
    fn from(text: Text) -> Self {
        Self {
            body: Whose::Own { text },
        }
    }
}

impl<B: Body<Data: From<Bytes>>> Body for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().body.project() {
            WhoseProjection::Inner { body } => body.poll_frame(cx),
            WhoseProjection::Own { text } => {
                let frame = Pin::new(text).poll_frame(cx);
                frame
                    .map_ok(|frame| frame.map_data(B::Data::from))
                    .map_err(|never| match never {})
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Whose::Inner { body } => body.is_end_stream(),
            Whose::Own { text } => text.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Whose::Inner { body } => body.size_hint(),
            Whose::Own { text } => text.size_hint(),
        }
    }
}

// === impl OrAnswer ===

impl<F> OrAnswer<F> {
    pub(crate) const fn inner(response: F) -> Self {
        Self::Inner { response }
    }

    pub(crate) const fn own(answer: Response<Text>) -> Self {
        Self::Own {
            answer: Some(answer),
        }
    }
}

impl<F, B, E> Future for OrAnswer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: From<Text>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            OrAnswerProjection::Inner { response } => response.poll(cx),
            OrAnswerProjection::Own { answer } => match answer.take() {
                Some(answer) => Poll::Ready(Ok(answer.map(B::from))),
                // Polled after its end, where a future may wait for ever.
                None => Poll::Pending,
            },
        }
    }
}
