//! How large a share of the traffic an endpoint gets.

use std::{fmt, str::FromStr};

/// The share of an endpoint relative to the others of its upstream: 0 to 65,535, default 1.
///
/// An endpoint of weight 2 gets twice as many requests as one of weight 1. Weight 0 gets no new
/// requests at all; what it has in flight ends undisturbed. If all weights are 0 nobody is
/// available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

/// A weight outside 0 to 65,535.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("weight `{value}` is not a whole number from 0 to 65535")]
pub struct WeightError {
    value: String,
}

impl Weight {
    /// No new requests.
    pub const ZERO: Self = Self(0);
    /// The default.
    pub const ONE: Self = Self(1);
    /// The largest.
    pub const MAX: Self = Self(u16::MAX);

    /// A weight.
    ///
    /// # Errors
    /// It is over 65,535.
    pub fn new(value: u32) -> Result<Self, WeightError> {
        u16::try_from(value).map(Self).map_err(|_| WeightError {
            value: value.to_string(),
        })
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl From<u16> for Weight {
    fn from(value: u16) -> Self {
        Self(value)
    }
}

impl FromStr for Weight {
    type Err = WeightError;

    fn from_str(text: &str) -> Result<Self, WeightError> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(value) if digits => Ok(Self(value)),
            _ => Err(WeightError {
                value: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
