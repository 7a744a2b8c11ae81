//! The time limit of a gRPC call, as it is written.

use std::{
    fmt::{self, Write},
    str::FromStr,
    time::Duration,
};

/// How long a gRPC call may take, as the field `grpc-timeout` says it: one to eight digits and a unit,
/// `H`, `M`, `S`, `m`, `u` or `n`, for hours to nanoseconds.
///
/// What is printed is in the finest unit that has room for it, rounded down: a server must not
/// go on for longer than its client waits.
///
/// Source: gRPC over HTTP/2, Requests. There a timeout is positive; one of 0, which servers read as
/// no time at all, is read so here.
///
/// ```
/// use std::time::Duration;
/// use tightrope_retry::GrpcTimeout;
///
/// let timeout: GrpcTimeout = "250m".parse()?;
/// assert_eq!(timeout.duration(), Duration::from_millis(250));
/// assert_eq!(timeout.to_string(), "250000u");
/// assert!("1.5S".parse::<GrpcTimeout>().is_err());
/// # Ok::<(), tightrope_retry::GrpcTimeoutError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcTimeout(Duration);

/// A text that is no [`GrpcTimeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not one to eight digits and one of H, M, S, m, u and n")]
pub struct GrpcTimeoutError(());

/// The largest number of eight digits.
const MOST: u128 = 99_999_999;

/// The units and their nanoseconds, the finest first.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

// === impl GrpcTimeout ===

impl GrpcTimeout {
    /// The longest, more than 11,000 years.
    pub const MAX: Self = Self(Duration::from_secs(99_999_999 * 3600));

    /// A limit of `duration`, or the longest if that is longer.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        Self(duration.min(Self::MAX.0))
    }

    /// How long that is.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (unit, digits) = text.split_last()?;
        let (_, nanos) = UNITS.into_iter().find(|(name, _)| name == unit)?;
        if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        // Eight digits fit.
        let number = digits
            .iter()
            .fold(0_u32, |number, digit| number * 10 + u32::from(digit - b'0'));
        Some(Self(Duration::from_nanos(nanos) * number))
    }
}

impl FromStr for GrpcTimeout {
    type Err = GrpcTimeoutError;

    fn from_str(text: &str) -> Result<Self, GrpcTimeoutError> {
        Self::parse(text.as_bytes()).ok_or(GrpcTimeoutError(()))
    }
}

impl fmt::Display for GrpcTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let fits = |&(_, unit): &(u8, u64)| nanos / u128::from(unit) <= MOST;
        let (name, unit) = UNITS.into_iter().find(fits).unwrap_or(UNITS[5]);
        write!(f, "{}", nanos / u128::from(unit))?;
        f.write_char(char::from(name))
    }
}
