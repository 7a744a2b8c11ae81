//! Two servers in another language, as processes of their own.

use std::{env, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::program::{Program, file, soon};

/// Answers with its port, and `UP` on /infra/health.
const SERVER: &str = r#"
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        up = self.path == "/infra/health"
        body = b"UP" if up else str(self.server.server_port).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts one on `port`, or any for 0; `None` where there is no Python.
    async fn start(port: u16) -> Option<Self> {
        let mut process = Command::new("python3")
            .args(["-c", SERVER, &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .ok()?;
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        soon(stdout.read_line(&mut line)).await.unwrap();
        let port = line.trim().parse().unwrap();
        Some(Self { process, port })
    }

    async fn kill(&mut self) {
        soon(self.process.kill()).await.unwrap();
    }
}

#[tokio::test]
async fn of_two_servers_one_may_be_killed_and_come_back() {
    let (Some(mut one), Some(two)) = (Server::start(0).await, Server::start(0).await) else {
        eprintln!("SKIPPED: there is no python3");
        let required = env::var_os("TIGHTROPE_REQUIRE_ALL").is_some();
        assert!(!required, "python3 is required here");
        return;
    };
    let (_folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [admin]\naddress = \"127.0.0.1:0\"
         [[upstream]]\nname = \"app\"
         [upstream.health]\npath = \"/infra/health\"\nbody = \"UP\"\ninterval = \"200ms\"\ntimeout = \"60s\"\nrise = 1\nfall = 1
         [[upstream.endpoint]]\naddress = \"127.0.0.1:{}\"
         [[upstream.endpoint]]\naddress = \"127.0.0.1:{}\"\n",
        one.port, two.port
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let proxy = Program::start(arguments, true).await;
    let port = async || {
        let answer = proxy.get("/").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body.parse::<u16>().unwrap()
    };
    let first = port().await;
    for number in 1..10 {
        assert_eq!(port().await == first, number % 2 == 0);
    }

    one.kill().await;
    for _ in 0..10 {
        assert_eq!(port().await, two.port);
    }
    let is = async |availability: &str| {
        let state = proxy.state("/upstreams/app").await;
        state["endpoints"][0]["availability"] == availability
    };
    soon(async { while !is("unhealthy").await {} }).await;
    let one = Server::start(one.port).await.unwrap();
    soon(async { while !is("available").await {} }).await;
    assert!([port().await, port().await].contains(&one.port));
}
