//! Who sent a request, and who passed it on.

use super::program::{Program, file, free_port};

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
