//! Two embedded endpoints, blue and green, and what to try with them.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tightrope::upstream::{Address, Group};
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    cli::Cli,
    config::{self, Config, ConfigError},
};

/// The embedded endpoints; they end with it.
pub(crate) struct Demo {
    endpoints: Vec<(&'static str, SocketAddr)>,
    _tasks: JoinSet<()>,
}

impl Demo {
    /// Starts both on free ports of loopback.
    pub(crate) async fn start(cli: &Cli) -> Result<Self, ConfigError> {
        if cli.strategy.is_some() {
            return Err(ConfigError("--strategy needs an --upstream".to_owned()));
        }
        let mut tasks = JoinSet::new();
        let mut endpoints = Vec::new();
        for color in ["blue", "green"] {
            let fail = |error| ConfigError(format!("the {color} endpoint: {error}"));
            let listener = TcpListener::bind("127.0.0.1:0").await.map_err(fail)?;
            let address = listener.local_addr().map_err(fail)?;
            tasks.spawn(serve(color, listener, address.port()));
            endpoints.push((color, address));
        }
        Ok(Self {
            endpoints,
            _tasks: tasks,
        })
    }

    /// A configuration over both, and a word on what to try.
    pub(crate) fn config(&self, cli: &Cli) -> Result<Config, ConfigError> {
        let listen = cli.listen.unwrap_or_else(|| ([127, 0, 0, 1], 8080).into());
        let admin = cli.admin.unwrap_or_else(|| ([127, 0, 0, 1], 9901).into());
        let fail = |error: &dyn std::fmt::Display| ConfigError(format!("demo: {error}"));
        let mut endpoints = Vec::new();
        for &(color, address) in &self.endpoints {
            let address = Address::try_from(address).map_err(|error| fail(&error))?;
            endpoints.push(config::Endpoint {
                group: Some(Group::new(color).map_err(|error| fail(&error))?),
                ..config::Endpoint::at(address)
            });
        }
        eprintln!(
            "tightrope's reverse proxy, in demo mode: two embedded endpoints, blue ({}) and green ({}).

  curl http://{listen}/                    answered by blue and green in turn
  curl http://{listen}/infra/port          the port of the endpoint that answered
  curl -X POST 'http://{admin}/upstreams/demo/switch?group=green'
                                                all traffic moves to green
  curl http://{listen}/                    green, every time
  curl -X POST http://{admin}/upstreams/demo/rollback
  curl http://{admin}/state                what the proxy knows

Ctrl-C ends it.
",
            self.endpoints[0].1, self.endpoints[1].1
        );
        Ok(Config {
            listeners: vec![config::Listener {
                address: listen,
                upstream: Some("demo".to_owned()),
                proxy_protocol: Vec::new(),
                tls: Vec::new(),
            }],
            admin: Some(config::Admin {
                address: admin,
                token: None,
            }),
            upstreams: vec![config::Upstream {
                name: "demo".to_owned(),
                endpoints,
                health: Some(config::Health::of("/infra/health", "UP")),
                ..config::Upstream::default()
            }],
            ..Config::default()
        })
    }
}

async fn serve(color: &'static str, listener: TcpListener, port: u16) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let service = service_fn(move |request| answer(color, port, request));
        connections.spawn(async move {
            // A connection that breaks is the client's concern.
            let _broken = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    color: &'static str,
    port: u16,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match request.uri().path() {
        "/" => (StatusCode::OK, format!("{color}\n")),
        "/infra/health" => (StatusCode::OK, "UP\n".to_owned()),
        "/infra/port" => (StatusCode::OK, format!("{port}\n")),
        path => (StatusCode::NOT_FOUND, format!("{color} has no {path}\n")),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}
