//! What is wrong is said in one line that names the place, with exit code 2.

use tokio::net::TcpListener;

use super::program::{file, refused};

const LISTENER: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"\n";
const UPSTREAM: &str = "[[upstream]]\nname = \"app\"\n";
const ENDPOINT: &str = "[[upstream.endpoint]]\naddress = \"127.0.0.1:1\"\n";

/// A text that is appended to a good beginning, and what must be said of it.
const WRONG: &[(&str, &[&str])] = &[
    (
        "strategy = \"fastest\"",
        &["proxy.toml:6: strategy: ", "`fastest`", "round_robin"],
    ),
    (
        "colour = \"blue\"",
        &["proxy.toml:6: unknown field `colour`"],
    ),
    (
        "[[upstream.endpoint]]\naddress = \"127.0.0.1:1\"\n[[upstream.endpoint]]\naddress = \"127.0.0.1:1\"",
        &["upstream `app`", "`127.0.0.1:1`", "twice"],
    ),
    (
        "[[upstream.endpoint]]\naddress = \"127.0.0.1:1\"\nweight = 65536",
        &["proxy.toml:8:", "65536"],
    ),
    (
        "[[upstream.endpoint]]\naddress = \"127.0.0.1:1\"\nweight = -1",
        &["proxy.toml:8:", "-1"],
    ),
    (
        "[[upstream.endpoint]]\naddress = \"127.0.0.1\"",
        &["proxy.toml:7:", "127.0.0.1"],
    ),
    (
        "[[upstream.endpoint]]\nweight = 2",
        &["proxy.toml:6:", "address"],
    ),
    (
        "active_group = \"green\"",
        &["upstream `app`", "active_group", "`green`"],
    ),
    ("[[upstream]]\nname = \"app\"", &["upstream `app`", "twice"]),
    (
        "strategy = \"nginx_hash\"",
        &["upstream `app`", "hash_header"],
    ),
    (
        "host_header = { fixed = \"a/b\" }",
        &["upstream `app`", "host_header: `a/b` is not a host"],
    ),
    ("host_header = \"server\"", &["proxy.toml:6:", "`server`"]),
    (
        "[upstream.connections]\nprotocol = \"http3\"",
        &["proxy.toml:7:", "`http3`"],
    ),
    (
        "[upstream.connections]\nprotocol = \"negotiated\"",
        &["upstream `app`", "connections.protocol: `negotiated`"],
    ),
    (
        "[upstream.connections]\nmax = 0",
        &["proxy.toml:7:", "nonzero"],
    ),
    (
        "[upstream.connections]\nmax_age = \"0s\"",
        &["upstream `app`", "connections.max_age is 0"],
    ),
    (
        "[upstream.connections]\nmax = 2\nwarm = 3",
        &[
            "upstream `app`",
            "connections.warm: 3 is more than the 2 of max",
        ],
    ),
    ("hash_header = \"a b\"", &["hash_header", "`a b`"]),
    (
        "[upstream.health]\npath = \"infra\"",
        &["upstream `app`", "health.path", "`infra`"],
    ),
    (
        "[upstream.health]\ninterval = \"0s\"",
        &["upstream `app`", "health.interval"],
    ),
    (
        "[upstream.health]\ninterval = \"2 moons\"",
        &["proxy.toml:7:", "2 moons"],
    ),
    ("[upstream.health]\nrise = 0", &["health.rise"]),
    ("[upstream.health]\nport = 0", &["proxy.toml:7:", "`0`"]),
    (
        "[upstream.health]\npath = \"/\"\nbody_matches = \"(\"",
        &["upstream `app`", "health.body_matches", "`(`"],
    ),
    (
        "[upstream.outlier]\nmax_ejected = 1.5",
        &[
            "upstream `app`",
            "outlier",
            "share of endpoints ejected is 1.5",
        ],
    ),
    (
        "[upstream.outlier]\ninterval = \"0s\"",
        &["upstream `app`", "outlier", "interval is zero"],
    ),
    (
        "panic_threshold = 101",
        &["proxy.toml:6:", "`101` is not between 0 and 100"],
    ),
    (
        "over_provisioning = 99",
        &["upstream `app`", "over_provisioning: 99"],
    ),
    ("max_in_flight = 0", &["proxy.toml:6:", "`0`", "nonzero"]),
    ("when_full = \"panic\"", &["proxy.toml:6:", "`panic`"]),
    (
        "[upstream.queue]\ntimeout = \"1s\"",
        &["proxy.toml:6:", "max_waiting"],
    ),
    (
        "[upstream.queue]\ntimeout = \"1s\"\nmax_waiting = 0",
        &["proxy.toml:8:", "`0`", "nonzero"],
    ),
    (
        "[upstream.slow_start]\nwindow = \"0s\"",
        &["upstream `app`", "slow_start", "window is 0"],
    ),
    (
        "[upstream.slow_start]\nwindow = \"9s\"\naggression = -1.0",
        &["upstream `app`", "slow_start", "aggression -1"],
    ),
    (
        "[upstream.slow_start]\nwindow = \"9s\"\nfloor = 0",
        &["upstream `app`", "slow_start", "floor of 0 %"],
    ),
    (
        "[[upstream.endpoint]]\naddress = \"127.0.0.1:1\"\npriority = 256",
        &["proxy.toml:8:", "256"],
    ),
    (
        "[forwarded]\ntrusted = [\"10.0.0.0/33\"]",
        &["proxy.toml:7:", "10.0.0.0/33"],
    ),
    (
        "[forwarded]\nmode = \"forge\"",
        &["proxy.toml:7:", "`forge`"],
    ),
    ("[timeouts]\nconnect = \"0s\"", &["timeouts.connect"]),
    ("[limits]\nhead_bytes = 100", &["limits.head_bytes", "100"]),
    ("[limits]\nheaders = 0", &["limits.headers is 0"]),
    (
        "[limits]\nrequest_rate = 0",
        &["proxy.toml:7: request_rate: ", "`0`", "nonzero"],
    ),
    (
        "[timeouts]\nwrite = 5",
        &["proxy.toml:7: write: ", "`5`", "a duration"],
    ),
    ("[timeouts]\nwrite = \"0s\"", &["timeouts.write is 0"]),
    (
        "[upstream.retry]\nattempts = 0",
        &["upstream `app`", "retry.attempts is 0"],
    ),
    (
        "[upstream.retry]\nrequest_timeout = \"0s\"",
        &["upstream `app`", "retry.request_timeout is 0s"],
    ),
    (
        "[upstream.retry]\nattempt_timeout = \"0s\"",
        &["upstream `app`", "retry.attempt_timeout is 0s"],
    ),
    (
        "[upstream.retry]\nrequest_timeout = \"1s\"\nattempt_timeout = \"1500ms\"",
        &[
            "upstream `app`",
            "retry.attempt_timeout: 1.5s is more than the request_timeout of 1s",
        ],
    ),
    (
        "[upstream.retry]\ndeadline_header = \"a b\"",
        &["upstream `app`", "retry.deadline_header: `a b`"],
    ),
    (
        "[upstream.retry]\ndeadline_header = \"Content-Length\"",
        &["upstream `app`", "retry.deadline_header: `content-length`"],
    ),
    (
        "[upstream.retry]\non = [\"timeout\"]",
        &["proxy.toml:7: on: ", "`timeout`", "head_timeout"],
    ),
    (
        "[upstream.retry]\nbudget = 101",
        &["upstream `app`", "retry.budget", "percent is 101"],
    ),
    (
        "[upstream.retry]\nbudget_reserve = 2000000",
        &[
            "upstream `app`",
            "retry.budget_reserve",
            "reserve is 2000000",
        ],
    ),
    (
        "[upstream.retry]\nbackoff = \"1s\"",
        &["upstream `app`", "retry.backoff: max is 250ms"],
    ),
    (
        "[upstream.retry]\nhedge_percentile = 100",
        &["upstream `app`", "retry.hedge_percentile", "100"],
    ),
    (
        "[upstream.retry]\nhedge_percentile = 95\nhedge_after = \"1s\"",
        &["upstream `app`", "hedge_percentile: there is hedge_after"],
    ),
    ("[[route]]\nupstream = \"other\"", &["route 1", "`other`"]),
    (
        "[[route]]\npath = \"/x\"",
        &["route 1", "there is no upstream, answer or root"],
    ),
    (
        "[[route]]\nupstream = \"app\"\nanswer = 403",
        &["route 1", "more than one of upstream, answer and root"],
    ),
    (
        "[[route]]\nanswer = 100",
        &["route 1", "answer: 100 is not between 200 and 999"],
    ),
    (
        "[[route]]\nroot = \"/no/such/folder\"",
        &["route 1", "root: `/no/such/folder` is not a folder"],
    ),
    (
        "[[route]]\nupstream = \"app\"\nexact = true",
        &["route 1", "exact: it needs path"],
    ),
    (
        "[[route]]\nupstream = \"app\"\nredirect_to_https = 303",
        &["route 1", "redirect_to_https: 303 is not a redirect"],
    ),
    (
        "[[route]]\nupstream = \"app\"\nstrip_prefix = \"api\"",
        &["route 1", "strip_prefix: `api` is not a path prefix"],
    ),
    (
        "[[route]]\nupstream = \"app\"\nadd_prefix = \"/a?b\"",
        &["route 1", "add_prefix: `/a?b` is not a path prefix"],
    ),
    (
        "[[route]]\nupstream = \"app\"\nmax_body = \"10MB\"",
        &["proxy.toml:8:", "`10MB` is not a size"],
    ),
    (
        "[[route]]\nupstream = \"app\"\nmax_body = -1",
        &["proxy.toml:8:", "expected a size"],
    ),
    (
        "[[route]]\nupstream = \"app\"\n[route.request_headers]\nset = { x-a = \"{colour}\" }",
        &[
            "route 1",
            "request_headers.set: the value of `x-a`",
            "no value `colour` at byte 0",
        ],
    ),
    (
        "[[route]]\nupstream = \"app\"\n[route.request_headers]\nset = { x-a = \"{endpoint}\" }",
        &["route 1", "request_headers: `{endpoint}` is not chosen yet"],
    ),
    (
        "[[route]]\nupstream = \"app\"\n[route.response_headers]\nremove = [\"Content-Length\"]",
        &[
            "route 1",
            "response_headers.remove: `content-length` is not for rules: it frames the message",
        ],
    ),
    (
        "[[route]]\nupstream = \"app\"\n[route.response_headers]\nrename = { x-a = \"a b\" }",
        &[
            "route 1",
            "response_headers.rename: `a b` is not the name of a header",
        ],
    ),
    (
        "[[route]]\nupstream = \"app\"\nhost = \"a b\"",
        &["route 1", "a b"],
    ),
    (
        "[[route]]\nupstream = \"app\"\npath = \"x\"",
        &["route 1", "x"],
    ),
    (
        "[[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"",
        &["listener `127.0.0.1:0`", "twice"],
    ),
    (
        "[[listener]]\naddress = \"localhost\"",
        &["proxy.toml:7:", "localhost"],
    ),
    (
        "[[listener]]\naddress = \"127.0.0.1:1\"\nupstream = \"other\"",
        &["listener `127.0.0.1:1`", "`other`"],
    ),
    (
        "[[listener]]\naddress = \"127.0.0.1:1\"",
        &["listener `127.0.0.1:1`", "[[route]]"],
    ),
    (
        "[admin]\naddress = \"0.0.0.0:0\"",
        &["admin", "`0.0.0.0:0`", "token"],
    ),
    ("access_log = 3", &["proxy.toml:6:"]),
    ("nonsense", &["proxy.toml:6:"]),
];

fn assert_one_line(said: &str, parts: &[&str]) {
    assert!(
        said.ends_with('\n') && said.trim_end().lines().count() == 1,
        "not one line:\n{said}"
    );
    assert!(said.starts_with("reverse-proxy: "), "{said}");
    for part in parts {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
}

#[tokio::test]
async fn a_wrong_file_is_refused_in_one_line_that_names_the_place() {
    for (text, parts) in WRONG {
        let (_folder, path) = file(&format!("{LISTENER}{UPSTREAM}{text}\n"));
        let (code, said) = refused(["--config".as_ref(), path.as_os_str()]).await;
        assert_one_line(&said, parts);
        assert_eq!(code, Some(2), "{said}");
    }
}

#[tokio::test]
async fn a_missing_or_empty_file_is_refused() {
    let (code, said) = refused(["--config", "/nowhere/proxy.toml"]).await;
    assert_one_line(&said, &["/nowhere/proxy.toml", "No such file"]);
    assert_eq!(code, Some(2));
    let (_folder, path) = file("");
    let (code, said) = refused(["--config".as_ref(), path.as_os_str()]).await;
    assert_one_line(&said, &["proxy.toml", "[[listener]]"]);
    assert_eq!(code, Some(2));
}

#[tokio::test]
async fn wrong_arguments_are_refused_in_one_line() {
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--strategy", "fastest", "--upstream", "http://127.0.0.1:1"],
            &["fastest", "--strategy"],
        ),
        (
            &["--upstream", "http://127.0.0.1:1;weight=65536"],
            &["--upstream", "65536"],
        ),
        (
            &["--upstream", "http://127.0.0.1:1;wait=1"],
            &["--upstream", "wait=1"],
        ),
        (
            &[
                "--upstream",
                "http://127.0.0.1:1",
                "--upstream",
                "http://127.0.0.1:1",
            ],
            &["127.0.0.1:1", "twice"],
        ),
        (
            &[
                "--upstream",
                "https://127.0.0.1:1",
                "--upstream",
                "127.0.0.1:2",
            ],
            &["--upstream", "`127.0.0.1:1`", "https", "`127.0.0.1:2`"],
        ),
        (
            &["--upstream", "http://127.0.0.1:99999"],
            &["--upstream", "127.0.0.1:99999"],
        ),
        (
            &["--listen", "8080", "--upstream", "http://127.0.0.1:1"],
            &["--listen", "8080"],
        ),
        (&["--workers", "0"], &["--workers", "0"]),
        (&["--workers", "1025"], &["--workers", "1025", "1024"]),
        (
            &["--runtime", "lone"],
            &["--runtime", "lone", "per-worker, shared"],
        ),
        (
            &["--config", "a.toml", "--listen", "127.0.0.1:0"],
            &["--config", "--listen"],
        ),
        (&["--colour"], &["--colour"]),
        (
            &["--strategy", "round_robin"],
            &["--strategy", "--upstream"],
        ),
        (
            &["--admin", "0.0.0.0:0", "--upstream", "http://127.0.0.1:1"],
            &["admin", "0.0.0.0:0"],
        ),
    ];
    for (arguments, parts) in cases {
        let (code, said) = refused(*arguments).await;
        assert_one_line(&said, parts);
        assert_eq!(code, Some(2), "{said}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = ["--listen", &address, "--upstream", "http://127.0.0.1:1"];
    let (code, said) = refused(arguments).await;
    assert_one_line(&said, &["listener", &address, "in use"]);
    assert_eq!(code, Some(2));
    let (_folder, path) = file(&format!(
        "{LISTENER}[admin]\naddress = \"{address}\"\n{UPSTREAM}{ENDPOINT}"
    ));
    let (code, said) = refused(["--config".as_ref(), path.as_os_str()]).await;
    assert_one_line(&said, &["admin", &address, "in use"]);
    assert_eq!(code, Some(2));
}
