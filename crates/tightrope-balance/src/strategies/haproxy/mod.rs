//! Strategies that send each client where HAProxy would.
//!
//! For a service that moves here from HAProxy, or runs beside it, and wants every client to stay
//! where it is. Recorded from HAProxy 2.6.12.
//!
//! | HAProxy | here |
//! | --- | --- |
//! | `balance source` | [`Source`] |
//! | `balance hdr(x)`, `uri`, `url_param` and so on | [`KeyHash`], given what they extract |
//! | `hash-type` | [`HashType`], [`Function`] |
//! | `hash-balance-factor` | `with_hash_balance_factor` of either |
//! | `server web1 ... id 7` | the label [`ID_LABEL`] of the endpoint: `7` |

mod function;
mod hash_type;
mod id;
mod key_hash;
mod map;
mod picker;
mod source;
mod tree;

pub use self::{
    function::Function, hash_type::HashType, id::ID_LABEL, key_hash::KeyHash, source::Source,
};
