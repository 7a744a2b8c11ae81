//! How long an endpoint may take to answer.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::timeout;

use crate::forward::Upload;

/// No response head came in time.
#[derive(Debug)]
pub(crate) struct Elapsed;

/// Waits for `response` for as long as the endpoint does not keep us waiting for `limit`.
///
/// While the request body is still being sent, only the time counts in which the endpoint takes
/// nothing of it: a long upload is not a slow answer.
pub(crate) async fn head<F: Future>(
    response: F,
    limit: Duration,
    upload: Option<&Upload>,
) -> Result<F::Output, Elapsed> {
    let mut response = pin!(response);
    let mut wait = limit;
    loop {
        // Polls the response first: an answer in hand is not thrown away at the deadline.
        if let Ok(answer) = timeout(wait, response.as_mut()).await {
            return Ok(answer);
        }
        wait = upload.map_or(Duration::ZERO, |upload| upload.patience(limit));
        if wait.is_zero() {
            return Err(Elapsed);
        }
    }
}
