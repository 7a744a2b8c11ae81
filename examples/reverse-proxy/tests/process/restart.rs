//! SIGUSR2: a new process takes the place of the old one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tightrope_test::{Client, Origin};

use super::program::{Program, file, free_port, get, kill, soon};

struct Load {
    address: std::net::SocketAddr,
    answered: AtomicUsize,
    is_over: AtomicBool,
}

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
        is_over: AtomicBool::new(false),
    });
    let clients: Vec<_> = [true, true, true, false, false]
        .map(|keep| tokio::spawn(Arc::clone(&load).run(keep)))
        .into();

    let mut id = program.id();
    for _ in 0..10 {
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
