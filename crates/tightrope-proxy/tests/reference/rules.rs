//! Header rules. An input is a line for each rule or field:
//!
//! ```text
//! set x-user edge {header:x-tenant}
//! append x-list last
//! remove x-debug
//! rename x-old x-new
//! x-user: eve
//! ```

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{HeaderName, HeaderValue, Request, Response};
use tightrope_proxy::rewrite::{HeaderRules, HeadersLayer, Template};
use tower_layer::Layer;
use tower_service::Service;

type Fields = Vec<(String, Vec<u8>)>;

enum Rule {
    Set(String, Template),
    Append(String, Template),
    Remove(String),
    Rename(String, String),
}

/// Runs an input and panics where the layer does not do what the reference does.
pub(crate) fn check(input: &[u8]) {
    let mut layer_rules = HeaderRules::new();
    let mut rules = Vec::new();
    let mut request = Request::new(());
    for line in input.split(|byte| *byte == b'\n').take(200) {
        let text = String::from_utf8_lossy(line);
        let mut words = text.splitn(3, ' ');
        let (verb, name) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let rest = words.next().unwrap_or_default();
        let with = |rules: HeaderRules| match verb {
            "set" => rules.set(name, rest),
            "append" => rules.append(name, rest),
            "remove" => rules.remove(name),
            _ => rules.rename(name, rest),
        };
        if !["set", "append", "remove", "rename"].contains(&verb) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let name = HeaderName::from_bytes(&line[..colon]);
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                request.headers_mut().append(name, value);
            }
            continue;
        }
        let added = with(layer_rules.clone()).ok();
        let wanted = rule(verb, name, rest);
        assert_eq!(added.is_some(), wanted.is_some(), "{text:?}");
        if let (Some(added), Some(wanted)) = (added, wanted) {
            layer_rules = added;
            rules.push(wanted);
        }
    }
    let expected = expected(&request, &rules);
    let service = HeadersLayer::new().with_request(layer_rules.clone());
    let passed = finish(service.layer(Echo).call(request.clone()));
    assert_eq!(
        fields(passed.headers()),
        expected,
        "{}",
        input.escape_ascii()
    );

    // In a response no rule reads what it is about: values are of the request.
    let service = HeadersLayer::new().with_response(layer_rules);
    let passed = finish(service.layer(Echo).call(request.clone()));
    let framing = |fields: &Fields| {
        let mut fields = fields.clone();
        fields.retain(|(name, _)| is_framing(name));
        fields
    };
    let before = fields(request.headers());
    assert_eq!(framing(&fields(passed.headers())), framing(&before));
}

fn is_framing(name: &str) -> bool {
    "connection content-length expect host keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings"
        .split(' ')
        .any(|other| other == name)
}

fn rule(verb: &str, name: &str, rest: &str) -> Option<Rule> {
    let field = |name: &str| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        let name = name.as_str();
        let holds = !is_framing(name) && !name.contains('_');
        holds.then(|| name.to_owned())
    };
    let name = field(name)?;
    Some(match verb {
        "set" => Rule::Set(name, rest.parse().ok()?),
        "append" => Rule::Append(name, rest.parse().ok()?),
        "remove" => Rule::Remove(name),
        _ => Rule::Rename(name, field(rest)?),
    })
}

fn expected(request: &Request<()>, rules: &[Rule]) -> Fields {
    let mut request = request.clone();
    if !rules.is_empty() {
        drop_nominated(&mut request);
    }
    let mut left = fields(request.headers());
    for rule in rules {
        if let Rule::Set(name, _) = rule {
            left.retain(|(other, _)| other != name);
        }
        match rule {
            Rule::Set(name, value) | Rule::Append(name, value) => {
                let value = value.render(&request, None);
                left.extend(value.map(|value| (name.clone(), value.as_bytes().to_vec())));
            }
            Rule::Remove(name) => left.retain(|(other, _)| other != name),
            Rule::Rename(old, new) => {
                if old != new && left.iter().any(|(name, _)| name == old) {
                    left.retain(|(name, _)| name != new);
                    for (name, _) in &mut left {
                        if name == old {
                            name.clone_from(new);
                        }
                    }
                }
            }
        }
        left.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    left
}

/// What `Connection` names goes, but for what frames, routes or identifies.
fn drop_nominated(request: &mut Request<()>) {
    let tokens: Vec<Vec<u8>> = request
        .headers()
        .get_all("connection")
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(|token| token.trim_ascii().to_ascii_lowercase())
        .filter(|token| !token.is_empty())
        .collect();
    let is_dropped = |token: &Vec<u8>| {
        let name = String::from_utf8_lossy(token).into_owned();
        let stays = "close connection http2-settings keep-alive proxy-connection te upgrade host content-length transfer-encoding forwarded via x-real-ip";
        HeaderName::from_bytes(token).is_ok()
            && !stays.split(' ').any(|other| other == name)
            && !name.starts_with("x-forwarded-")
    };
    if !tokens.iter().any(is_dropped) {
        return;
    }
    let original: Vec<Vec<u8>> = request
        .headers()
        .get_all("connection")
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(|token| token.trim_ascii().to_vec())
        .filter(|token| !token.is_empty() && !is_dropped(&token.to_ascii_lowercase()))
        .collect();
    let headers = request.headers_mut();
    headers.remove("connection");
    for token in tokens.iter().filter(|token| is_dropped(token)) {
        if let Ok(name) = HeaderName::from_bytes(token) {
            headers.remove(name);
        }
    }
    let kept = original.join(&b", "[..]);
    if !kept.is_empty()
        && let Ok(kept) = HeaderValue::from_bytes(&kept)
    {
        headers.insert("connection", kept);
    }
}

/// Lines of one name stay in order.
fn fields(headers: &http::HeaderMap) -> Fields {
    let fields = headers.iter();
    let mut fields: Fields = fields
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

/// The response of a future that never waits.
fn finish(future: impl Future<Output = Result<Response<()>, Infallible>>) -> Response<()> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(Ok(response)) => response,
        Poll::Pending => unreachable!("nothing waits"),
    }
}

/// Answers with the fields of the request.
struct Echo;

impl Service<Request<()>> for Echo {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let mut response = Response::new(());
        *response.headers_mut() = request.into_parts().0.headers;
        ready(Ok(response))
    }
}
