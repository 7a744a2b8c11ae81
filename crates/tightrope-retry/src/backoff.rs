//! How long to wait before a request is sent again.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderValue,
    header::{DATE, HeaderName, RETRY_AFTER},
};

/// Waits that grow with each attempt of a request, by chance from nothing to their bound, so that
/// many that failed together do not come back together.
///
/// Before the second attempt it is up to `base`, before each further one up to twice as much as
/// before, and never more than `max`. Use it where the next attempt may well meet the same trouble;
/// on another endpoint the first retry need not wait, and without a backoff none does.
///
/// Source: "full jitter" of M. Brooker, "Exponential Backoff And Jitter", 2015; chance by
/// `SplitMix64` (Steele, Lea and Flood, 2014).
///
/// ```
/// use std::time::Duration;
/// use tightrope_retry::Backoff;
///
/// let backoff = Backoff::new(Duration::from_millis(25), Duration::from_millis(250))?.with_seed(1);
/// assert!(backoff.draw(1) <= Duration::from_millis(25));
/// assert!(backoff.draw(9) <= Duration::from_millis(250));
/// # Ok::<(), tightrope_retry::BackoffError>(())
/// ```
#[derive(Clone)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    /// The state of the chance, which clones share.
    chance: Arc<AtomicU64>,
}

/// A [`Backoff`] that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackoffError {
    /// No time at all.
    #[error("base is 0")]
    Base,
    /// Less than the base.
    #[error("max is {max:?}, less than the base of {base:?}")]
    Max {
        /// The base.
        base: Duration,
        /// What was to be the most.
        max: Duration,
    },
}

/// What an endpoint says of further attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushback {
    /// Nothing.
    None,
    /// Not before this time has passed.
    Wait(Duration),
    /// None at all.
    Stop,
}

// === impl Backoff ===

impl Backoff {
    /// Up to `base` at first, and never more than `max`.
    ///
    /// # Errors
    /// `base` is 0, or more than `max`.
    pub fn new(base: Duration, max: Duration) -> Result<Self, BackoffError> {
        if base.is_zero() {
            return Err(BackoffError::Base);
        }
        if max < base {
            return Err(BackoffError::Max { base, max });
        }
        // Keys that the system gave; what is hashed does not matter.
        let seed = RandomState::new().hash_one(());
        Ok(Self {
            base,
            max,
            chance: Arc::new(AtomicU64::new(seed)),
        })
    }

    /// Draws from this seed instead of one that the system gave.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self {
            chance: Arc::new(AtomicU64::new(seed)),
            ..self
        }
    }

    /// The wait after the attempt of this number, from 1.
    #[must_use]
    pub fn draw(&self, attempt: usize) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let bound = self.base.saturating_mul(factor).min(self.max);
        bound.mul_f64(self.unit())
    }

    /// From 0 up to, but not including, 1.
    fn unit(&self) -> f64 {
        // Relaxed: only that no two draws see the same state matters.
        let state = self.chance.fetch_add(GOLDEN, Ordering::Relaxed);
        let mut z = state.wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// 2^64 by the golden ratio, odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff")
            .field("base", &self.base)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

// === impl Pushback ===

impl Pushback {
    /// What is said in the head of a response. More than `most` is as good as no.
    pub(crate) fn of(headers: &HeaderMap, most: Duration) -> Self {
        static GRPC: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
        let said = if let Some(pushback) = headers.get(&GRPC) {
            // gRPC A6: what is no number, or a negative one, means no.
            let number = pushback.to_str().ok().and_then(|text| text.parse().ok());
            match number {
                Some(ms) => Self::Wait(Duration::from_millis(ms)),
                None => Self::Stop,
            }
        } else if let Some(after) = headers.get(RETRY_AFTER) {
            Self::after(after, headers)
        } else {
            Self::None
        };
        match said {
            Self::Wait(wait) if wait > most => Self::Stop,
            said => said,
        }
    }

    /// RFC 9110 §10.2.3: seconds, or a date. What is neither says nothing.
    fn after(after: &HeaderValue, headers: &HeaderMap) -> Self {
        let text = after.to_str().unwrap_or_default();
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            // More than fits is for ever.
            return Self::Wait(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
        }
        // The endpoint's own clock says how far away that is, where it tells the time.
        let now = date(headers.get(DATE)).unwrap_or_else(SystemTime::now);
        match date(Some(after)) {
            // A date that is over is no wait.
            Some(date) => Self::Wait(date.duration_since(now).unwrap_or_default()),
            None => Self::None,
        }
    }
}

fn date(value: Option<&HeaderValue>) -> Option<SystemTime> {
    httpdate::parse_http_date(value?.to_str().ok()?).ok()
}
