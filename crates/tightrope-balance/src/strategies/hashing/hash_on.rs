//! What is hashed, and how.

use std::{fmt, net::IpAddr};

use siphasher::sip::SipHasher13;

use crate::Context;

/// What of a request is hashed to keep it on an endpoint, and the secret that is hashed with it.
///
/// The default is [`key_or_client`](Self::key_or_client) without a secret. A request that has
/// nothing to hash gets a random hash, so such requests spread by weight, as gRPC and Envoy have it.
///
/// The hash is SipHash-1-3 of the bytes of the key, or of the address (4 bytes for IPv4 and
/// IPv4-mapped addresses, 16 for others). Without a secret its key is the ASCII text
/// `tightrope-hash-1`, the same in every process and version, so that all balancers agree where
/// a key goes. Some 200 instructions for a short key.
///
/// Source: J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF" (2012).
///
/// ```
/// use tightrope_balance::{HashOn, Maglev};
///
/// let strategy = Maglev::new().with_hash_on(HashOn::client());
/// ```
#[derive(Clone, Copy)]
pub struct HashOn {
    input: Input,
    secret: [u8; 16],
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Key,
    Client,
    KeyOrClient,
    KeyAndClient,
}

/// The key of SipHash where the user gives none.
const PUBLIC: [u8; 16] = *b"tightrope-hash-1";

// === impl HashOn ===

impl HashOn {
    const fn new(input: Input) -> Self {
        Self {
            input,
            secret: PUBLIC,
        }
    }

    /// What [`Context::with_key`] was given. An empty key is none.
    #[must_use]
    pub const fn key() -> Self {
        Self::new(Input::Key)
    }

    /// What [`Context::with_client`] was given.
    #[must_use]
    pub const fn client() -> Self {
        Self::new(Input::Client)
    }

    /// The key, and the address of the client where there is none.
    #[must_use]
    pub const fn key_or_client() -> Self {
        Self::new(Input::KeyOrClient)
    }

    /// Key and address together: one user on two addresses is two. Where one is missing it is
    /// the other alone. Combined as gRPC (proposal A42) and Envoy combine theirs: the hash of the
    /// key is rotated left by one bit, then that of the address is added by exclusive or.
    #[must_use]
    pub const fn key_and_client() -> Self {
        Self::new(Input::KeyAndClient)
    }

    /// Hashes with a key of one's own, which clients cannot know: they cannot choose keys that all
    /// go to one endpoint then. Give all balancers the same, or they send a key to different
    /// endpoints.
    #[must_use]
    pub const fn with_secret(mut self, secret: [u8; 16]) -> Self {
        self.secret = secret;
        self
    }

    /// The hash of a request; `None` where there is nothing to hash.
    pub(in crate::strategies) fn hash(&self, context: &Context<'_>) -> Option<u64> {
        let key = || {
            let key = context.key().filter(|key| !key.is_empty())?;
            Some(self.hash_bytes(key))
        };
        let client = || context.client().map(|client| self.hash_address(client));
        match self.input {
            Input::Key => key(),
            Input::Client => client(),
            Input::KeyOrClient => key().or_else(client),
            Input::KeyAndClient => match (key(), client()) {
                (Some(key), Some(client)) => Some(key.rotate_left(1) ^ client),
                (one, other) => one.or(other),
            },
        }
    }

    pub(super) fn hash_bytes(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.secret).hash(bytes)
    }

    fn hash_address(&self, client: IpAddr) -> u64 {
        match client.to_canonical() {
            IpAddr::V4(client) => self.hash_bytes(&client.octets()),
            IpAddr::V6(client) => self.hash_bytes(&client.octets()),
        }
    }
}

impl Default for HashOn {
    fn default() -> Self {
        Self::key_or_client()
    }
}

impl fmt::Debug for HashOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashOn")
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}
