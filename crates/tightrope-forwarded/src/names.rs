//! Which header fields claim to say who the client is.

use http::HeaderName;

pub(crate) static FORWARDED: HeaderName = HeaderName::from_static("forwarded");
pub(crate) static X_ENVOY_EXTERNAL_ADDRESS: HeaderName =
    HeaderName::from_static("x-envoy-external-address");
pub(crate) static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) static X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(crate) static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) static X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Whether an application may take this field for the word of a proxy.
///
/// CGI, WSGI and their heirs turn a name into a variable by replacing `-`, and some every other sign, with `_`.
/// So every sign counts as `-` here: `x_forwarded_for` and `x.forwarded.for` are the same claim, in any case.
pub(crate) fn is_identity(name: &[u8]) -> bool {
    let initial = name.first().map(u8::to_ascii_lowercase);
    if !initial.is_some_and(|initial| INITIALS.contains(&initial)) {
        return false;
    }
    FAMILIES.iter().any(|family| {
        name.get(..family.len())
            .is_some_and(|start| reads_as(start, family))
    }) || FIELDS.iter().any(|field| reads_as(name, field))
}

/// Whether the name is an identity field spelled so that a plain comparison misses it. No proxy writes these.
pub(crate) fn is_disguised(name: &HeaderName) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !name.as_str().bytes().all(plain) && is_identity(name.as_str().as_bytes())
}

/// Whether a server may take one of these names for the other.
pub(crate) fn is_alike(name: &[u8], other: &HeaderName) -> bool {
    let other = other.as_str().as_bytes();
    name.len() == other.len() && name.iter().map(fold).eq(other.iter().map(fold))
}

fn reads_as(name: &[u8], field: &str) -> bool {
    name.len() == field.len() && name.iter().map(fold).eq(field.bytes())
}

fn fold(byte: &u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

/// Whatever starts with these: `-for`, `-host`, `-proto`, `-user`, `-client-cert`, `-url` and so on.
const FAMILIES: [&str; 2] = ["x-forwarded-", "x-original-"];

/// The letters that identity fields begin with.
const INITIALS: &[u8] = b"cdftwxp";

const FIELDS: [&str; 30] = [
    "forwarded",
    "x-forwarded",
    "forwarded-for",
    // The client's address, by server and framework.
    "x-real-ip",
    "x-client-ip",
    "client-ip",
    "x-cluster-client-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-originating-ip",
    "x-proxyuser-ip",
    "proxy-client-ip",
    "wl-proxy-client-ip",
    "x-envoy-external-address",
    "x-envoy-internal",
    // The same, by content delivery network and cloud.
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "do-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    // Scheme, host and target as the client sent them.
    "front-end-https",
    "x-scheme",
    "x-url-scheme",
    "x-host",
    "x-http-host-override",
    "x-rewrite-url",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HeaderName {
        text.parse().unwrap()
    }

    #[test]
    fn identity_fields_are_known_in_every_spelling() {
        for text in [
            "Forwarded",
            "X-Forwarded-For",
            "X-Forwarded-Client-Cert",
            "X-Original-URL",
            "X-Real-IP",
            "CF-Connecting-IP",
            "True-Client-IP",
            "X-Rewrite-URL",
        ] {
            assert!(is_identity(text.as_bytes()), "{text}");
            assert!(!is_disguised(&name(text)), "{text}");
        }
        for text in [
            "X_Forwarded_For",
            "x-forwarded_for",
            "X.Real.IP",
            "x_original-url",
            "x_forwarded-anything",
            "x~real!ip",
        ] {
            assert!(is_identity(text.as_bytes()), "{text}");
            assert!(is_disguised(&name(text)), "{text}");
        }
    }

    #[test]
    fn every_identity_field_begins_with_a_known_letter() {
        for field in FAMILIES.iter().chain(&FIELDS) {
            assert!(INITIALS.contains(&field.as_bytes()[0]), "{field}");
        }
    }

    #[test]
    fn other_fields_are_left_alone() {
        for text in [
            "host",
            "via",
            "user-agent",
            "x-forward",
            "x-forwardedfor",
            "xforwarded-for",
            "my-x-forwarded-for",
            "x-original",
            "x-real-ip-not",
            "x_request_id",
            "forwarded-by-me",
            "x",
            "-",
            "_",
        ] {
            assert!(!is_identity(text.as_bytes()), "{text}");
            assert!(!is_disguised(&name(text)), "{text}");
        }
    }
}
