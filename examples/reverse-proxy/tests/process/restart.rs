//! SIGUSR2: a new process takes the place of the old one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use tightrope_test::{Client, Origin};
use tokio::net::TcpStream;

use super::{
    http2,
    program::{Program, file, free_port, get, kill, soon},
};

struct Load {
    address: std::net::SocketAddr,
    answered: AtomicUsize,
    /// How many connections of HTTP/2 took no more.
    renewed: AtomicUsize,
    is_over: AtomicBool,
}

const RESTARTS: usize = 10;

/// How many clients speak HTTP/2, and how much each asks at a time.
const HTTP2_CLIENTS: usize = 2;
const AT_A_TIME: usize = 4;

impl Load {
    /// Asks until it is over, on connections that are kept as long as the server wants or not at all.
    async fn run(self: Arc<Self>, keep: bool) {
        let mut client = Client::connect(self.address).await.unwrap();
        while !self.is_over.load(Ordering::Relaxed) {
            let answer = client.get("/").await.unwrap();
            assert_eq!((answer.status, answer.origin()), (200, "blue"));
            self.answered.fetch_add(1, Ordering::Relaxed);
            if !keep || answer.headers.contains_key("connection") {
                client = Client::connect(self.address).await.unwrap();
            }
        }
    }

    /// The same over HTTP/2, some requests at a time, on a connection that is kept until it takes no more.
    async fn run_http2(self: Arc<Self>) {
        loop {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let mut client = http2::speak(stream).await;
            while client.ready().await.is_ok() {
                if self.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let asked = (0..AT_A_TIME).map(|_| client.try_send_request(http2::request("/")));
                for answer in join_all(asked).await {
                    let answer = match answer {
                        Ok(answer) => answer,
                        Err(mut error) => {
                            // GOAWAY was first: nothing of the request was sent, and it is asked again.
                            let unsent = error.take_message();
                            assert!(unsent.is_some(), "{:?}", error.into_error());
                            continue;
                        }
                    };
                    assert_eq!(answer.status(), 200);
                    assert_eq!(http2::text(answer).await, "blue");
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.renewed.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn goes_on(&self) {
        let reached = self.answered.load(Ordering::Relaxed) + 100;
        while self.answered.load(Ordering::Relaxed) < reached {
            tokio::task::yield_now().await;
        }
    }
}

/// The number behind `process=` in a line of the log.
fn process(line: &str) -> u32 {
    line.split("process=")
        .nth(1)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn ten_restarts_under_load_lose_no_request() {
    ten_restarts("per-worker").await;
}

#[tokio::test]
async fn ten_restarts_under_load_lose_no_request_with_a_shared_runtime() {
    ten_restarts("shared").await;
}

async fn ten_restarts(runtime: &str) {
    let origin = Origin::start("blue").await;
    let (port, admin) = (free_port().unwrap(), free_port().unwrap());
    let (_folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:{port}\"\nupstream = \"app\"
         [admin]\naddress = \"127.0.0.1:{admin}\"
         [[upstream]]\nname = \"app\"
         [[upstream.endpoint]]\naddress = \"{}\"\n",
        origin.address()
    ));
    let path = path.to_str().unwrap();
    let arguments = ["--config", path, "--runtime", runtime, "--workers", "3"];
    let mut program = Program::start(arguments, true).await;
    let load = Arc::new(Load {
        address: program.proxy(),
        answered: AtomicUsize::new(0),
        renewed: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let mut clients: Vec<_> = [true, true, true, false, false]
        .map(|keep| tokio::spawn(Arc::clone(&load).run(keep)))
        .into();
    clients.extend((0..HTTP2_CLIENTS).map(|_| tokio::spawn(Arc::clone(&load).run_http2())));

    let mut id = program.id();
    for _ in 0..RESTARTS {
        soon(load.goes_on()).await;
        kill("USR2", id).await;
        let started = process(&program.says("a new process was started").await);
        let told = process(&program.says("the old process was told to stop").await);
        assert_eq!(told, id);
        id = started;
        soon(load.goes_on()).await;
    }
    let state = soon(get(([127, 0, 0, 1], admin).into(), "/state")).await;
    assert_eq!(state.status, 200);
    load.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        soon(client).await.unwrap();
    }
    let renewed = load.renewed.load(Ordering::Relaxed);
    assert!(renewed >= RESTARTS, "{renewed}");
    kill("TERM", id).await;
    // The log is closed when the last of eleven processes has ended.
    program.says_no_more().await;
}

#[tokio::test]
async fn a_new_process_that_fails_to_start_leaves_the_old_one_as_it_was() {
    let origin = Origin::start("blue").await;
    let text = format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [[upstream]]\nname = \"app\"
         [[upstream.endpoint]]\naddress = \"{}\"\n",
        origin.address()
    );
    let (_folder, path) = file(&text);
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let mut program = Program::start(arguments, false).await;
    std::fs::write(&path, "colour = 1").unwrap();
    for _ in 0..2 {
        program.signal("USR2").await;
        program
            .says("the new process ended; this one goes on")
            .await;
        assert_eq!(program.get("/").await.origin(), "blue");
    }
}
