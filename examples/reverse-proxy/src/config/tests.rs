//! The file that shows every setting.

use std::time::Duration;

use super::{Config, ConfigError};

const FILE: &str = include_str!("../../proxy.toml");

/// Settings without a default: the file shows an example.
const WITHOUT_DEFAULT: [&str; 42] = [
    "certificate",
    "key",
    "names",
    "hops",
    "via",
    "upstream",
    "token",
    "path",
    "hash_header",
    "id",
    "host",
    "body_matches",
    "grpc_service",
    "send",
    "expect",
    "expect_contains",
    "port",
    "address",
    "server_name",
    "tls_roots",
    "roots",
    "unhealthy_interval",
    "changing_interval",
    "idle_interval",
    "zone",
    "zone_callers",
    "max_in_flight",
    "send_proxy_protocol",
    "add_prefix",
    "max_body",
    "redirect_to_https",
    "hsts",
    "root",
    "hedge_after",
    "hedge_percentile",
    "request_rate",
    "response_rate",
    "request_timeout",
    "attempt_timeout",
    "deadline_header",
    "max",
    "max_age",
];

#[test]
fn what_the_file_shows_as_defaults_are_the_defaults() {
    let mut shown = 0;
    let with_defaults = FILE.lines().map(|line| {
        let setting = line.strip_prefix("# ").filter(|rest| {
            let name = rest.split(" = ").next().unwrap_or_default();
            let is_name = name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            is_name && rest.contains(" = ") && !WITHOUT_DEFAULT.contains(&name)
        });
        shown += usize::from(setting.is_some());
        format!("{}\n", setting.unwrap_or(line))
    });
    // A global setting stands before the first table, as it must in TOML.
    let with_defaults: String = with_defaults.collect();
    assert_eq!(Config::parse(&with_defaults), Config::parse(FILE));
    assert!(Config::parse(FILE).is_ok());
    assert_eq!(shown, 80);
}

/// What `[forwarded]` is with these settings.
fn forwarded(settings: &str) -> Result<Config, ConfigError> {
    Config::parse(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [[upstream]]\nname = \"app\"\n[forwarded]\n{settings}"
    ))
}

#[test]
fn headers_of_clients_can_be_configured_and_what_makes_no_sense_is_refused_by_name() {
    for settings in [
        "",
        "hops = 2\nlines = \"another\"\nvia = \"edge1\"",
        "trusted = [\"10.0.0.0/8\"]\nmode = \"replace\"\nwrite = []",
        "write = [\"forwarded\", \"x-envoy-external-address\"]",
    ] {
        assert_eq!(forwarded(settings).map(drop), Ok(()), "{settings}");
    }
    for (settings, words) in [
        ("hops = 0", "hops is 0"),
        (
            "hops = 1\ntrusted = [\"10.0.0.0/8\"]",
            "hops: there is trusted already",
        ),
        (
            "lines = \"another\"\nmode = \"replace\"",
            "lines: it needs `mode = \"append\"`",
        ),
        (
            "write = [\"x-real-ip\", \"x-real-ip\"]",
            "write: a header is there twice",
        ),
        (
            "via = \"a b\"",
            "via: `a b` is not a name for Via, such as edge1",
        ),
    ] {
        let expected = format!(" forwarded.{words}");
        assert_eq!(forwarded(settings).unwrap_err().0, expected);
    }
    for (settings, part) in [
        ("hops = -1", "-1"),
        ("lines = \"two\"", "`two`"),
        ("write = [\"x-other\"]", "`x-other`"),
    ] {
        let words = forwarded(settings).unwrap_err().0;
        assert!(words.starts_with("7: ") && words.contains(part), "{words}");
    }
}

/// What `[upstream.health]` is with these settings.
fn health(settings: &str) -> Result<Config, ConfigError> {
    Config::parse(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [[upstream]]\nname = \"app\"\n[upstream.health]\n{settings}"
    ))
}

#[test]
fn every_kind_of_probe_can_be_configured() {
    let all = [
        r#""#,
        r#"send = "PING\r\n"
           expect = "+PONG""#,
        r#"expect_contains = "ready"
           port = 9101"#,
        r#"path = "/health"
           method = "HEAD"
           statuses = ["200-204", "401"]"#,
        r#"path = "/health"
           method = "OPTIONS"
           host = "shop.example"
           headers = { Authorization = "Bearer t" }"#,
        r#"path = "/health"
           body_matches = '"status":"(ok|degraded)"'
           body_limit = 1024
           address = "10.0.0.1:9101""#,
        r#"grpc_service = """#,
        r#"grpc_service = "shop.v1.Cart"
           host = "shop.example"
           headers = { x-token = "t" }"#,
        r#"unhealthy_interval = "5s"
           changing_interval = "500ms"
           idle_interval = "1m"
           start_spread = "2s"
           max_in_flight = 100"#,
    ];
    for settings in all {
        assert_eq!(health(settings).map(drop), Ok(()), "{settings}");
    }
}

#[test]
fn settings_of_probes_that_make_no_sense_are_refused_by_name() {
    let refused = [
        (r#"body = "UP""#, "body: it needs path"),
        (r#"method = "HEAD""#, "method: it needs path"),
        (r#"statuses = ["204"]"#, "statuses: it needs path"),
        (r#"host = "a""#, "host: it needs path or grpc_service"),
        (r#"server_name = "a""#, "server_name: it needs `tls = true`"),
        (
            "path = \"/\"\ngrpc_service = \"\"",
            "grpc_service: there is a path already",
        ),
        (
            "path = \"/\"\nsend = \"PING\"",
            "send: there is a path already",
        ),
        (
            "grpc_service = \"\"\nexpect = \"PONG\"",
            "expect: there is a grpc_service already",
        ),
        (
            "port = 1\naddress = \"10.0.0.1:1\"",
            "address: there is a port already",
        ),
        ("expect = \"\"", "expect: expected bytes are empty"),
        (
            "path = \"/\"\nbody_matches = \"(\"",
            "body_matches: `(` is not a regular expression (unclosed group)",
        ),
        (
            "path = \"/\"\nmethod = \"get\"",
            "method: `get` is not in capital letters",
        ),
        (
            "path = \"/\"\nmethod = \"CONNECT\"",
            "method: method CONNECT is not a probe's to use",
        ),
        (
            "path = \"/\"\nmethod = \"HEAD\"\nbody = \"UP\"",
            "method: the answer to HEAD has no body to expect anything of",
        ),
        (
            "path = \"/\"\nstatuses = [\"299-200\"]",
            "statuses: `299-200` are not statuses; expected ranges from 100 to 999",
        ),
        (
            "path = \"/\"\nheaders = { \"a b\" = \"c\" }",
            "headers: `a b` is not a name",
        ),
        (
            "path = \"/\"\nheaders = { te = \"c\" }",
            "headers: header `te` is not a probe's to set",
        ),
        (
            "grpc_service = \"\"\nhost = \"a b\"",
            "host: `a b` is not an authority; expected NAME or NAME:PORT",
        ),
        ("unhealthy_interval = \"0s\"", "unhealthy_interval is 0"),
        ("changing_interval = \"0s\"", "changing_interval is 0"),
        ("idle_interval = \"0s\"", "idle_interval is 0"),
    ];
    for (settings, words) in refused {
        let expected = format!(" upstream `app`: health.{words}");
        assert_eq!(health(settings).unwrap_err().0, expected);
    }
    let lines = [
        ("port = 0", "7: "),
        ("path = \"/\"\nstatuses = [\"2xx\"]", "`2xx`"),
        ("address = \"somewhere\"", "`somewhere`"),
    ];
    for (settings, part) in lines {
        let words = health(settings).unwrap_err().0;
        assert!(words.contains(part), "{words}");
    }
    let words = health("tls = true\ntls_roots = \"/nowhere/ca.pem\"").unwrap_err();
    let begin = " upstream `app`: health.tls_roots: /nowhere/ca.pem: No such file";
    assert!(words.0.starts_with(begin), "{words}");
}

/// What a listener is with these settings, and the timeouts with those.
fn listener(settings: &str, timeouts: &str) -> Result<Config, ConfigError> {
    Config::parse(&format!(
        "[timeouts]\n{timeouts}\n[[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"\n{settings}
         [[upstream]]\nname = \"app\""
    ))
}

#[test]
fn who_must_send_a_proxy_header_is_checked_by_name() {
    let config = listener(
        "proxy_protocol = [\"127.0.0.1/32\", \"2001:db8::/32\"]",
        "proxy_protocol = \"3s\"",
    )
    .unwrap();
    assert_eq!(config.listeners[0].proxy_protocol.len(), 2);
    assert_eq!(config.timeouts.proxy_protocol, Duration::from_secs(3));
    assert!(
        listener("", "").unwrap().listeners[0]
            .proxy_protocol
            .is_empty()
    );

    let words = listener("", "proxy_protocol = \"0s\"").unwrap_err().0;
    assert_eq!(words, " timeouts.proxy_protocol is 0");
    for (value, part) in [
        ("[\"10.0.0.0/33\"]", "6: proxy_protocol: `10.0.0.0/33`"),
        ("[\"everybody\"]", "6: proxy_protocol: `everybody`"),
        ("true", "6: "),
    ] {
        let words = listener(&format!("proxy_protocol = {value}"), "")
            .unwrap_err()
            .0;
        assert!(words.starts_with(part), "{words}");
    }
}

/// What `[upstream.tls]` is with these settings, before an endpoint at `address`.
fn tls(settings: &str, address: &str) -> Result<Config, ConfigError> {
    Config::parse(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [[upstream]]\nname = \"app\"\n[upstream.tls]\n{settings}
         [[upstream.endpoint]]\naddress = \"{address}\""
    ))
}

#[test]
fn tls_with_endpoints_is_checked_by_name() {
    for (settings, address) in [
        ("", "127.0.0.1:1"),
        ("server_name = \"app.test\"", "unix:/run/app.sock"),
        ("certificate = \"a\"\nkey = \"b\"\nroots = \"c\"", "app:1"),
        ("verify = \"none_for_tests_only\"", "app:1"),
    ] {
        let config = tls(settings, address);
        assert_eq!(config.map(drop), Ok(()), "{settings}");
    }
    for (settings, words) in [
        ("certificate = \"a\"", "certificate: it needs key"),
        ("key = \"a\"", "key: it needs certificate"),
        (
            "roots = \"a\"\nverify = \"none_for_tests_only\"",
            "roots: it needs `verify = \"full\"`",
        ),
        (
            "",
            "server_name: endpoint `unix:/run/app.sock` needs one, as a socket has no name",
        ),
    ] {
        let expected = format!(" upstream `app`: tls.{words}");
        let refused = tls(settings, "unix:/run/app.sock").unwrap_err();
        assert_eq!(refused.0, expected);
    }
    for (settings, part) in [("verify = \"none\"", "`none`"), ("trust = 1", "`trust`")] {
        let words = tls(settings, "app:1").unwrap_err().0;
        assert!(words.starts_with("7: ") && words.contains(part), "{words}");
    }
}
