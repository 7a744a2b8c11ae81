//! What every request passes first: who is the client, and which upstream is meant.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Response, header::HOST};
use tightrope::{
    forwarded::{
        Forwarded, ForwardedElement, ForwardedFor, ForwardedLayer, IdentityHeader, Trust, Via,
        ViaError, ViaLayer,
    },
    proxy::{ExactPath, HostPattern, PathPrefix, Routes, Underscores, check_request, respond},
};
use tower::{Layer, Service};

use crate::{
    access_log::LoggedClient,
    config::{self, ConfigError, ForwardedHeader, ForwardedLines, ForwardedMode},
    place::{Answering, Body, Place},
    site::{ClientRequest, Site},
};

/// Refuses what is not wanted, resolves the client, writes its headers, and routes.
#[derive(Clone)]
pub(crate) struct Frontend {
    underscores: Underscores,
    forwarded: Forwarded<Entrance>,
}

/// The router, behind `Via` where that is written.
#[derive(Clone)]
pub(crate) enum Entrance {
    Plain(Router),
    Via(Via<Router>),
}

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

/// Makes the frontends of listeners.
pub(crate) struct FrontendLayer {
    underscores: Underscores,
    forwarded: ForwardedLayer,
    via: Option<ViaLayer>,
}

/// What `[forwarded]` says, and what becomes of names with underscores.
pub(crate) fn layer(
    config: &config::Forwarded,
    underscores: Underscores,
) -> Result<FrontendLayer, ConfigError> {
    let mode = match (config.mode, config.lines) {
        (ForwardedMode::Append, ForwardedLines::Join) => ForwardedFor::Append,
        (ForwardedMode::Append, ForwardedLines::Another) => ForwardedFor::AppendLine,
        (ForwardedMode::Replace, _) => ForwardedFor::Replace,
    };
    let trust = match config.hops {
        Some(hops) => Trust::hops(hops),
        None => Trust::networks(config.trusted.iter().copied()),
    };
    let mut layer = ForwardedLayer::new(trust)
        .with_forwarded_for(mode)
        .without_header(IdentityHeader::XForwardedProto)
        .without_header(IdentityHeader::XForwardedHost);
    for header in &config.write {
        layer = match header {
            ForwardedHeader::XForwardedProto => layer.with_header(IdentityHeader::XForwardedProto),
            ForwardedHeader::XForwardedHost => layer.with_header(IdentityHeader::XForwardedHost),
            ForwardedHeader::XForwardedPort => layer.with_header(IdentityHeader::XForwardedPort),
            ForwardedHeader::XRealIp => layer.with_header(IdentityHeader::XRealIp),
            ForwardedHeader::XEnvoyExternalAddress => {
                layer.with_header(IdentityHeader::XEnvoyExternalAddress)
            }
            ForwardedHeader::Forwarded => {
                layer.with_forwarded(ForwardedElement::new().with_proto().with_host())
            }
        };
    }
    let via = config.via.as_deref().map(ViaLayer::new).transpose();
    Ok(FrontendLayer {
        underscores,
        forwarded: layer,
        via: via.map_err(|error| ConfigError(format!("forwarded.via: {error}")))?,
    })
}

/// The routes of a configuration, for a worker, to sites that `site` finds by name.
pub(crate) fn routes(
    config: &[config::Route],
    worker: usize,
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
        let place = Place::new(route, worker, &site).map_err(|error| refused(&error))?;
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

// === impl FrontendLayer ===

impl Layer<Router> for FrontendLayer {
    type Service = Frontend;

    fn layer(&self, router: Router) -> Frontend {
        let entrance = match &self.via {
            Some(via) => Entrance::Via(via.layer(router)),
            None => Entrance::Plain(router),
        };
        Frontend {
            underscores: self.underscores,
            forwarded: self.forwarded.layer(entrance),
        }
    }
}

// === impl Frontend ===

impl Service<ClientRequest> for Frontend {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ClientRequest) -> Answering {
        // First: names that pretend to be those of a proxy are removed next.
        match self.underscores.check(request.headers()) {
            Ok(()) => self.forwarded.call(request),
            Err(error) => ready(respond::refusal(&error)),
        }
    }
}

// === impl Entrance ===

impl Service<ClientRequest> for Entrance {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Router as Service<ClientRequest>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: ClientRequest) -> Self::Future {
        match self {
            Self::Plain(router) => router.call(request),
            Self::Via(via) => {
                let response = via.call(request);
                Box::pin(async move {
                    match response.await {
                        Ok(response) => Ok(response),
                        Err(ViaError::Inner(error)) => Err(error),
                        Err(_) => Ok(respond::loop_detected().map(Body::from)),
                    }
                })
            }
        }
    }
}

// === impl Router ===

impl Router {
    pub(crate) const fn site(site: Arc<Site>, worker: usize) -> Self {
        Self {
            target: Target::Place(Place::site(site, worker)),
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
        LoggedClient::tell(&request);
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
