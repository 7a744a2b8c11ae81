//! The names that tell endpoints and groups apart.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use crate::Address;

/// What tells one endpoint from another for ever: its live state is kept under this id.
///
/// The default is the text of the endpoint's address. Give an id of your own where the address
/// may change while the endpoint stays what it is (a pod that keeps its name). 1 to 512 bytes
/// without white space or control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(Arc<str>);

/// A labelled part of an upstream, such as `blue`, `green` or `canary`.
///
/// 1 to 512 bytes without white space or control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(Arc<str>);

/// A text that cannot be an [`EndpointId`] or a [`Group`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {what}: 1 to 512 bytes without white space or control characters")]
pub struct NameError {
    what: &'static str,
    value: String,
}

macro_rules! name {
    ($name:ident, $what:literal) => {
        impl $name {
            #[doc = concat!("Checks that `value` can be ", $what, ".")]
            ///
            /// # Errors
            /// It is empty, longer than 512 bytes, or has white space or control characters.
            pub fn new(value: &str) -> Result<Self, NameError> {
                let fits = (1..=512).contains(&value.len())
                    && !value.chars().any(|c| c.is_whitespace() || c.is_control());
                if fits {
                    Ok(Self(value.into()))
                } else {
                    Err(NameError {
                        what: $what,
                        value: value.to_owned(),
                    })
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(value: &str) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(EndpointId, "an endpoint id");
name!(Group, "a group name");

impl From<&Address> for EndpointId {
    /// The text of the address. A Unix path may hold white space, which an id may not: there the
    /// path is percent-encoded, so that two addresses never share an id.
    fn from(address: &Address) -> Self {
        let text = address.to_string();
        if !matches!(address, Address::Unix(_)) {
            return Self(text.into());
        }
        let mut encoded = String::with_capacity(text.len());
        for c in text.chars() {
            if c == '%' || c.is_whitespace() || c.is_control() {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    encoded.push_str(&format!("%{byte:02X}"));
                }
            } else {
                encoded.push(c);
            }
        }
        Self(encoded.into())
    }
}
