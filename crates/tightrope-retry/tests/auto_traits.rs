//! Which public types can be sent, shared and moved.

use http::Request;
use tightrope_retry::{Retry, RetryLayer};

#[test]
fn public_types_are_send_sync_and_unpin() {
    fn all<T: Send + Sync + Unpin>() {}
    all::<Retry<()>>();
    all::<RetryLayer>();
}

#[test]
fn the_future_is_send_where_its_parts_are() {
    fn send<T: Send>(_: T) {}
    let mut retry = Retry::new(Inner);
    send(tower::Service::call(&mut retry, Request::new(())));

    #[derive(Clone)]
    struct Inner;
    #[derive(Debug)]
    struct Error;
    impl tightrope_upstream::Failed for Error {
        fn failure(&self) -> tightrope_upstream::Failure {
            tightrope_upstream::Failure::Local
        }
    }
    impl tightrope_upstream::TakeUnsent<Request<()>> for Error {
        fn take_unsent(&mut self) -> Option<tightrope_upstream::Unsent<Request<()>>> {
            None
        }
    }
    impl tower::Service<Request<()>> for Inner {
        type Response = ();
        type Error = Error;
        type Future = std::future::Ready<Result<(), Error>>;
        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Error>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<()>) -> Self::Future {
            std::future::ready(Ok(()))
        }
    }
}
