//! Endpoints whose health somebody else knows.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tightrope_test::Origin;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto},
};

use super::program::{Program, file, soon};

/// An agent beside an endpoint, which answers `state` with `up` or `down`.
async fn agent(is_up: Arc<AtomicBool>) -> (JoinSet<()>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
            let mut question = [0; 6];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(&question, b"state\n");
            let words = ["down\n", "up\n"];
            let answer = words[usize::from(is_up.load(Ordering::SeqCst))];
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (task, port)
}

#[tokio::test]
async fn an_agent_on_another_port_is_asked_in_its_own_words() {
    let origin = Origin::start("one").await;
    let is_up = Arc::new(AtomicBool::new(true));
    let (_agent, port) = agent(Arc::clone(&is_up)).await;
    let (_folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [admin]\naddress = \"127.0.0.1:0\"
         [[upstream]]\nname = \"app\"
         [upstream.health]\nport = {port}\nsend = \"state\\n\"\nexpect = \"up\"
         timeout = \"60s\"\ninterval = \"100ms\"\nchanging_interval = \"10ms\"
         [[upstream.endpoint]]\naddress = \"{}\"\n",
        origin.address()
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let proxy = Program::start(arguments, true).await;
    let endpoint = async || proxy.state("/upstreams/app").await["endpoints"][0].clone();
    let until = async |availability: &str| {
        soon(async {
            while endpoint().await["availability"] != availability {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    assert_eq!(proxy.get("/echo").await.origin(), "one");
    is_up.store(false, Ordering::SeqCst);
    until("unhealthy").await;
    assert_eq!(
        endpoint().await["health"]["because"],
        r"probe: answer `down\n` does not start with `up`"
    );
    is_up.store(true, Ordering::SeqCst);
    until("available").await;
    assert_eq!(proxy.get("/echo").await.origin(), "one");
}

/// Speaks HTTPS as `shop.example`, whose certificate it gives, and says `UP` to everything.
async fn https() -> (JoinSet<()>, u16, String) {
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut question = Vec::new();
            while !question.ends_with(b"\r\n\r\n") {
                question.push(stream.read_u8().await.unwrap());
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nUP";
            stream.write_all(answer).await.unwrap();
            stream.flush().await.unwrap();
        }
    });
    (task, port, made.cert.pem())
}

#[tokio::test]
async fn who_speaks_https_is_asked_by_its_name() {
    let origin = Origin::start("one").await;
    let (_https, port, pem) = https().await;
    let (folder, path) = file("");
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, pem).unwrap();
    let text = format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [admin]\naddress = \"127.0.0.1:0\"
         [[upstream]]\nname = \"app\"
         [upstream.health]\npath = \"/health\"\nbody_matches = \"^U[Pp]$\"\nport = {port}
         tls = true\nserver_name = \"shop.example\"\ntls_roots = \"{}\"
         start = \"unhealthy\"\ntimeout = \"60s\"
         [[upstream.endpoint]]\naddress = \"{}\"\n",
        roots.display(),
        origin.address()
    );
    std::fs::write(&path, text).unwrap();
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let proxy = Program::start(arguments, true).await;
    soon(async { while proxy.get("/echo").await.status != 200 {} }).await;
}
