//! Scripted endpoints and contract checks for the tests of the tightrope crates.
//!
//! ```
//! use tightrope_test::{Client, Origin};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tightrope_test::BoxError> {
//! let origin = Origin::start("blue").await;
//! let answer = Client::connect(origin.address()).await?.get("/").await?;
//! assert_eq!((answer.status, answer.origin()), (200, "blue"));
//! assert_eq!(origin.requests(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! | when you want | use |
//! | --- | --- |
//! | an endpoint on loopback that does what a path says | [`Origin`] |
//! | a server around a service under test | [`Front`] |
//! | a client that reads whole answers, and tunnels | [`Client`] |
//! | to know that a service keeps the rules of tower and of this project | [`contract`] |
//!
//! What this crate does not do: raw or broken HTTP (tests of the proxy write their own bytes).
//! It panics where something fails, as tests do.

mod client;
pub mod contract;
mod front;
mod origin;

pub use crate::{
    client::{Answer, BoxError, Client, Tunnel},
    front::Front,
    origin::Origin,
};
