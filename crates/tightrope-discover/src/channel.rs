//! Lists from code of your own.

use std::sync::Arc;

use tightrope_upstream::{EndpointSpec, NextList, Source};
use tokio::sync::watch;

/// A source, and the handle that its lists are sent with. The newest list is given; one that was not yet taken when a
/// newer one was sent is skipped.
///
/// ```
/// use tightrope_discover::channel;
/// use tightrope_upstream::{EndpointSpec, Source};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (sender, mut source) = channel();
/// sender.send(Vec::new())?;
/// sender.send(vec![EndpointSpec::new("10.0.0.1:8080".parse()?)])?;
/// drop(sender);
///
/// assert_eq!(source.next().await.unwrap().unwrap().len(), 1);
/// assert!(source.next().await.is_none());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn channel() -> (Sender, ChannelSource) {
    let (sender, receiver) = watch::channel(Arc::default());
    (Sender { sender }, ChannelSource { receiver })
}

/// Sends lists to a [`ChannelSource`]. The source ends when all clones of its sender are gone and the newest list was
/// taken.
#[derive(Clone, Debug)]
pub struct Sender {
    sender: watch::Sender<Arc<[EndpointSpec]>>,
}

/// A source of the lists that a [`Sender`] sends. It gives none before the first was sent.
#[derive(Debug)]
pub struct ChannelSource {
    receiver: watch::Receiver<Arc<[EndpointSpec]>>,
}

/// The source of a [`Sender`] is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody takes the lists any more")]
#[non_exhaustive]
pub struct Closed;

// === impl Sender ===

impl Sender {
    /// Sends a list. Never waits.
    ///
    /// # Errors
    /// The source is gone.
    pub fn send(&self, list: Vec<EndpointSpec>) -> Result<(), Closed> {
        self.sender.send(list.into()).map_err(|_| Closed)
    }
}

// === impl ChannelSource ===

impl Source for ChannelSource {
    fn next(&mut self) -> NextList<'_> {
        Box::pin(async {
            // An error means that all senders are gone, and that the newest list was taken.
            self.receiver.changed().await.ok()?;
            Some(Ok(self.receiver.borrow_and_update().to_vec()))
        })
    }
}
