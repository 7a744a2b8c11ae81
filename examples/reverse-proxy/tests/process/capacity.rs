//! Limits, those who wait, and those who stand in.

use tightrope_test::Origin;

use super::program::{Program, file};

/// The proxy over two servers, which are known as `first` and `second`.
async fn proxy(settings: &str, first: (&Origin, &str), second: (&Origin, &str)) -> Program {
    let (_folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"
         [admin]\naddress = \"127.0.0.1:0\"
         [[route]]\nupstream = \"app\"
         [[upstream]]\nname = \"app\"\n{settings}
         [[upstream.endpoint]]\naddress = \"{}\"\nid = \"first\"\n{}
         [[upstream.endpoint]]\naddress = \"{}\"\nid = \"second\"\n{}\n",
        first.0.address(),
        first.1,
        second.0.address(),
        second.1,
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    Program::start(arguments, true).await
}

#[tokio::test]
async fn a_backup_gets_what_its_primary_has_no_room_for_and_the_rest_waits_or_is_refused() {
    let (first, second) = (Origin::start("first").await, Origin::start("second").await);
    let proxy = proxy(
        "over_provisioning = 0\n[upstream.queue]\nmax_waiting = 1\ntimeout = \"60s\"",
        (&first, "max_in_flight = 1"),
        (&second, "max_in_flight = 1\npriority = 1"),
    )
    .await;
    let held = proxy.get("/gate");
    let over = async {
        first.requests_reach(1).await;
        proxy.get("/gate").await
    };
    let waits = async {
        second.requests_reach(1).await;
        proxy.get("/gate").await
    };
    let refused = async {
        while proxy.state("/upstreams/app").await["waiting"] != 1 {}
        let refused = proxy.get("/").await;
        first.open_gate();
        refused
    };
    let second_opens = async {
        // The one who waited found room at the first, which is the better one again.
        first.requests_reach(2).await;
        second.open_gate();
    };
    let (held, over, waits, refused, ()) = tokio::join!(held, over, waits, refused, second_opens);
    assert_eq!((held.status, &*held.body), (200, "first"));
    assert_eq!((over.status, &*over.body), (200, "second"));
    assert_eq!((waits.status, &*waits.body), (200, "first"));
    assert_eq!(refused.status, 503);

    let state = proxy.state("/upstreams/app").await;
    assert_eq!(state["waiting"], 0);
    assert_eq!(state["endpoints"][0]["max_in_flight"], 1);
    assert_eq!(state["endpoints"][0]["in_flight"], 0);
    assert_eq!(state["endpoints"][0]["availability"], "available");
    assert_eq!(state["endpoints"][1]["priority"], 1);
}

#[tokio::test]
async fn a_backup_serves_while_its_primary_is_drained_and_a_reload_changes_limits() {
    let (first, second) = (Origin::start("first").await, Origin::start("second").await);
    let proxy = proxy(
        "over_provisioning = 0\nmax_in_flight = 5\n[upstream.slow_start]\nwindow = \"1h\"",
        (&first, ""),
        (&second, "priority = 1"),
    )
    .await;
    assert_eq!(proxy.get("/").await.body, "first");
    let (status, _) = proxy
        .order("POST", "/upstreams/app/endpoints/first/drain", "")
        .await;
    assert_eq!(status, 200);
    assert_eq!(proxy.get("/").await.body, "second");
    proxy
        .order("POST", "/upstreams/app/endpoints/first/undrain", "")
        .await;
    assert_eq!(proxy.get("/").await.body, "first");

    let state = proxy.state("/upstreams/app").await;
    assert_eq!(state["max_in_flight"], 5);
    assert_eq!(state["in_flight"], 0);
    // It came back while another was available.
    assert_eq!(state["endpoints"][0]["weight_percent"], 10);
    assert_eq!(state["endpoints"][1]["weight_percent"], 100);
}
