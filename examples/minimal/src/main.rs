//! The smallest embedding: a client that balances over two servers and passes by one that is down.
//!
//! ```text
//! python3 -m http.server 8081 & python3 -m http.server 8082 &
//! cargo run -p minimal
//! ```

use bytes::Bytes;
use http_body_util::Empty;
use tightrope::{
    balance::{Balance, Context, RoundRobin},
    proxy::{Forward, ForwardConfig},
    retry::{Retry, attempt},
    upstream::{Change, EndpointSpec, Upstream},
};
use tower::{Service, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let upstream = Upstream::new("files");
    upstream.apply(
        Change::new()
            .add(EndpointSpec::new("127.0.0.1:8081".parse()?))
            .add(EndpointSpec::new("127.0.0.1:8082".parse()?)),
    )?;
    let forward = Forward::new(ForwardConfig::new());
    let balance = Balance::new(&upstream, RoundRobin::new(), forward);
    let mut client =
        Retry::new(balance.with_context(|request: &http::Request<_>| {
            Context::new().with_attempt(attempt(request))
        }));

    for _ in 0..4 {
        let request = http::Request::get("/").header("host", "files.test");
        let request = request.body(Empty::<Bytes>::new())?;
        let response = client.ready().await?.call(request).await?;
        eprintln!("{}", response.status());
    }
    Ok(())
}
