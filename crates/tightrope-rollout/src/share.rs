//! A part of a whole.

use std::fmt;

/// A part of a whole, over 0 and up to 1: `0.5` is one half.
///
/// ```
/// use tightrope_rollout::Share;
///
/// assert_eq!(Share::new(0.25)?.to_string(), "25%");
/// assert!(Share::new(0.0).is_err());
/// assert!(Share::new(f64::NAN).is_err());
/// # Ok::<(), tightrope_rollout::ShareError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(f64);

/// A number that is not over 0 and up to 1.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("share {value} is not over 0 and up to 1")]
pub struct ShareError {
    value: f64,
}

// === impl Share ===

impl Share {
    /// All of it.
    pub const ALL: Self = Self(1.0);

    /// A twentieth.
    pub(crate) const FIVE_PERCENT: Self = Self(0.05);

    /// A share.
    ///
    /// # Errors
    /// It is 0 or less, over 1, or not a number.
    pub fn new(value: f64) -> Result<Self, ShareError> {
        if value > 0.0 && value <= 1.0 {
            Ok(Self(value))
        } else {
            Err(ShareError { value })
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Whether `part` is at least this share of `whole`; never where `part` is 0.
    ///
    /// A quotient is rounded as a literal is, so 3 of 30 are a share of 0.1. A product would not be.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub(crate) fn is_reached(self, part: u64, whole: u64) -> bool {
        part > 0 && part as f64 / whole as f64 >= self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}
