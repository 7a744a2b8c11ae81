//! Who sent a request, and who passed it on.

use bytes::Bytes;
use http::Request;
use tightrope_test::{Answer, Client, Origin};

use super::program::{Program, file, free_port, soon};

#[tokio::test]
async fn a_request_that_comes_around_again_is_answered_with_508() {
    let port = free_port().unwrap();
    let (_folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:{port}\"\nupstream = \"itself\"
         [admin]\naddress = \"127.0.0.1:0\"
         [forwarded]\nvia = \"edge1\"
         [[upstream]]\nname = \"itself\"
         [[upstream.endpoint]]\naddress = \"127.0.0.1:{port}\"\n",
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let proxy = Program::start(arguments, true).await;
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, &*answer.body), (508, "Loop Detected\n"));
}

#[tokio::test]
async fn names_with_underscores_are_dropped_refused_or_passed_on() {
    let origin = Origin::start("app").await;
    for (underscores, status, user) in [("drop", 200, 0), ("refuse", 400, 0), ("pass", 200, 1)] {
        let (_folder, path) = file(&format!(
            "access_log = \"off\"
             [limits]\nunderscores = \"{underscores}\"
             [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
             [[upstream]]\nname = \"app\"
             [[upstream.endpoint]]\naddress = \"{}\"\n",
            origin.address(),
        ));
        let arguments = ["--config".as_ref(), path.as_os_str()];
        let proxy = Program::start(arguments, false).await;
        let mut client = Client::connect(proxy.proxy()).await.unwrap();
        let request = Request::get("/echo")
            .header("host", "a.test")
            .header("x_user", "eve")
            .header("x_forwarded_for", "127.0.0.1")
            .header("cf_connecting_ip", "127.0.0.1")
            .body(Bytes::new().into());
        let response = soon(client.send(request.unwrap())).await.unwrap();
        let answer = soon(Answer::read(response)).await.unwrap();
        assert_eq!(answer.status, status, "{underscores}");
        assert_eq!(answer.body.matches("x_user: eve").count(), user);
        // Those that pretend to be a proxy's pass under no setting.
        assert_eq!(answer.body.matches('_').count(), user, "{}", answer.body);
    }
    assert_eq!(origin.requests(), 2);
}
