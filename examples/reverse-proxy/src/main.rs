//! A reverse proxy made of tightrope's pieces.
//!
//! Run it without arguments for a demo, with `--upstream` for a proxy with no file, or with
//! `--config` for everything else:
//!
//! ```text
//! cargo run --release -p reverse-proxy
//! cargo run --release -p reverse-proxy -- --listen 127.0.0.1:8080 --upstream http://127.0.0.1:8081 --upstream http://127.0.0.1:8082
//! cargo run --release -p reverse-proxy -- --config examples/reverse-proxy/proxy.toml
//! ```
//!
//! SIGHUP reads the file again; a file that is wrong changes nothing. SIGTERM and SIGINT stop
//! accepting and let requests end. SIGUSR2 starts the program anew with the same sockets and arguments,
//! and ends this process when the new one serves.

use std::{num::NonZeroUsize, process::ExitCode, sync::Arc, thread};

use clap::Parser;
use mimalloc::MiMalloc;
use tokio::runtime;

mod access_log;
mod admin;
mod cli;
mod config;
mod connection;
mod demo;
mod error_log;
mod frontend;
mod listen;
mod place;
mod proxy;
mod restart;
mod server;
mod signals;
mod site;
mod state;
mod workers;

use crate::{
    cli::{Cli, Runtime},
    config::{Config, ConfigError},
    proxy::Proxy,
    restart::Inherited,
    workers::Workers,
};

/// A proxy allocates and frees small pieces all the time: 15 % of its instructions with the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // A few bytes in use would keep a huge page: an idle connection took up to twice of what it needs. A system
    // that does not know of this goes on without.
    #[cfg(target_os = "linux")]
    let _kept = nix::sys::prctl::set_thp_disable(true);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            // One line that names the flag, the value and those it may have; the rest is a hint to use --help.
            let text = error.to_string();
            let mut lines = text.lines().map(str::trim);
            let first = lines.next().unwrap_or_default();
            let values = lines.find(|line| line.starts_with("[possible values"));
            let said = [first.trim_start_matches("error: "), values.unwrap_or("")].join(" ");
            return refuse(said.trim_end());
        }
        Err(help) => {
            let _closed = help.print();
            return ExitCode::SUCCESS;
        }
    };
    tracing_subscriber::fmt()
        .with_writer(|| error_log::Writer)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .init();
    let inherited = match Inherited::from_env() {
        Ok(inherited) => inherited,
        Err(error) => return refuse(&format!("LISTEN_FDS: {error}")),
    };
    let count = cli.workers.or_else(|| thread::available_parallelism().ok());
    let count = count.unwrap_or(NonZeroUsize::MIN);
    let mut builder = match cli.runtime {
        Runtime::Shared if count > NonZeroUsize::MIN => {
            let mut builder = runtime::Builder::new_multi_thread();
            builder.worker_threads(count.get());
            builder
        }
        Runtime::Shared | Runtime::PerWorker => runtime::Builder::new_current_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("no runtime: {error}")),
    };
    match runtime.block_on(run(cli, count, inherited)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error.to_string()),
    }
}

/// Says in one line what is wrong.
fn refuse(message: &str) -> ExitCode {
    eprintln!("reverse-proxy: {message}");
    ExitCode::from(2)
}

async fn run(cli: Cli, count: NonZeroUsize, inherited: Inherited) -> Result<(), ConfigError> {
    let signals =
        signals::Signals::new().map_err(|error| ConfigError(format!("signals: {error}")))?;
    let demo;
    let config = if let Some(path) = &cli.config {
        Config::read(path)?
    } else if cli.upstreams.is_empty() {
        demo = demo::Demo::start(&cli).await?;
        demo.config(&cli)?
    } else {
        Config::from_flags(&cli)?
    };
    let workers = match cli.runtime {
        Runtime::PerWorker if count > NonZeroUsize::MIN => Workers::start(count),
        Runtime::PerWorker | Runtime::Shared => Ok(Workers::shared()),
    };
    let workers = workers.map_err(|error| ConfigError(format!("no worker: {error}")))?;
    let proxy = Proxy::start(config, cli.config, inherited, workers).await?;
    proxy.announce().await;
    restart::replace_predecessor();
    signals.serve(&proxy).await;
    Ok(())
}

/// Shared by everybody who serves.
type Shared = Arc<Proxy>;
