//! Several threads: whose connections they serve, and what they have in common.

use tightrope_test::{Client, Origin};
use tokio::net::TcpSocket;

use super::program::{Program, file, soon};

const RUNTIMES: [&str; 2] = ["per-worker", "shared"];

/// So many connections that the system gives some to each of two workers, but once in 2^31.
const CONNECTIONS: usize = 32;

fn text(origins: &[&Origin]) -> String {
    let mut text = String::from(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [timeouts]\nlast_request = \"60s\"
         [admin]\naddress = \"127.0.0.1:0\"
         [[upstream]]\nname = \"app\"\n",
    );
    for origin in origins {
        text += &format!(
            "[[upstream.endpoint]]\naddress = \"{}\"\n",
            origin.address()
        );
    }
    text
}

async fn start(path: &std::path::Path, runtime: &str, workers: &str) -> Program {
    let path = path.to_str().unwrap();
    let arguments = ["--config", path, "--runtime", runtime, "--workers", workers];
    Program::start(arguments, true).await
}

async fn connect(proxy: &Program) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(soon(Client::connect(proxy.proxy())).await.unwrap());
    }
    clients
}

/// Who answers one request of each of `clients`, one after the other.
async fn origins(clients: &mut [Client]) -> Vec<String> {
    let mut origins = Vec::new();
    for client in clients {
        let answer = soon(client.get("/")).await.unwrap();
        origins.push(answer.origin().to_owned());
    }
    origins
}

#[tokio::test]
async fn workers_take_turns_as_one_and_hear_of_a_reload() {
    for runtime in RUNTIMES {
        let (blue, green) = (Origin::start("blue").await, Origin::start("green").await);
        let (_folder, path) = file(&text(&[&blue, &green]));
        let proxy = start(&path, runtime, "2").await;
        let mut clients = connect(&proxy).await;
        for _ in 0..3 {
            let origins = origins(&mut clients).await;
            let turns = ["blue", "green"].into_iter().cycle();
            let turns: Vec<_> = turns.take(CONNECTIONS).collect();
            assert_eq!(origins, turns, "{runtime}");
        }
        std::fs::write(&path, text(&[&green])).unwrap();
        assert_eq!(proxy.order("POST", "/reload", "").await.0, 200);
        assert_eq!(origins(&mut clients).await, ["green"; CONNECTIONS]);
    }
}

#[tokio::test]
async fn a_stop_waits_for_the_requests_of_all_workers() {
    for runtime in RUNTIMES {
        let origin = Origin::start("blue").await;
        let (_folder, path) = file(&text(&[&origin]));
        let mut proxy = start(&path, runtime, "2").await;
        let mut held = Vec::new();
        for mut client in connect(&proxy).await {
            held.push(tokio::spawn(async move { client.get("/gate").await }));
        }
        soon(origin.requests_reach(CONNECTIONS)).await;
        proxy.signal("TERM").await;
        proxy.says("stopping").await;
        while Client::connect(proxy.proxy()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        origin.open_gate();
        for answer in held {
            let answer = soon(answer).await.unwrap().unwrap();
            assert_eq!((answer.status, answer.origin()), (200, "blue"));
            assert_eq!(answer.headers["connection"], "close");
        }
        assert!(proxy.ends().await.success());
    }
}

/// What the system says of the sockets that listen on the port of `proxy`.
#[cfg(target_os = "linux")]
fn listening(proxy: &Program) -> usize {
    const LISTEN: &str = "0A";
    let port = format!(":{:04X}", proxy.proxy().port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let of = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().unwrap_or_default();
        local.ends_with(&port) && words.nth(1) == Some(LISTEN)
    };
    sockets.lines().filter(of).count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn each_worker_has_a_socket_and_connections_to_endpoints_of_its_own() {
    for (runtime, sockets) in [("per-worker", 2), ("shared", 1)] {
        let origin = Origin::start("blue").await;
        let (_folder, path) = file(&text(&[&origin]));
        let proxy = start(&path, runtime, "2").await;
        assert_eq!(listening(&proxy), sockets);
        // One at a time: each finds the connection that the one before left behind, if they share it.
        origins(&mut connect(&proxy).await).await;
        assert_eq!(origin.connections(), sockets, "{runtime}");
    }
}

/// Where the one process had other threads than the other, sockets and workers are not as many.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn every_inherited_socket_is_served_whatever_the_number_of_workers() {
    for (runtime, workers, sockets) in [
        ("per-worker", "2", 3),
        ("per-worker", "4", 1),
        ("shared", "2", 3),
    ] {
        let origin = Origin::start("blue").await;
        let mut address = "127.0.0.1:0".parse().unwrap();
        let mut listening = Vec::new();
        for _ in 0..sockets {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseport(true).unwrap();
            socket.bind(address).unwrap();
            address = socket.local_addr().unwrap();
            let socket = socket.listen(1024).unwrap().into_std().unwrap();
            listening.push(socket.into());
        }
        let (listen, upstream) = (address.to_string(), format!("http://{}", origin.address()));
        let arguments = [
            "--listen",
            &listen,
            "--upstream",
            &upstream,
            "--runtime",
            runtime,
            "--workers",
            workers,
        ];
        // They wait in the queues of all sockets before there is somebody to accept them.
        let mut waiting = Vec::new();
        for _ in 0..CONNECTIONS {
            waiting.push(soon(Client::connect(address)).await.unwrap());
        }
        let proxy = Program::start_with_sockets(arguments, listening).await;
        assert_eq!(proxy.proxy(), address);
        let answers = origins(&mut waiting).await;
        assert_eq!(answers, ["blue"; CONNECTIONS], "{runtime} {workers}");
    }
}
