//! What a reverse proxy keeps for connections, and whether it gives it back.
//!
//! ```text
//! cargo run --release -p endurance -- memory target/release/reverse-proxy --config benches/endurance/proxy.toml
//! cargo run --release -p endurance -- soak target/release/reverse-proxy --config benches/endurance/proxy.toml
//! ```
//!
//! The proxy is a process of its own, which must listen on 127.0.0.1:25100 and forward to ports 25102 and
//! 25103 of it. `soak` asks 127.0.0.1:25101 for `/state`. Any proxy will do for `memory`, which measures others beside it
//! (`--peer`): configurations of some are in `benches/endurance/peers`. HTTP/2 may have port 25104 to itself. For Linux:
//! the figures are those of `/proc`.

mod idle;
mod memory;
mod origin;
mod program;
mod slow;
mod soak;

use std::{io, net::SocketAddr, time::Duration};

use clap::{Parser, Subcommand};

use crate::{memory::Proxy, program::Program};

/// Measures a reverse proxy that it starts.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Memory for each idle connection, and for each slow reader of a large body
    Memory {
        /// Connections that are idle
        #[arg(long, default_value_t = 10_000)]
        idle: usize,
        /// Readers that are slow
        #[arg(long, default_value_t = 1_000)]
        slow: usize,
        /// Another proxy, measured in the same way: NAME=COMMAND, split at spaces
        #[arg(long = "peer", value_name = "NAME=COMMAND")]
        peers: Vec<Proxy>,
        /// The proxy and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Whether anything grows under mixed traffic with aborts, failures and reloads
    Soak {
        #[arg(long, default_value_t = 600)]
        seconds: u64,
        /// The proxy and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

/// Where the proxy listens.
const PROXY: SocketAddr = local(25_100);
/// Where it speaks HTTP/2, if that is elsewhere.
const PROXY_HTTP2: SocketAddr = local(25_104);
const ADMIN: SocketAddr = local(25_101);
const ORIGINS: [SocketAddr; 2] = [local(25_102), local(25_103)];

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

#[tokio::main]
async fn main() -> io::Result<()> {
    program::raise_limit()?;
    match Arguments::parse().what {
        What::Memory {
            idle,
            slow,
            peers,
            command,
        } => {
            let _origins = ORIGINS.map(origin::start);
            let proxies = [vec![Proxy::new(command)], peers].concat();
            memory::run(&proxies, idle, slow).await
        }
        What::Soak { seconds, command } => {
            let program = Program::start(&command).await?;
            soak::run(&program, Duration::from_secs(seconds)).await?;
            program.end().await
        }
    }
}
