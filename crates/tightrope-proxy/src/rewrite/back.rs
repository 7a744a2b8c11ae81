//! What responses say of places, as the client has to hear it.

use http::uri::Scheme;

use super::prefix::Prefixes;
use crate::host::without_port;

/// Maps what an endpoint says of places back to what the client knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Back<'a> {
    pub(crate) prefixes: &'a Prefixes,
    pub(crate) client: Option<Place<'a>>,
    /// The address of the endpoint.
    pub(crate) endpoint: Option<&'a str>,
}

/// What the client asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) scheme: Option<&'a Scheme>,
    pub(crate) host: &'a str,
}

impl Back<'_> {
    /// A URL; `None` where it stays as it is.
    pub(crate) fn location(&self, url: &str) -> Option<String> {
        // A browser reads `\` as `/`; what could be read in two ways is not ours to map.
        if url.contains('\\') {
            return None;
        }
        let (scheme, after) = match url.split_once("://") {
            Some((scheme, after)) if is_http(scheme) => (Some(scheme), after),
            _ => match url.strip_prefix("//") {
                Some(after) => (None, after),
                None => return self.path(url),
            },
        };
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, path) = after.split_at(end);
        let client = self.client?;
        if same_host(scheme, authority, client.host) {
            // The scheme stays, as the way from http to https is a redirect like this.
            let path = self.path(path)?;
            let scheme = scheme
                .map(|scheme| format!("{scheme}:"))
                .unwrap_or_default();
            return Some(format!("{scheme}//{authority}{path}"));
        }
        if self.inside().any(|host| same_host(scheme, authority, host)) {
            let path = if path.starts_with('/') {
                self.path(path)?
            } else {
                path.to_owned()
            };
            let scheme = client.scheme.map(|scheme| format!("{scheme}:"));
            let scheme = scheme.unwrap_or_default();
            return Some(format!("{scheme}//{}{path}", client.host));
        }
        None
    }

    /// The seconds and the URL of a Refresh field: `5; url=/x`.
    pub(crate) fn refresh(&self, value: &str) -> Option<String> {
        let start = value.find([';', ','])? + 1;
        let after = value[start..].trim_start();
        let name = after
            .get(..3)
            .filter(|name| name.eq_ignore_ascii_case("url"))?;
        let url = after[name.len()..].trim_start().strip_prefix('=')?.trim();
        let quote = url.chars().next().filter(|c| ['"', '\''].contains(c));
        let bare = match quote {
            Some(quote) => url[1..].split(quote).next().unwrap_or_default(),
            None => url,
        };
        let new = self.location(bare)?;
        let quote = quote.map(String::from).unwrap_or_default();
        Some(format!("{} url={quote}{new}{quote}", &value[..start]))
    }

    /// A Set-Cookie field.
    pub(crate) fn cookie(&self, value: &str) -> Option<String> {
        let mut is_changed = false;
        let attributes = value.split(';').enumerate().map(|(place, attribute)| {
            let new = match attribute.split_once('=') {
                // The first is the cookie itself.
                Some((name, value)) if place > 0 => self.attribute(name, value.trim()),
                _ => None,
            };
            is_changed |= new.is_some();
            new.unwrap_or_else(|| attribute.to_owned())
        });
        let attributes: Vec<_> = attributes.collect();
        is_changed.then(|| attributes.join(";"))
    }

    fn attribute(&self, name: &str, value: &str) -> Option<String> {
        let is = |other| name.trim().eq_ignore_ascii_case(other);
        if is("path") {
            return Some(format!("{name}={}", self.prefixes.cookie_outward(value)?));
        }
        if is("domain") {
            let domain = value.strip_prefix('.').unwrap_or(value);
            let mut inside = self.inside().map(without_port);
            if inside.any(|host| domain.eq_ignore_ascii_case(host)) {
                return Some(format!("{name}={}", without_port(self.client?.host)));
            }
        }
        None
    }

    /// What the endpoint may call itself.
    fn inside(&self) -> impl Iterator<Item = &str> {
        let hosts = self.prefixes.hosts().iter().map(String::as_str);
        hosts.chain(self.endpoint)
    }

    /// An absolute path, with what follows it.
    fn path(&self, text: &str) -> Option<String> {
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let (path, more) = text.split_at(end);
        let path = self.prefixes.outward(path)?;
        // Which would be the name of a host.
        (!path.starts_with("//")).then(|| format!("{path}{more}"))
    }
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// Whether both name the same host and port, where 80 and 443 may be left out.
fn same_host(scheme: Option<&str>, one: &str, other: &str) -> bool {
    let default = match scheme {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => ":443",
        _ => ":80",
    };
    let bare = |host: &str| {
        let host = host.strip_suffix(default).unwrap_or(host);
        host.to_ascii_lowercase()
    };
    !one.is_empty() && bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rewrite::prefix::tests::prefixes;

    fn with<T>(strip: &str, add: &str, test: impl FnOnce(Back<'_>) -> T) -> T {
        test(Back {
            prefixes: &prefixes(strip, add),
            client: Some(Place {
                scheme: Some(&Scheme::HTTPS),
                host: "shop.test",
            }),
            endpoint: Some("10.0.0.1:8080"),
        })
    }

    #[test]
    fn urls_of_ours_are_mapped_and_others_stay() {
        with("/api", "/v2", |back| {
            for (inside, outside) in [
                ("/v2/x?y#z", Some("/api/x?y#z")),
                ("/v2", Some("/api")),
                ("/v2?x", Some("/api?x")),
                ("/v2x", None),
                ("/x", None),
                ("x", None),
                ("../v2", None),
                ("?x", None),
                ("", None),
                ("http://10.0.0.1:8080/v2/x", Some("https://shop.test/api/x")),
                ("//10.0.0.1:8080/v2/x", Some("https://shop.test/api/x")),
                ("http://10.0.0.1:8080", Some("https://shop.test")),
                ("http://app.internal:80/v2", Some("https://shop.test/api")),
                ("http://10.0.0.1:8080/x", None),
                ("http://10.0.0.1/v2/x", None),
                ("http://shop.test/v2/x", Some("http://shop.test/api/x")),
                (
                    "https://SHOP.test:443/v2",
                    Some("https://SHOP.test:443/api"),
                ),
                ("https://shop.test:8443/v2", None),
                ("https://other.test/v2/x", None),
                ("//other.test/v2", None),
                ("https://shop.test@other.test/v2", None),
                ("https://other.test\\@shop.test/v2", None),
                ("mailto://shop.test/v2", None),
                ("/login?next=http://10.0.0.1:8080/v2", None),
                (
                    "/v2/login?next=https://a/",
                    Some("/api/login?next=https://a/"),
                ),
            ] {
                assert_eq!(back.location(inside).as_deref(), outside, "{inside}");
            }
        });
        // With nothing to put in front a path must not become a host.
        with("/", "/v2", |back| {
            assert_eq!(back.location("/v2//evil.test/"), None);
            assert_eq!(back.location("/v2").as_deref(), Some("/"));
        });
    }

    #[test]
    fn refresh_is_mapped() {
        with("/api", "/", |back| {
            for (inside, outside) in [
                ("5; url=/x", Some("5; url=/api/x")),
                ("0;URL='/x'", Some("0; url='/api/x'")),
                ("5, url = \"/x\"", Some("5, url=\"/api/x\"")),
                ("5", None),
                ("5; url", None),
                ("5; /x", None),
                ("5; url=https://other.test/", None),
            ] {
                assert_eq!(back.refresh(inside).as_deref(), outside, "{inside}");
            }
        });
    }

    #[test]
    fn path_and_domain_of_cookies_are_mapped() {
        with("/api", "/v2", |back| {
            for (inside, outside) in [
                ("a=1; Path=/v2; HttpOnly", Some("a=1; Path=/api; HttpOnly")),
                ("a=1;path=/v2/", Some("a=1;path=/api")),
                (
                    "a=1; path=/v2/x/; Secure",
                    Some("a=1; path=/api/x/; Secure"),
                ),
                ("a=1; Domain=10.0.0.1", Some("a=1; Domain=shop.test")),
                ("path=/v2; a=/v2", None),
                ("a=1; Path=/", None),
                ("a=1; Domain=.App.Internal", Some("a=1; Domain=shop.test")),
                ("a=1; Domain=other.test", None),
                ("a=1", None),
            ] {
                assert_eq!(back.cookie(inside).as_deref(), outside, "{inside}");
            }
        });
        with("/api", "/", |back| {
            assert_eq!(
                back.cookie("a=1; Path=/").as_deref(),
                Some("a=1; Path=/api")
            );
        });
    }

    proptest! {
        #[test]
        fn any_text_is_mapped_or_stays(text in any::<String>(), tail in "[ -~]{0,20}") {
            with("/api", "/v2", |back| {
                for text in [text.clone(), format!("/v2{tail}"), format!("5; url={tail}"), format!("a; path={tail}")] {
                    drop((back.location(&text), back.refresh(&text), back.cookie(&text)));
                }
            });
        }
    }
}
