//! An axum gateway: `/hello` is its own, everything below `/api` is balanced over two servers that
//! must answer `/health`, with the real client address passed on.
//!
//! ```text
//! cargo run -p gateway
//! curl http://127.0.0.1:3000/hello
//! curl http://127.0.0.1:3000/api/users
//! ```

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use tightrope::{
    balance::{Balance, Context, LeastRequest},
    forwarded::{ForwardedLayer, Peer, Trust},
    health::{HealthCheck, HttpProbe, ObserveLayer},
    proxy::{Forward, ForwardConfig, HttpClassify, respond},
    retry::{Retry, attempt},
    upstream::{Change, EndpointSpec, Upstream},
};
use tower::{Layer, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let upstream = Upstream::new("api");
    upstream.apply(
        Change::new()
            .add(EndpointSpec::new("127.0.0.1:8081".parse()?))
            .add(EndpointSpec::new("127.0.0.1:8082".parse()?)),
    )?;
    let health = HealthCheck::new(&upstream, HttpProbe::get("/health")?)
        .with_interval(Duration::from_secs(1))?
        .spawn();
    let observe = ObserveLayer::new(health.live_reports(), HttpClassify);
    let forward = observe.layer(Forward::new(ForwardConfig::new()));
    let api = Retry::new(
        Balance::new(&upstream, LeastRequest::new(), forward)
            .with_context(|request: &Request<_>| Context::new().with_attempt(attempt(request))),
    );

    let balanced = any(async move |request: Request| -> Response {
        match api.clone().oneshot(request).await {
            Ok(response) => response.into_response(),
            Err(error) => respond::response(&error).into_response(),
        }
    });
    let app = Router::new()
        .route("/hello", get(async || "hello\n"))
        .route("/api/{*path}", balanced)
        .layer(ForwardedLayer::new(Trust::nobody()))
        .layer(from_fn(peer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await?;
    Ok(())
}

/// Tells the layer below who is at the other end of the connection.
async fn peer(
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(Peer::tcp(address));
    next.run(request).await
}
