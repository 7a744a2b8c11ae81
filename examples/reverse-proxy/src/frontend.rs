//! What every request passes first: who is the client, and which upstream is meant.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Response, header::HOST};
use http_body_util::Either;
use tightrope::{
    forwarded::{
        Client, Forwarded, ForwardedFor, ForwardedLayer, IdentityHeader, Peer, Trust,
        proxy_protocol::{Header, Version},
    },
    proxy::{ForwardBody, HostPattern, PathPrefix, Preamble, Routes, check_request, respond},
};
use tower::{Layer, Service, ServiceExt};

use crate::{
    config::{self, ConfigError, ForwardedMode, ProxyVersion},
    site::{ClientRequest, Site},
};

/// The body of a response: an endpoint's, or our own.
pub(crate) type Body = Either<ForwardBody, respond::Text>;

/// Resolves the client, writes its headers, and routes.
pub(crate) type Frontend = Forwarded<Router>;

/// Sends each request to the upstream that its listener or its route names.
#[derive(Clone)]
pub(crate) struct Router {
    target: Target,
}

#[derive(Clone)]
enum Target {
    Site(Arc<Site>),
    Routes(Arc<Routes<Arc<Site>>>),
}

/// The frontend of a listener.
pub(crate) fn new(config: &config::Forwarded, target: Router) -> Frontend {
    let mode = match config.mode {
        ForwardedMode::Append => ForwardedFor::Append,
        ForwardedMode::Replace => ForwardedFor::Replace,
    };
    ForwardedLayer::new(Trust::networks(config.trusted.iter().copied()))
        .with_forwarded_for(mode)
        .with_header(IdentityHeader::XForwardedPort)
        .with_header(IdentityHeader::XRealIp)
        .layer(target)
}

/// The routes of a configuration, to sites that `site` finds by name.
pub(crate) fn routes(
    config: &[config::Route],
    site: impl Fn(&str) -> Option<Arc<Site>>,
) -> Result<Routes<Arc<Site>>, ConfigError> {
    let mut routes = Routes::new();
    for (number, route) in (1..).zip(config) {
        let refused =
            |error: &dyn std::fmt::Display| ConfigError(format!("route {number}: {error}"));
        let host: HostPattern = match &route.host {
            Some(host) => host.parse().map_err(|error| refused(&error))?,
            None => HostPattern::ANY,
        };
        let path: PathPrefix = match &route.path {
            Some(path) => path.parse().map_err(|error| refused(&error))?,
            None => "/".parse().map_err(|error| refused(&error))?,
        };
        let Some(site) = site(&route.upstream) else {
            return Err(refused(&format!(
                "there is no upstream `{}`",
                route.upstream
            )));
        };
        routes
            .add(host, path, site)
            .map_err(|error| refused(&error))?;
    }
    Ok(routes)
}

// === impl Router ===

impl Router {
    pub(crate) const fn site(site: Arc<Site>) -> Self {
        Self {
            target: Target::Site(site),
        }
    }

    pub(crate) const fn routes(routes: Arc<Routes<Arc<Site>>>) -> Self {
        Self {
            target: Target::Routes(routes),
        }
    }

    fn find(&self, request: &ClientRequest) -> Option<&Arc<Site>> {
        match &self.target {
            Target::Site(site) => Some(site),
            Target::Routes(routes) => {
                let host = request
                    .headers()
                    .get(HOST)
                    .and_then(|host| host.to_str().ok());
                let host = request.uri().host().or(host).unwrap_or_default();
                routes.find(host, request.uri().path())
            }
        }
    }
}

impl Service<ClientRequest> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: ClientRequest) -> Self::Future {
        if let Err(error) = check_request(&request) {
            return ready(respond::refusal(&error));
        }
        let Some(site) = self.find(&request) else {
            return ready(respond::not_found());
        };
        let stack = site.stack.clone();
        if let Some(version) = site.config.send_proxy_protocol {
            let preamble = preamble(version, &request);
            request.extensions_mut().insert(preamble);
        }
        Box::pin(async move {
            Ok(match stack.oneshot(request).await {
                Ok(response) => response.map(Either::Left),
                Err(error) => respond::response(&error).map(Either::Right),
            })
        })
    }
}

/// The PROXY header for the client of `request`.
fn preamble(version: ProxyVersion, request: &ClientRequest) -> Preamble {
    let version = match version {
        ProxyVersion::V1 => Version::V1,
        ProxyVersion::V2 => Version::V2,
    };
    let extensions = request.extensions();
    let header = match (extensions.get::<Client>(), extensions.get::<Peer>()) {
        (Some(client), Some(peer)) => Header::of(version, client, peer),
        _ => Header::unknown(version),
    };
    Preamble::new(header.to_bytes())
}

fn ready(response: Response<respond::Text>) -> <Router as Service<ClientRequest>>::Future {
    Box::pin(std::future::ready(Ok(response.map(Either::Right))))
}
