//! How slow a transfer may be.

use std::{num::NonZeroU32, time::Duration};

/// The fewest bytes of a body that may come each second in which they are waited for.
///
/// A sender that gives a byte now and then never stalls for long, and holds a connection, a place in
/// flight and memory as long as it likes: that is how a slow `POST` takes servers down. Where a rate is
/// set each sender begins with some [patience](Self::with_patience) of ours. What it sends earns the time
/// that it may take at this rate, up to the whole patience again, and the time in which it is waited for
/// is taken off. Where nothing is left it was too slow. So a long transfer may pause, and what was sent
/// quickly an hour ago is no credit.
///
/// Time in which nobody waits for the sender does not count: a client that takes a response slowly never
/// makes its endpoint look slow, nor an endpoint that takes an upload slowly its client.
///
/// For bodies that are transferred, not for streams of rare events: of those the quiet is no fault.
///
/// It costs a piece that was waited for one look at the clock, and no timer of its own.
///
/// Source: Kestrel's `MinRequestBodyDataRate`, which allows 240 bytes a second after 5 s, and the
/// `MinRate` of Apache's `mod_reqtimeout`, 500 bytes a second after 20 s; both add up the whole transfer.
///
/// ```
/// use std::{num::NonZeroU32, time::Duration};
/// use tightrope_proxy::{ForwardConfig, MinRate};
///
/// let rate = NonZeroU32::new(240).expect("more than 0");
/// let config = ForwardConfig::new().with_min_request_rate(Some(MinRate::new(rate)));
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a rate does nothing until it is given to a `ForwardConfig`"]
pub struct MinRate {
    bytes_per_second: NonZeroU32,
    patience: Duration,
}

/// How much longer one sender is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credit {
    rate: MinRate,
    left: Duration,
}

impl MinRate {
    /// This many bytes a second, with a patience of 30 s: as long as a body may stall by default, so that a
    /// single pause is judged by that alone.
    pub const fn new(bytes_per_second: NonZeroU32) -> Self {
        Self {
            bytes_per_second,
            patience: Duration::from_secs(30),
        }
    }

    /// How long a sender may send nothing, at first or after it sent much: what Kestrel calls the grace
    /// period, and the time over which the rate is averaged. Zero is over at once.
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

// === impl Credit ===

impl Credit {
    pub(crate) const fn new(rate: MinRate) -> Self {
        Self {
            rate,
            left: rate.patience,
        }
    }

    /// How long the next wait may be, of which `limit` bounds each.
    pub(crate) fn patience(&self, limit: Duration) -> Duration {
        limit.min(self.left)
    }

    /// This many bytes came after a wait.
    pub(crate) fn earn(&mut self, bytes: usize, waited: Duration) {
        let rate = u64::from(self.rate.bytes_per_second.get());
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / rate;
        let left = self.left.saturating_sub(waited);
        let earned = left.saturating_add(Duration::from_nanos(nanos));
        self.left = earned.min(self.rate.patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn credit() -> Credit {
        let rate = NonZeroU32::new(100).unwrap();
        Credit::new(MinRate::new(rate).with_patience(5 * SECOND))
    }

    #[test]
    fn at_the_rate_the_patience_lasts_for_ever_and_below_it_does_not() {
        let mut steady = credit();
        for _ in 0..1000 {
            steady.earn(100, SECOND);
            assert_eq!(steady.patience(30 * SECOND), 5 * SECOND);
        }
        let mut slow = credit();
        for left in [4500, 4000, 3500] {
            slow.earn(50, SECOND);
            assert_eq!(slow.patience(30 * SECOND), Duration::from_millis(left));
        }
    }

    #[test]
    fn much_at_once_earns_no_more_than_the_whole_patience() {
        let mut credit = credit();
        credit.earn(usize::MAX, 3 * SECOND);
        assert_eq!(credit.patience(30 * SECOND), 5 * SECOND);
        credit.earn(0, 60 * SECOND);
        assert_eq!(credit.patience(30 * SECOND), Duration::ZERO);
    }
}
