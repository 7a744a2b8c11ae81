//! Reading the file again.

use tightrope_test::{Client, Origin};

use super::program::{Program, file, free_port, soon};

fn text(proxy: u16, origins: &[&Origin], more: &str) -> String {
    let mut text = format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:{proxy}\"\nupstream = \"app\"
         [admin]\naddress = \"127.0.0.1:0\"
         [[upstream]]\nname = \"app\"\n"
    );
    for origin in origins {
        text += &format!(
            "[[upstream.endpoint]]\naddress = \"{}\"\n",
            origin.address()
        );
    }
    text + more
}

#[tokio::test]
async fn a_reload_applies_a_good_file_and_changes_nothing_for_a_bad_one() {
    let (blue, green) = (Origin::start("blue").await, Origin::start("green").await);
    let port = free_port().unwrap();
    let (_folder, path) = file(&text(port, &[&blue], ""));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let mut proxy = Program::start(arguments, true).await;
    assert_eq!(proxy.get("/").await.origin(), "blue");
    let before = proxy.state("/state").await;

    for (more, place) in [
        ("colour = 1", "colour"),
        (
            "[[upstream.endpoint]]\naddress = \"127.0.0.1:1\"\nweight = 70000",
            "70000",
        ),
        (
            "[[listener]]\naddress = \"192.0.2.1:1\"\nupstream = \"app\"",
            "192.0.2.1:1",
        ),
        ("[forwarded]\ntrusted = [\"x\"]", "`x`"),
        ("[[upstream]]\nname = \"app\"", "twice"),
    ] {
        std::fs::write(&path, text(port, &[&green], more)).unwrap();
        let (status, answer) = proxy.order("POST", "/reload", "").await;
        let error = answer["error"].as_str().unwrap();
        assert_eq!(status, 400, "{error}");
        assert!(error.contains(place) && !error.contains('\n'), "{error}");
        proxy.signal("HUP").await;
        let line = proxy.says("nothing was changed").await;
        assert!(line.contains(place), "{line}");
        assert_eq!(proxy.get("/").await.origin(), "blue");
        let state = proxy.state("/state").await;
        let generation = |state: &serde_json::Value| state["upstreams"][0]["generation"].clone();
        assert_eq!(generation(&state), generation(&before));
    }

    std::fs::write(&path, text(port, &[&green], "")).unwrap();
    proxy.signal("HUP").await;
    proxy.says("was read again").await;
    assert_eq!(proxy.get("/").await.origin(), "green");
    std::fs::write(&path, text(port, &[&blue, &green], "")).unwrap();
    assert_eq!(proxy.order("POST", "/reload", "").await.0, 200);
    let both = [proxy.get("/").await, proxy.get("/").await];
    assert_ne!(both[0].origin(), both[1].origin());
}

#[tokio::test]
async fn a_reload_ends_no_request_and_opens_and_closes_listeners() {
    let blue = Origin::start("blue").await;
    let (port, other) = (free_port().unwrap(), free_port().unwrap());
    let (_folder, path) = file(&text(port, &[&blue], ""));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let proxy = Program::start(arguments, true).await;
    let held = proxy.get("/gate");
    let reload = async {
        blue.requests_reach(1).await;
        std::fs::write(&path, text(other, &[&blue], "")).unwrap();
        assert_eq!(proxy.order("POST", "/reload", "").await.0, 200);
        let other = ([127, 0, 0, 1], other).into();
        assert_eq!(super::program::get(other, "/").await.origin(), "blue");
        let closed = async {
            while Client::connect(proxy.proxy()).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        soon(closed).await;
        blue.open_gate();
    };
    let (answer, ()) = tokio::join!(held, reload);
    assert_eq!((answer.status, answer.origin()), (200, "blue"));
}
