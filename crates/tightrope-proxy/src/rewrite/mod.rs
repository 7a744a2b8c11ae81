//! Changes requests on their way in and responses on their way out, one layer for each concern.
//!
//! | when you want to | use |
//! | --- | --- |
//! | set, append, remove and rename header fields | [`HeadersLayer`], [`HeaderRules`], [`Template`] |
//! | strip and add path prefixes, and map responses back | [`PrefixLayer`] |
//! | send clients from http to https, and keep them there | [`HttpsLayer`] |
//! | refuse bodies that are too large | [`BodyLimitLayer`] |
//! | answer by yourself | [`respond::answer`](crate::respond::answer), [`AnswerBody`] |
//! | choose the `Host` that endpoints see | [`HostPolicy`](crate::HostPolicy) |
//!
//! What a request does not say by itself, as who its client is, comes from [`Facts`] in its
//! extensions. A good order, from the outside: https, headers, prefix, body limit, then what leads
//! to the endpoints. Header rules then see the path of the client, and their responses are mapped
//! back already.

mod answer;
mod back;
mod body_limit;
mod facts;
mod headers;
mod prefix;
mod redirect;
mod rules;
mod template;

pub(crate) use self::facts::Subject;
pub use self::{
    answer::AnswerBody,
    body_limit::{BodyLimit, BodyLimitError, BodyLimitFuture, BodyLimitLayer, LimitedBody},
    facts::Facts,
    headers::{Headers, HeadersFuture, HeadersLayer},
    prefix::{Prefix, PrefixFuture, PrefixLayer},
    redirect::{Https, HttpsFuture, HttpsLayer, RedirectStatus, RedirectStatusError},
    rules::{HeaderRuleError, HeaderRules},
    template::{Template, TemplateError},
};
