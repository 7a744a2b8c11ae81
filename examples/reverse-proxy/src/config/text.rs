//! Values that are written as text and checked as they are read, so that an error names its line.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error};
use tightrope::upstream::Weight;

/// Anything that can be parsed.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|error| D::Error::custom(describe(&text, &error)))
}

/// The same, where it may be missing.
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    parsed(deserializer).map(Some)
}

/// A list of them.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parse = |text: &String| text.parse().map_err(|error| describe(text, &error));
    texts
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()
        .map_err(D::Error::custom)
}

pub(super) fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Weight, D::Error> {
    let number = i64::deserialize(deserializer)?;
    number.to_string().parse().map_err(D::Error::custom)
}

/// The error, with the value where it does not name it itself.
fn describe(text: &str, error: &impl Display) -> String {
    let message = error.to_string();
    if message.contains(text) {
        message
    } else {
        format!("`{text}`: {message}")
    }
}
