//! What every request passes first: who is the client, and which upstream is meant.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Response, header::HOST};
use tightrope::{
    forwarded::{Forwarded, ForwardedFor, ForwardedLayer, IdentityHeader, Trust},
    proxy::{ExactPath, HostPattern, PathPrefix, Routes, check_request, respond},
};
use tower::{Layer, Service};

use crate::{
    config::{self, ConfigError, ForwardedMode},
    place::{Answering, Body, Place},
    site::{ClientRequest, Site},
};

/// Resolves the client, writes its headers, and routes.
pub(crate) type Frontend = Forwarded<Router>;

/// Sends each request to the place that its listener or its route names.
#[derive(Clone)]
pub(crate) struct Router {
    target: Target,
}

#[derive(Clone)]
enum Target {
    Place(Place),
    Routes(Arc<Routes<Place>>),
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
) -> Result<Routes<Place>, ConfigError> {
    let mut routes = Routes::new();
    for (number, route) in (1..).zip(config) {
        let refused =
            |error: &dyn std::fmt::Display| ConfigError(format!("route {number}: {error}"));
        let host: HostPattern = match &route.host {
            Some(host) => host.parse().map_err(|error| refused(&error))?,
            None => HostPattern::ANY,
        };
        let path = route.path.as_deref().unwrap_or("/");
        let place = Place::new(route, &site).map_err(|error| refused(&error))?;
        let added = if route.exact {
            let path: ExactPath = path.parse().map_err(|error| refused(&error))?;
            routes.add_exact(host, path, place)
        } else {
            let path: PathPrefix = path.parse().map_err(|error| refused(&error))?;
            routes.add(host, path, place)
        };
        added.map_err(|error| refused(&error))?;
    }
    Ok(routes)
}

// === impl Router ===

impl Router {
    pub(crate) const fn site(site: Arc<Site>) -> Self {
        Self {
            target: Target::Place(Place::site(site)),
        }
    }

    pub(crate) const fn routes(routes: Arc<Routes<Place>>) -> Self {
        Self {
            target: Target::Routes(routes),
        }
    }

    fn find(&self, request: &ClientRequest) -> Option<&Place> {
        match &self.target {
            Target::Place(place) => Some(place),
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
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ClientRequest) -> Self::Future {
        if let Err(error) = check_request(&request) {
            return ready(respond::refusal(&error));
        }
        match self.find(&request) {
            Some(place) => place.call(request),
            None => ready(respond::not_found()),
        }
    }
}

fn ready(response: Response<respond::Text>) -> Answering {
    Box::pin(std::future::ready(Ok(response.map(Body::from))))
}
