//! Orders.

use tightrope_test::Origin;

use super::program::{Program, file};

#[tokio::test]
async fn the_administration_changes_the_upstream_and_refuses_what_is_wrong() {
    let (blue, green) = (Origin::start("blue").await, Origin::start("green").await);
    let (_folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"
         [admin]\naddress = \"127.0.0.1:0\"
         [[route]]\nhost = \"app.test\"\nupstream = \"app\"
         [[route]]\npath = \"/echo\"\nupstream = \"app\"
         [[upstream]]\nname = \"app\"\nactive_group = \"blue\"
         [upstream.health]\npath = \"/infra/health\"\nbody = \"UP\"\ninterval = \"10s\"
         [upstream.rollout]\ntries = 1\ninterval = \"5s\"
         [[upstream.endpoint]]\naddress = \"{}\"\nid = \"b\"\ngroup = \"blue\"
         [[upstream.endpoint]]\naddress = \"{}\"\nid = \"g\"\ngroup = \"green\"\n",
        blue.address(),
        green.address()
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let proxy = Program::start(arguments, true).await;
    let who = async || proxy.get("/echo").await.origin().to_owned();
    assert_eq!(who().await, "blue");
    assert_eq!(proxy.get("/elsewhere").await.status, 404);

    // A sick group gets no traffic, and the reason is told.
    green.mark_down();
    let order = async |method: &str, path: &str| proxy.order(method, path, "").await;
    let (status, answer) = order("POST", "/upstreams/app/switch?group=green").await;
    let error = answer["error"].as_str().unwrap();
    assert_eq!(status, 409);
    assert!(error.contains("green") && error.contains("503"), "{error}");
    assert_eq!(who().await, "blue");
    green.mark_up();
    let path = "/upstreams/app/switch?group=green&wait=drained";
    assert_eq!(order("POST", path).await.0, 200);
    assert_eq!(who().await, "green");
    assert_eq!(order("POST", "/upstreams/app/rollback").await.0, 200);
    assert_eq!(who().await, "blue");

    // Everybody, then by weight, then by drain.
    assert_eq!(order("POST", "/upstreams/app/activate_all").await.0, 200);
    let weigh = "/upstreams/app/endpoints/b/weight?to=0";
    assert_eq!(order("POST", weigh).await.0, 200);
    assert_eq!([who().await, who().await], ["green", "green"]);
    let weigh = "/upstreams/app/endpoints/b/weight?to=1";
    assert_eq!(order("POST", weigh).await.0, 200);
    let drain = "/upstreams/app/endpoints/g/drain?wait=10";
    let (status, drained) = order("POST", drain).await;
    assert_eq!((status, &drained["drained"]), (200, &true.into()));
    assert_eq!([who().await, who().await], ["blue", "blue"]);
    let undrain = "/upstreams/app/endpoints/g/undrain";
    assert_eq!(order("POST", undrain).await.0, 200);
    assert_ne!(who().await, who().await);

    let list = format!("[{{\"address\":\"{}\",\"id\":\"g\"}}]", green.address());
    let (status, _) = proxy.order("PUT", "/upstreams/app/endpoints", &list).await;
    assert_eq!(status, 200);
    assert_eq!([who().await, who().await], ["green", "green"]);

    for (method, path, body, wanted) in [
        ("GET", "/upstreams/other", "", 404),
        ("POST", "/upstreams/app/switch?group=red", "", 409),
        ("POST", "/upstreams/app/switch", "", 400),
        ("POST", "/upstreams/app/endpoints/x/drain", "", 409),
        (
            "POST",
            "/upstreams/app/endpoints/g/weight?to=65536",
            "",
            400,
        ),
        (
            "PUT",
            "/upstreams/app/endpoints",
            "[{\"address\":\"nowhere\"}]",
            400,
        ),
        (
            "PUT",
            "/upstreams/app/endpoints",
            "[{\"address\":\"127.0.0.1:1\"},{\"address\":\"127.0.0.1:1\"}]",
            409,
        ),
        ("GET", "/nothing", "", 404),
    ] {
        let (status, answer) = proxy.order(method, path, body).await;
        assert_eq!(status, wanted, "{method} {path}: {answer}");
    }
    assert_eq!(who().await, "green");
}
