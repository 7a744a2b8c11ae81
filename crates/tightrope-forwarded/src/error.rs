//! Why a setting was refused.

/// Why a text is not a [`Cidr`](crate::Cidr).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CidrError {
    /// What stands before the `/`, or all of it, is not an IP address.
    #[error(
        "`{value}` is not an IP address or network, such as 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32"
    )]
    Address {
        /// The text as it was given.
        value: String,
    },
    /// What stands behind the `/` is not a number of bits that the address has.
    #[error("`{value}` does not end in a prefix length from 0 to {max}")]
    PrefixLength {
        /// The text as it was given.
        value: String,
        /// The longest prefix of an address of this family: 32 or 128 bits.
        max: u8,
    },
}

/// Why a text cannot stand for us in `by`, see [`ForwardedElement::with_by`](crate::ForwardedElement::with_by).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is neither an address nor a name such as _edge1")]
#[non_exhaustive]
pub struct ByError {
    /// The text as it was given.
    pub value: String,
}

/// Why a text cannot be our name in `Via`, see [`ViaLayer::new`](crate::ViaLayer::new).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a name for Via, such as edge1")]
#[non_exhaustive]
pub struct PseudonymError {
    /// The text as it was given.
    pub value: String,
}

/// Why a [`Via`](crate::Via) has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViaError<E> {
    /// The request has our name in its `Via`. It was not passed on; the client's answer is a `508 Loop Detected`.
    #[error("the request went through this proxy before")]
    Loop,
    /// The error of the service inside.
    #[error("the service inside failed")]
    Inner(#[source] E),
}
