//! Where a route leads: an upstream, a fixed answer or files, with what is changed on the way.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, uri::Scheme};
use http_body_util::{BodyExt, Either, combinators::UnsyncBoxBody};
use tightrope::{
    forwarded::{
        Client, Peer,
        proxy_protocol::{Header, Version},
    },
    proxy::{
        ForwardBody, Preamble,
        respond::{self, Form},
        rewrite::{AnswerBody, BodyLimitLayer, Facts, Headers, Https, LimitedBody, Prefix},
        server::RequestBody,
        splice::{Spliced, SplicedData},
    },
    upstream::{Failed, Fault},
};
use tower::{Layer, Service, ServiceExt};
use tower_http::services::ServeDir;

use crate::{
    config::{Action, ConfigError, HostHeader, ProxyVersion, Rewriting, Route},
    site::{ClientRequest, Site, Stack},
};

/// The body of a response: an endpoint's, a file's, or our own.
pub(crate) type Body = AnswerBody<Either<Spliced<ForwardBody>, FileBody>>;

type FileBody = UnsyncBoxBody<SplicedData, io::Error>;

/// A response on its way.
pub(crate) type Answering =
    Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// What a route leads to.
#[derive(Clone)]
pub(crate) enum Place {
    Bare(Inside),
    Rewritten(Https<Headers<Prefix<Inside>>>),
}

/// What answers, once everything is changed.
#[derive(Clone)]
pub(crate) struct Inside {
    leads_to: LeadsTo,
    max_body: Option<u64>,
    /// Whether there are layers around it, which want to know who answered.
    is_rewritten: bool,
}

#[derive(Clone)]
enum LeadsTo {
    /// As the worker of this number reaches it.
    Site(Arc<Site>, usize),
    Answer(StatusCode),
    Files(Arc<ServeDir>),
}

// === impl Place ===

impl Place {
    /// A site, with nothing changed, for a worker.
    pub(crate) const fn site(site: Arc<Site>, worker: usize) -> Self {
        Self::Bare(Inside {
            leads_to: LeadsTo::Site(site, worker),
            max_body: None,
            is_rewritten: false,
        })
    }

    /// What `route` says, for a worker, with the sites that `site` finds by name.
    pub(crate) fn new(
        route: &Route,
        worker: usize,
        site: impl Fn(&str) -> Option<Arc<Site>>,
    ) -> Result<Self, ConfigError> {
        let leads_to = match route.action()? {
            Action::Upstream(name) => match site(name) {
                Some(site) => LeadsTo::Site(site, worker),
                None => return Err(ConfigError(format!("there is no upstream `{name}`"))),
            },
            Action::Answer(status) => LeadsTo::Answer(status),
            Action::Root(root) => LeadsTo::Files(Arc::new(ServeDir::new(root))),
        };
        let rewriting = route.rewriting()?;
        let inside = Inside {
            leads_to,
            max_body: route.max_body.map(|size| size.0),
            is_rewritten: rewriting.is_some(),
        };
        Ok(match rewriting {
            Some(Rewriting {
                https,
                headers,
                mut prefix,
            }) => {
                if let LeadsTo::Site(site, _) = &inside.leads_to
                    && let HostHeader::Fixed(host) = &site.config.host_header
                {
                    prefix = prefix.with_inner_host(host);
                }
                Self::Rewritten(https.layer(headers.layer(prefix.layer(inside))))
            }
            None => Self::Bare(inside),
        })
    }

    pub(crate) fn call(&self, mut request: ClientRequest) -> Answering {
        match self {
            Self::Bare(inside) => inside.clone().call(request),
            Self::Rewritten(stack) => {
                let facts = facts(&request);
                request.extensions_mut().insert(facts);
                Box::pin(stack.clone().oneshot(request))
            }
        }
    }
}

/// What the layers cannot read from the head.
fn facts<B>(request: &Request<B>) -> Facts {
    let mut facts = Facts::new().with_request_id(request_id());
    if let Some(client) = request.extensions().get::<Client>() {
        if let Some(address) = client.address() {
            facts = facts.with_client_ip(address);
        }
        if let Ok(scheme) = client.scheme().as_str().parse::<Scheme>() {
            facts = facts.with_scheme(scheme);
        }
        let host = client.host().and_then(|host| host.parse().ok());
        if let Some(host) = host {
            facts = facts.with_host(host);
        }
    }
    let peer = request.extensions().get().and_then(Peer::socket_addr);
    match peer {
        Some(peer) => facts.with_peer_addr(peer),
        None => facts,
    }
}

/// The number of the process and that of the request: another one each time, and no secret.
fn request_id() -> HeaderValue {
    static REQUESTS: AtomicU64 = AtomicU64::new(1);
    // Only that no two are the same matters.
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let id = format!("{:x}-{number:x}", process::id());
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-"))
}

// === impl Inside ===

impl Service<ClientRequest> for Inside {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: ClientRequest) -> Answering {
        match &self.leads_to {
            LeadsTo::Site(site, worker) => {
                if let Some(version) = site.config.send_proxy_protocol {
                    let preamble = preamble(version, &request);
                    request.extensions_mut().insert(preamble);
                }
                // Nobody reads it from here on, and a map of more than three things is made anew.
                request.extensions_mut().remove::<Peer>();
                let mut stack = site.stacks[*worker].clone();
                let upstream = Arc::clone(site);
                let form = Form::of(request.headers());
                match self.max_body {
                    Some(limit) => Box::pin(limited(stack, limit, upstream, form, request)),
                    None => {
                        let is_rewritten = self.is_rewritten;
                        // Asking whether it is ready would cost a future that is moved about: `Forward` always is, and
                        // the layers around it are when it is.
                        Box::pin(stack.call(request).map(move |result| {
                            Ok(match result {
                                Ok(response) if is_rewritten => from_endpoint(response),
                                Ok(response) => response.map(forwarded),
                                Err(error) => failed(&upstream, form, &error),
                            })
                        }))
                    }
                }
            }
            LeadsTo::Answer(status) => {
                let answer = respond::answer(*status).map(Body::from);
                Box::pin(std::future::ready(Ok(answer)))
            }
            LeadsTo::Files(files) => {
                let files = ServeDir::clone(files);
                Box::pin(async move {
                    let response = files.oneshot(request).await?;
                    Ok(response.map(|body| {
                        let body = body.map_frame(|frame| frame.map_data(SplicedData::from));
                        Body::inner(Either::Right(body.boxed_unsync()))
                    }))
                })
            }
        }
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

async fn limited(
    stack: Stack,
    limit: u64,
    site: Arc<Site>,
    form: Form,
    request: ClientRequest,
) -> Result<Response<Body>, Infallible> {
    let stack = ServiceExt::<Request<LimitedBody<Spliced<RequestBody>>>>::map_response(
        stack,
        from_endpoint,
    );
    let limited = BodyLimitLayer::new(limit).layer(stack);
    Ok(match limited.oneshot(request).await {
        Ok(response) => response,
        Err(error) => failed(&site, form, &error),
    })
}

/// The answer where none came from an endpoint. The error log says why, unless it was the client's doing.
fn failed(site: &Site, form: Form, error: &(impl Failed + std::error::Error)) -> Response<Body> {
    if error.failure().fault() != Fault::Downstream {
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            reason = format!("{reason}: {error}");
            cause = error.source();
        }
        tracing::warn!(upstream = %site.config.name, "no answer for a request: {reason}");
    }
    form.response(error).map(Body::from)
}

/// Says who answered, which layers want to know.
fn from_endpoint(mut response: Response<ForwardBody>) -> Response<Body> {
    let endpoint = Arc::clone(response.body().endpoint());
    response.extensions_mut().insert(endpoint);
    response.map(forwarded)
}

fn forwarded(body: ForwardBody) -> Body {
    Body::inner(Either::Left(Spliced::new(body)))
}
