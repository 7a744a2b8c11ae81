//! A request on its way out of this proxy.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Version, request::Parts};
use http_body::Body;
use tightrope_upstream::Endpoint;

use crate::{
    ForwardConfig, Preamble,
    error::BoxError,
    forward::{Outgoing, Pace, Upload, head},
    timeout::Credit,
    upgrade::Asked,
};

/// A request as it goes out, and what it takes to make it again what it was.
pub(super) struct Departing<B> {
    parts: Parts,
    received_in: Version,
    /// The upgrade that is passed on.
    protocol: Option<&'static str>,
    upload: Option<Arc<Upload>>,
    /// The body, where there is nothing in it.
    empty: Option<B>,
}

impl<B> Departing<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Makes the request that goes out of the one that came in, with the upgrade to `protocol` if there is one.
    pub(super) fn new(
        request: Request<B>,
        protocol: Option<&'static str>,
        endpoint: &Endpoint,
        config: &ForwardConfig,
    ) -> (Self, Option<Box<Outgoing>>) {
        let (mut parts, body) = request.into_parts();
        let received_in = parts.version;
        head::request(&mut parts, &body, protocol, endpoint, config);
        let (outgoing, upload, empty) = if body.is_end_stream() {
            (None, None, Some(body))
        } else {
            let upload = Arc::new(Upload::new());
            let pace = Pace {
                limit: config.request_idle_timeout,
                credit: config.min_request_rate.map(Credit::new),
            };
            let outgoing = Outgoing::new(body, Arc::clone(&upload), pace);
            (Some(outgoing), Some(upload), None)
        };
        let departing = Self {
            parts,
            received_in,
            protocol,
            upload,
            empty,
        };
        (departing, outgoing)
    }

    /// Makes the request that came in of the one that did not go out after all. What ended at this
    /// hop stays away.
    pub(super) fn come_back(
        mut self,
        outgoing: Option<Box<Outgoing>>,
        config: &ForwardConfig,
    ) -> Option<Request<B>> {
        head::restore(&mut self.parts, self.received_in, config);
        let body = self.empty.or_else(|| (*outgoing?).into_unsent())?;
        Some(Request::from_parts(self.parts, body))
    }
}

impl<B> Departing<B> {
    pub(super) const fn head(&self) -> &Parts {
        &self.parts
    }

    pub(super) const fn method(&self) -> &Method {
        &self.parts.method
    }

    pub(super) fn upload(&self) -> Option<&Upload> {
        self.upload.as_deref()
    }

    /// Whether its connection began with something that was for this request alone.
    pub(super) fn has_preamble(&self) -> bool {
        self.parts.extensions.get::<Preamble>().is_some()
    }

    /// The upgrade that the client asked for, and the upload.
    pub(super) fn into_asked(mut self) -> (Option<Asked>, Option<Arc<Upload>>) {
        let extensions = &mut self.parts.extensions;
        let asked = self
            .protocol
            .and_then(|protocol| Asked::new(protocol, extensions));
        (asked, self.upload)
    }
}
