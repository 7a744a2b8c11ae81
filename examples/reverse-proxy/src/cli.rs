//! What can be said on the command line.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, str::FromStr};

use clap::{Parser, ValueEnum};
use tightrope::upstream::{Address, EndpointSpec, Group, Weight};

use crate::config::Strategy;

/// A reverse proxy made of tightrope's pieces. Without arguments it shows itself: a demo with two
/// embedded endpoints, blue and green.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// Where to accept requests [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,

    /// An endpoint: http://IP:PORT, http://NAME:PORT or unix:/PATH, with ;weight=N and ;group=G;
    /// repeated for more. By https://, which then all must be, its certificate must be for the IP or
    /// name, and of whom the system trusts; the Host stays the client's
    #[arg(long = "upstream", value_name = "URL[;weight=N][;group=G]")]
    pub(crate) upstreams: Vec<UpstreamArgument>,

    /// How an endpoint is chosen [default: round_robin]
    #[arg(long)]
    pub(crate) strategy: Option<Strategy>,

    /// Where to answer questions and take orders, on loopback
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,

    /// Everything else, as TOML; excludes --listen, --upstream, --strategy and --admin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "upstreams", "strategy", "admin"])]
    pub(crate) config: Option<PathBuf>,

    /// Threads that serve requests, 1 to 1024 [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// How more than one thread divide their work
    #[arg(long, value_enum, default_value_t)]
    pub(crate) runtime: Runtime,
}

/// How the threads that serve requests divide their work. A single one also does all the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// Each accepts connections of its own and has its own connections to endpoints
    #[default]
    PerWorker,
    /// All serve what was accepted once, and take work from each other
    Shared,
}

const MAX_WORKERS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The value of `--upstream`.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamArgument {
    pub(crate) spec: EndpointSpec,
    pub(crate) scheme: Scheme,
}

/// How endpoints are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl FromStr for UpstreamArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';');
        let url = parts.next().unwrap_or_default();
        let (scheme, address) = address(url)?;
        let mut spec = EndpointSpec::new(address);
        for part in parts {
            spec = match part.split_once('=') {
                Some(("weight", value)) => {
                    let weight: Weight = value.parse().map_err(|e| format!("{e}"))?;
                    spec.with_weight(weight)
                }
                Some(("group", value)) => {
                    let group: Group = value.parse().map_err(|e| format!("{e}"))?;
                    spec.with_group(group)
                }
                _ => return Err(format!("`{part}` is neither weight=N nor group=G")),
            };
        }
        Ok(Self { spec, scheme })
    }
}

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.parse().ok().filter(|count| *count <= MAX_WORKERS);
    count.ok_or_else(|| format!("`{text}` is not a number from 1 to {MAX_WORKERS}"))
}

/// The address in `http://ADDRESS`, `https://ADDRESS`, or a bare one, which is for http; without a port it
/// is 80, or 443.
fn address(url: &str) -> Result<(Scheme, Address), String> {
    let (scheme, text, port) = match url.strip_prefix("https://") {
        Some(text) => (Scheme::Https, text, 443),
        None => (Scheme::Http, url.strip_prefix("http://").unwrap_or(url), 80),
    };
    let text = text.strip_suffix('/').unwrap_or(text);
    let with_port = format!("{text}:{port}");
    let address = text
        .parse()
        .or_else(|error| with_port.parse().map_err(|_| error))
        .map_err(|error: tightrope::upstream::AddressError| error.to_string())?;
    Ok((scheme, address))
}
