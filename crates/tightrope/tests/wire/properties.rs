//! Identity fields on the wire against the reference of `tightrope-forwarded`, and heads by chance.

use proptest::prelude::*;
use tightrope::proxy::Underscores;

use super::{generate::input, head, reference, reference::Case, stack::Wire};

/// The request of `case`, with this one host.
fn bytes(case: &Case) -> Vec<u8> {
    let mut bytes = format!("GET {} HTTP/1.1\r\n", case.target).into_bytes();
    for (name, value) in &case.headers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Parts that a head may be made of, right and wrong.
fn head_bytes() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        2 => "(Host|Connection|Content-Length|Transfer-Encoding|Upgrade|TE|Expect|Trailer|Via|Cookie)",
        2 => "(X[-_]Forwarded[-_](For|Proto|Host|Port|User)|X[-_]Real[-_]IP|Forwarded|CF[-_.]Connecting[-_]IP|X-Original-URL)",
        1 => "(Keep-Alive|Proxy-Connection|Proxy|Proxy-Authorization|HTTP2-Settings|Max-Forwards|X_A|content_length)",
        1 => "[!-~]{1,4}",
    ];
    let value = prop_oneof![
        2 => "(a|a\\.test:80|close|chunked|gzip, chunked|5|0|upgrade|websocket|trailers|100-continue|6\\.6\\.6\\.6|for=6\\.6\\.6\\.6)",
        1 => "(x-forwarded-for|x-real-ip, close|host|content-length|transfer-encoding|x-forwarded-proto)",
        1 => "[ -~\t]{0,6}",
    ];
    let field = (name, ":[ \t]?", value, "(\r\n){5}|\n|\r");
    let field = field.prop_map(|(name, colon, value, end)| {
        // Mostly right.
        let end = if end.len() > 2 { "\r\n" } else { &*end };
        format!("{name}{colon}{value}{end}")
    });
    let line = "(GET|POST|HEAD|OPTIONS|TRACE|CONNECT|get) (/|/a\\?b|\\*|http://b\\.test/x|//a|/%00|b:80|/a#b) HTTP/1\\.[01]\r\n";
    let body =
        "(|hello|5\r\nhello\r\n0\r\n\r\n|0\r\nx-forwarded-for: 6\r\nhost: b\r\nx_a: 1\r\n\r\n)";
    let request = (line, prop::collection::vec(field, 0..6), body);
    let request = request.prop_map(|(line, fields, body)| {
        format!("{line}Host: a.test\r\n{}\r\n{body}", fields.concat()).into_bytes()
    });
    prop::collection::vec(request, 1..3).prop_map(|requests| requests.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn endpoints_see_the_identity_that_the_policy_allows_and_no_other(input in input(), choice in 0..2) {
        let mut lines: Vec<&str> = input.lines().collect();
        lines.retain(|line| !line.starts_with("Host:"));
        lines.push("Host: a.test");
        let input = lines.join("\n");
        reference::check(input.as_bytes());

        let case = Case::parse(input.as_bytes());
        let (headers, _client) = case.expected();
        let peer = case.peer.map(reference::Connection::peer);
        let underscores = [Underscores::Drop, Underscores::Pass][usize::try_from(choice).unwrap()];
        thread_local!(static WIRE: Wire = Wire::new());
        let outcome = WIRE.with(|wire| wire.send(&bytes(&case), peer, &case.layer(), underscores));
        for request in &outcome.requests {
            let claims = |headers: &[(String, Vec<u8>)]| {
                let mut claims = headers.to_vec();
                claims.retain(|(name, _)| case.is_claim(name));
                // RFC 9110 §5.5: what stands around a value is lost on the wire. Two empty lines make the list `, `.
                for (_, value) in &mut claims {
                    *value = value.trim_ascii().to_vec();
                }
                // Lines of one name stay in order.
                claims.sort_by(|(a, _), (b, _)| a.cmp(b));
                claims
            };
            prop_assert_eq!(claims(&request.fields), claims(&headers), "{}", input);
        }
        // Nothing in these is a reason to refuse them.
        prop_assert_eq!(outcome.requests.len(), 1, "{} {}", input, outcome.answer.escape_ascii());
    }

    #[test]
    fn whatever_is_sent_what_leaves_is_sound(bytes in head_bytes(), choice in any::<u8>()) {
        head::check(&[&[choice], &*bytes].concat());
    }
}
