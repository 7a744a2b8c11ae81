//! One request out, one response back.

use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use tightrope_upstream::{Endpoint, Failed, Patience, Pick};

use crate::{
    ForwardBody, ForwardError, Protocol, check_request, classify,
    error::BoxError,
    forward::{
        Outgoing,
        answer::{Answer, Received},
        departing::Departing,
        http1, http2,
        service::Shared,
    },
    pool::Lent,
    splice::SplicedData,
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
pub(crate) fn exchange<B>(
    shared: Arc<Shared>,
    request: Request<B>,
    mut pick: Pick,
) -> impl Future<Output = Result<Response<ForwardBody>, ForwardError>> + Send + 'static
where
    B: Body<Data: Into<SplicedData>> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let config = &shared.config;
    let checked = check_request(&request)
        .and_then(|()| config.underscores.check(request.headers()))
        .map_err(|error| ForwardError::new(error.failure()).with_source(error));
    let upgrade = config.upgrades.asked(&request);
    let mut departing = Departing::new(request, upgrade);
    // A block and no `async fn`: that keeps a second place for all that it is given.
    async move {
        let patience = departing.patience();
        let patience = patience.as_ref();
        let sent = match checked {
            Ok(()) => send(&shared, &mut departing, pick.endpoint(), patience).await,
            Err(error) => Err(error),
        };
        let answer = sent.and_then(|received| Answer::new(received, &mut departing));
        departing.give_back(&shared.config);
        match answer {
            Ok(answer) => Ok(answer.into_response(&shared, pick, patience)),
            Err(error) => {
                pick.set_outcome(classify::of_failure(error.failure()));
                Err(error)
            }
        }
    }
}

/// Sends the request on a pooled connection or a new one, and on another where nothing of it was sent.
async fn send<B>(
    shared: &Shared,
    departing: &mut Departing<B>,
    endpoint: &Arc<Endpoint>,
    patience: Option<&Patience>,
) -> Result<Received, ForwardError>
where
    B: Body<Data: Into<SplicedData>> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let config = &shared.config;
    // RFC 9113 §8.6: HTTP/2 has no upgrades.
    let protocol = match departing.protocol() {
        Some(_) => Protocol::Http1,
        None => config.protocol,
    };
    let lent = shared
        .pool
        .lend(endpoint, protocol, departing.preamble(), patience)
        .await;
    let mut loan = match lent {
        Ok(loan) => loan,
        Err(error) => return Err(unsent(error, departing.stay(), endpoint)),
    };
    let mut outgoing = departing.depart(endpoint, config);
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
            Ok(received) => return Ok(received),
            Err(Ended::Failed(error)) => return Err(error),
            // The endpoint closed the connection while it was idle.
            Err(Ended::Unsent { error, outgoing }) => (error, outgoing, is_reused),
            Err(Ended::Refused { error, outgoing }) => (error, outgoing, false),
        };
        if may_try_here {
            match shared.pool.lend(endpoint, protocol, None, patience).await {
                Ok(next) => {
                    loan = next;
                    continue;
                }
                Err(none) => error = none,
            }
        }
        return Err(unsent(
            error,
            departing.come_back(outgoing, config),
            endpoint,
        ));
    }
}

/// `error`, with the request where that is there.
fn unsent<B: Send + 'static>(
    error: ForwardError,
    request: Option<Request<B>>,
    endpoint: &Arc<Endpoint>,
) -> ForwardError {
    match request {
        Some(request) => error.with_unsent(request, Arc::clone(endpoint)),
        None => error,
    }
}
