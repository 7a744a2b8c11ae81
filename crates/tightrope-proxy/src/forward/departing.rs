//! A request on its way out of this proxy.

use std::{mem, sync::Arc};

use http::{Method, Request, Version, request::Parts};
use http_body::Body;
use tightrope_upstream::{Attempt, Endpoint, Patience};

use crate::{
    ForwardConfig, Preamble,
    error::BoxError,
    forward::{Outgoing, Pace, Upload, head},
    splice::SplicedData,
    timeout::Credit,
    upgrade::Asked,
};

/// A request as it came in and then as it goes out, and what it takes to make it again what it was.
pub(super) struct Departing<B> {
    /// In a box, as it is given back so.
    parts: Box<Parts>,
    received_in: Version,
    /// The upgrade that is passed on.
    protocol: Option<&'static str>,
    upload: Option<Arc<Upload>>,
    /// None where it goes out, or came back.
    body: Option<B>,
}

impl<B> Departing<B>
where
    B: Body<Data: Into<SplicedData>> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// `request` as it came in, with the upgrade to `protocol` if there is one.
    pub(super) fn new(request: Request<B>, protocol: Option<&'static str>) -> Self {
        let (parts, body) = request.into_parts();
        Self {
            received_in: parts.version,
            parts: Box::new(parts),
            protocol,
            upload: None,
            body: Some(body),
        }
    }

    /// Makes it the request that goes out; its body, if there is something in it.
    pub(super) fn depart(
        &mut self,
        endpoint: &Endpoint,
        config: &ForwardConfig,
    ) -> Option<Box<Outgoing>> {
        let body = self.body.take()?;
        head::request(&mut self.parts, &body, self.protocol, endpoint, config);
        if body.is_end_stream() {
            self.body = Some(body);
            return None;
        }
        let upload = Arc::new(Upload::new());
        let pace = Pace {
            limit: config.request_idle_timeout,
            credit: config.min_request_rate.map(Credit::new),
        };
        self.upload = Some(Arc::clone(&upload));
        Some(Outgoing::new(body, upload, pace))
    }

    /// The request that came in, which did not depart.
    pub(super) fn stay(&mut self) -> Option<Request<B>> {
        let body = self.body.take()?;
        let (nothing, ()) = Request::new(()).into_parts();
        let parts = mem::replace(&mut *self.parts, nothing);
        Some(Request::from_parts(parts, body))
    }

    /// Makes the request that came in of the one that did not go out after all. What ended at this
    /// hop stays away.
    pub(super) fn come_back(
        &mut self,
        outgoing: Option<Box<Outgoing>>,
        config: &ForwardConfig,
    ) -> Option<Request<B>> {
        head::restore(&mut self.parts, self.received_in, config);
        if let Some(outgoing) = outgoing {
            self.body = (*outgoing).into_unsent();
        }
        self.stay()
    }
}

impl<B> Departing<B> {
    /// The attempt ended: gives the head to whoever follows it.
    pub(super) fn give_back(mut self, config: &ForwardConfig) {
        // There is none in what came back as a whole.
        if let Some(attempt) = self.parts.extensions.remove::<Attempt>() {
            head::restore(&mut self.parts, self.received_in, config);
            attempt.give_back(self.parts);
        }
    }

    pub(super) fn head(&self) -> &Parts {
        &self.parts
    }

    pub(super) fn method(&self) -> &Method {
        &self.parts.method
    }

    pub(super) fn upload(&self) -> Option<&Upload> {
        self.upload.as_deref()
    }

    /// What its connection is to begin with, which is then for this request alone.
    pub(super) fn preamble(&self) -> Option<&Preamble> {
        self.parts.extensions.get()
    }

    /// How long the attempt is waited for.
    pub(super) fn patience(&self) -> Option<Patience> {
        let attempt = self.parts.extensions.get::<Attempt>();
        attempt.and_then(Attempt::patience).cloned()
    }

    /// The upgrade that is passed on.
    pub(super) const fn protocol(&self) -> Option<&'static str> {
        self.protocol
    }

    /// The upgrade that the client asked for.
    pub(super) fn take_asked(&mut self) -> Option<Asked> {
        Asked::new(self.protocol?, &mut self.parts.extensions)
    }

    pub(super) const fn take_upload(&mut self) -> Option<Arc<Upload>> {
        self.upload.take()
    }
}
