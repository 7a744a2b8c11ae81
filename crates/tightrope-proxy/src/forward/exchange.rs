//! One request out, one response back.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tightrope_upstream::{Attempt, Endpoint, Failed, Patience, Pick};

use crate::{
    ForwardBody, ForwardError, Preamble, Protocol, check_request, classify,
    error::BoxError,
    forward::{
        Outgoing,
        answer::{Answer, Received},
        departing::Departing,
        http1, http2,
        service::Shared,
    },
    pool::Lent,
    timeout::Waits,
};

/// Why there is no response.
pub(super) enum Ended {
    Failed(ForwardError),
    /// The connection was over, or about to be, before anything was done with the request.
    Unsent {
        error: ForwardError,
        /// The body that did not go out.
        outgoing: Option<Box<Outgoing>>,
    },
    /// The endpoint takes nothing more, but did nothing of it.
    Refused {
        error: ForwardError,
        outgoing: Option<Box<Outgoing>>,
    },
}

/// Forwards `request` to the endpoint of `pick`, which is released whatever happens to the future.
pub(crate) async fn exchange<B>(
    shared: Arc<Shared>,
    request: Request<B>,
    mut pick: Pick,
) -> Result<Response<ForwardBody>, ForwardError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let attempt = request.extensions().get::<Attempt>();
    let patience = attempt.and_then(Attempt::patience).cloned();
    let patience = patience.as_ref();
    let sent = send(&shared, request, Arc::clone(pick.endpoint()), patience).await;
    match sent {
        Ok(answer) => Ok(answer.into_response(&shared, pick, patience)),
        Err(error) => {
            pick.set_outcome(classify::of_failure(error.failure()));
            Err(error)
        }
    }
}

/// Sends `request` on a pooled connection or a new one, and on another where nothing of it was sent.
async fn send<B>(
    shared: &Shared,
    request: Request<B>,
    endpoint: Arc<Endpoint>,
    patience: Option<&Patience>,
) -> Result<Answer, ForwardError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let config = &shared.config;
    check_request(&request)
        .and_then(|()| config.underscores.check(request.headers()))
        .map_err(|error| ForwardError::new(error.failure()).with_source(error))?;
    let upgrade = config.upgrades.asked(&request);
    // RFC 9113 §8.6: HTTP/2 has no upgrades.
    let protocol = match upgrade {
        Some(_) => Protocol::Http1,
        None => config.protocol,
    };
    let preamble = request.extensions().get::<Preamble>().cloned();
    let lent = shared
        .pool
        .lend(&endpoint, protocol, preamble.as_ref(), patience)
        .await;
    let mut loan = match lent {
        Ok(loan) => loan,
        Err(error) => return Err(error.with_unsent(request, endpoint)),
    };
    let (departing, mut outgoing) = Departing::new(request, upgrade, &endpoint, config);
    loop {
        let is_reused = loan.is_reused;
        let (head, upload) = (departing.head(), departing.upload());
        let waits = Waits {
            head: config.head_timeout,
            patience,
        };
        let received = match loan.lent {
            Lent::Http1(connection, open) => {
                let sent = http1::send(connection, is_reused, head, outgoing, upload, waits).await;
                sent.map(|answered| Received::Http1 { answered, open })
            }
            Lent::Http2(stream, requests) => {
                let sent =
                    http2::send((stream, requests), is_reused, head, outgoing, upload, waits);
                Box::pin(sent).await.map(Received::Http2)
            }
        };
        let (mut error, may_try_here);
        (error, outgoing, may_try_here) = match received {
            Ok(received) => return Answer::new(received, departing),
            Err(Ended::Failed(error)) => return Err(error),
            // The endpoint closed the connection while it was idle.
            Err(Ended::Unsent { error, outgoing }) => (error, outgoing, is_reused),
            Err(Ended::Refused { error, outgoing }) => (error, outgoing, false),
        };
        if may_try_here {
            match shared.pool.lend(&endpoint, protocol, None, patience).await {
                Ok(next) => {
                    loan = next;
                    continue;
                }
                Err(none) => error = none,
            }
        }
        return Err(match departing.come_back(outgoing, config) {
            Some(request) => error.with_unsent(request, endpoint),
            None => error,
        });
    }
}
