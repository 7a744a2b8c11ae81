//! The README's first command.

use super::program::Program;

#[tokio::test]
async fn the_demo_alternates_switches_and_rolls_back() {
    let arguments = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let demo = Program::start(arguments, true).await;
    let color = async || demo.get("/").await.body.trim().to_owned();

    let (first, second) = (color().await, color().await);
    let mut both = [first.as_str(), second.as_str()];
    both.sort_unstable();
    assert_eq!(both, ["blue", "green"]);
    assert_eq!(color().await, first);
    assert_eq!(demo.get("/infra/health").await.body, "UP\n");
    let port = demo.get("/infra/port").await.body;
    assert_ne!(demo.get("/infra/port").await.body, port);

    let (status, switched) = demo
        .order("POST", "/upstreams/demo/switch?group=green", "")
        .await;
    assert_eq!((status, &switched["active_group"]), (200, &"green".into()));
    for _ in 0..6 {
        assert_eq!(color().await, "green");
    }
    let (status, _) = demo.order("POST", "/upstreams/demo/rollback", "").await;
    assert_eq!(status, 200);
    let after = [color().await, color().await];
    assert!(after.contains(&"blue".to_owned()), "{after:?}");

    let state = demo.state("/state").await;
    // What listens, at least.
    assert!(state["tasks"].as_u64().unwrap() > 0);
    let endpoints = state["upstreams"][0]["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 2);
    assert!(endpoints.iter().all(|e| e["in_flight"] == 0));
}
