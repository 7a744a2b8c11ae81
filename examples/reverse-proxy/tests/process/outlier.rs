//! A server that fails requests although it accepts them.

use tightrope_test::Origin;

use super::program::{Program, file};

#[tokio::test]
async fn a_server_that_answers_503_is_ejected_and_the_reason_is_told() {
    // Clients are told of it only where requests are not sent again.
    for (retry, told) in [("", 0), ("[upstream.retry]\non = []", 3)] {
        ejected_after_503(retry, told).await;
    }
}

async fn ejected_after_503(retry: &str, told: usize) {
    let (good, bad) = (Origin::start("good").await, Origin::start("bad").await);
    bad.mark_down();
    let (_folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"
         [admin]\naddress = \"127.0.0.1:0\"
         [[route]]\nupstream = \"app\"
         [[upstream]]\nname = \"app\"
         [upstream.outlier]\nconsecutive_failures = 3
         {retry}
         [[upstream.endpoint]]\naddress = \"{}\"\nid = \"good\"
         [[upstream.endpoint]]\naddress = \"{}\"\nid = \"bad\"\n",
        good.address(),
        bad.address()
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let proxy = Program::start(arguments, true).await;
    // It answers this one with 503 while it is down.
    let ask = async || proxy.get("/infra/health").await.status;
    let mut failures = 0;
    for _ in 0..40 {
        failures += usize::from(ask().await == 503);
    }
    assert_eq!(failures, told);
    let state = proxy.state("/upstreams/app").await;
    let [good, bad] = [0, 1].map(|n| &state["endpoints"][n]);
    assert_eq!(good["availability"], "available");
    assert_eq!(bad["availability"], "ejected");
    assert_eq!(bad["failed"], 3);
    assert_eq!(state["outliers"]["consecutive failures"]["ejected"], 1);
    assert_eq!(state["outliers"]["success rate"]["ejected"], 0);
    assert_eq!(
        bad["ejection"]["because"],
        "3 failures in a row, the last: gateway failure response; for 30s"
    );
}
