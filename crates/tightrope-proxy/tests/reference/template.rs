//! Templates. An input is a template, a line end, and the value of the header `x-user`.

use http::{HeaderName, HeaderValue, Request};
use tightrope_proxy::rewrite::{Facts, Template};

/// Runs an input and panics where the template does not do what the reference does.
pub(crate) fn check(input: &[u8]) {
    let mut halves = input.splitn(2, |byte| *byte == b'\n');
    let text = String::from_utf8_lossy(halves.next().unwrap_or_default()).into_owned();
    let user = HeaderValue::from_bytes(halves.next().unwrap_or_default()).ok();

    let template: Option<Template> = text.parse().ok();
    let reference = parts(&text);
    assert_eq!(template.is_some(), reference.is_some(), "{text:?}");
    let (Some(template), Some(parts)) = (template, reference) else {
        return;
    };
    let printed = template.to_string();
    let again = printed.parse();
    assert_eq!(
        again.as_ref(),
        Ok(&template),
        "{text:?} printed as {printed:?}"
    );

    let mut request = Request::get("/a%20b?c").header("host", "a.test:80");
    if let Some(user) = &user {
        request = request.header("x-user", user.clone());
    }
    let facts = Facts::new()
        .with_client_ip([192, 0, 2, 1].into())
        .with_request_id(HeaderValue::from_static("7-1"));
    let Ok(request) = request.extension(facts).body(()) else {
        return;
    };
    let mut expected = Vec::new();
    let mut names_endpoint = false;
    for part in &parts {
        match part {
            Err(byte) => expected.push(*byte),
            Ok(name) => match name.as_str() {
                "client_ip" => expected.extend(b"192.0.2.1"),
                "request_id" => expected.extend(b"7-1"),
                "host" => expected.extend(b"a.test:80"),
                "path" => expected.extend(b"/a%20b"),
                "endpoint" => names_endpoint = true,
                "peer_addr" | "scheme" => {}
                other => match other["header:".len()..].to_ascii_lowercase().as_str() {
                    "x-user" => expected.extend(user.iter().flat_map(HeaderValue::as_bytes)),
                    "host" => expected.extend(b"a.test:80"),
                    _ => {}
                },
            },
        }
    }
    assert_eq!(template.names_endpoint(), names_endpoint, "{text:?}");
    let expected = expected.trim_ascii();
    let value = template.render(&request, None);
    let value = value.as_ref().map_or(&[][..], HeaderValue::as_bytes);
    assert_eq!(
        value.escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "{text:?}"
    );
}

/// Names in braces, and the bytes between them.
fn parts(text: &str) -> Option<Vec<Result<String, u8>>> {
    let mut parts = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' if rest.peek() == Some(&c) => {
                rest.next();
                parts.push(Err(c as u8));
            }
            '{' => {
                let mut name = String::new();
                loop {
                    match rest.next()? {
                        '}' => break,
                        '{' => return None,
                        c => name.push(c),
                    }
                }
                let known = "client_ip peer_addr scheme host path endpoint request_id";
                let is_header = name
                    .strip_prefix("header:")
                    .is_some_and(|name| HeaderName::from_bytes(name.as_bytes()).is_ok());
                if !is_header && !known.split(' ').any(|known| known == name) {
                    return None;
                }
                parts.push(Ok(name));
            }
            '}' => return None,
            c if c.is_ascii_control() && c != '\t' => return None,
            c => parts.extend(c.to_string().into_bytes().into_iter().map(Err)),
        }
    }
    Some(parts)
}
