//! What is changed on the way, as clients and endpoints see it.

use tightrope_test::Origin;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::program::{Program, file, soon};

/// A proxy in front of `endpoint` with these routes, which trusts loopback.
async fn proxy(endpoint: impl std::fmt::Display, routes: &str) -> (tempfile::TempDir, Program) {
    let (folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"
         [forwarded]\ntrusted = [\"127.0.0.0/8\"]
         [[upstream]]\nname = \"app\"
         [[upstream.endpoint]]\naddress = \"{endpoint}\"
         {routes}"
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let program = Program::start(arguments, false).await;
    (folder, program)
}

/// What is answered to these bytes, until the connection ends.
async fn exchange(proxy: &Program, request: &str) -> String {
    let mut connection = TcpStream::connect(proxy.proxy()).await.unwrap();
    soon(connection.write_all(request.as_bytes()))
        .await
        .unwrap();
    let mut answer = Vec::new();
    soon(connection.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// The same for a GET of `path` with more header lines.
async fn get(proxy: &Program, path: &str, headers: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: shop.test\r\nconnection: close\r\n{headers}");
    exchange(proxy, &format!("{head}\r\n")).await
}

#[tokio::test]
async fn headers_are_changed_on_both_ways() {
    let origin = Origin::start("blue").await;
    let endpoint = origin.address();
    let (_folder, proxy) = proxy(
        endpoint,
        "[[route]]\nupstream = \"app\"
         [route.request_headers]
         remove = [\"x-debug\"]\nrename = { x-user = \"x-client-user\" }
         set = { x-user = \"edge\", x-facts = \"{client_ip} {scheme} {host} {path} {header:x-user}\", x-id = \"{request_id}\", x-none = \"{header:none}\" }
         append = { x-list = \"last\" }
         [route.response_headers]
         remove = [\"x-origin\"]\nset = { x-served-by = \"{endpoint}\", x-braces = \"{{}}\" }\n",
    )
    .await;
    let answer = get(
        &proxy,
        "/echo?q",
        "x-debug: 1\r\nx-user: eve\r\nx-list: first\r\nx-none: forged\r\nx-forwarded-for: 203.0.113.7\r\n\
         connection: x-id, x-facts, x-real-ip\r\n",
    )
    .await
    .to_ascii_lowercase();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("x-served-by: {endpoint}")), "{head}");
    assert!(head.contains("x-braces: {}"), "{head}");
    assert!(!head.contains("x-origin"), "{head}");
    for line in [
        "x-client-user: eve",
        "x-user: edge",
        "x-list: first",
        "x-list: last",
        "x-facts: 203.0.113.7 http shop.test /echo eve",
        "x-id: ",
    ] {
        assert!(body.contains(line), "{line} in {body}");
    }
    for line in ["x-debug", "x-none", "\nx-user: eve"] {
        assert!(!body.contains(line), "{line} in {body}");
    }
}

#[tokio::test]
async fn prefixes_are_exchanged_and_responses_are_mapped_back() {
    // An endpoint that says where it is and what it was asked.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(connection.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.split(' ').nth(1).unwrap();
            let answer = format!(
                "HTTP/1.1 302 Found\r\nlocation: http://{endpoint}/v2/login\r\ncontent-location: /v2/x\r\n\
                 refresh: 1; url=/v2\r\nset-cookie: a=1; Path=/v2; Domain=127.0.0.1\r\nset-cookie: b=2; Path=/v2/x\r\n\
                 x-target: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let (_folder, proxy) = proxy(
        endpoint,
        "[[route]]\npath = \"/api\"\nupstream = \"app\"\nstrip_prefix = \"/api\"\nadd_prefix = \"/v2\"\n",
    )
    .await;
    let answer = get(&proxy, "/api/a%2Fb?c=/api", "x-forwarded-proto: https\r\n").await;
    for line in [
        "x-target: /v2/a%2Fb?c=/api",
        "location: https://shop.test/api/login",
        "content-location: /api/x",
        "refresh: 1; url=/api",
        "set-cookie: a=1; Path=/api; Domain=shop.test",
        "set-cookie: b=2; Path=/api/x",
    ] {
        assert!(
            answer.contains(&format!("\r\n{line}\r\n")),
            "{line} in {answer}"
        );
    }
    let answer = get(&proxy, "/api", "").await;
    assert!(answer.contains("\r\nx-target: /v2\r\n"), "{answer}");
    assert!(get(&proxy, "/apix", "").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn http_is_sent_to_https_which_is_told_to_stay() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(
        origin.address(),
        "[[route]]\nupstream = \"app\"\nredirect_to_https = 308\nhsts = \"1h\"\n",
    )
    .await;
    let answer = get(&proxy, "/x?y=z", "").await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(
        answer.contains("\r\nlocation: https://shop.test/x?y=z\r\n"),
        "{answer}"
    );
    assert!(!answer.contains("strict-transport-security"), "{answer}");
    assert_eq!(origin.requests(), 0);
    let ipv6 = "GET / HTTP/1.1\r\nhost: [::1]:80\r\nconnection: close\r\n\r\n";
    let answer = exchange(&proxy, ipv6).await;
    assert!(
        answer.contains("\r\nlocation: https://[::1]/\r\n"),
        "{answer}"
    );
    let evil = "GET / HTTP/1.1\r\nhost: a.test/x\r\nconnection: close\r\n\r\n";
    let answer = exchange(&proxy, evil).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    let answer = get(&proxy, "/", "x-forwarded-proto: https\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("\r\nstrict-transport-security: max-age=3600\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_location_may_have_a_fixed_answer_and_an_exact_path_goes_first() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(
        origin.address(),
        "[[route]]\nupstream = \"app\"
         [[route]]\npath = \"/status\"\nanswer = 403
         [[route]]\npath = \"/status/201\"\nexact = true\nupstream = \"app\"\n",
    )
    .await;
    let answer = proxy.get("/status/204").await;
    assert_eq!((answer.status, answer.body.as_str()), (403, "Forbidden\n"));
    assert_eq!(proxy.get("/status").await.status, 403);
    assert_eq!(proxy.get("/status/201").await.status, 201);
    assert_eq!(proxy.get("/status/201/").await.status, 403);
    assert_eq!(proxy.get("/").await.status, 200);
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(
        origin.address(),
        "[[route]]\nupstream = \"app\"\nmax_body = \"10MiB\"\n",
    )
    .await;
    // Refused before it is sent, and before an endpoint hears of it.
    let large = format!(
        "POST /echo HTTP/1.1\r\nhost: a.test\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        (10 << 20) + 1
    );
    let answer = exchange(&proxy, &large).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(origin.requests(), 0);

    // Of unknown length: it is cut off where it becomes too large.
    for (pieces, status) in [(10, "HTTP/1.1 200"), (11, "HTTP/1.1 413")] {
        let mut connection = TcpStream::connect(proxy.proxy()).await.unwrap();
        let (mut read, mut write) = connection.split();
        let send = async {
            let head = "POST /echo HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
            write.write_all(head.as_bytes()).await?;
            let piece = [b"100000\r\n".as_slice(), &[b'a'; 1 << 20], b"\r\n"].concat();
            for _ in 0..pieces {
                write.write_all(&piece).await?;
            }
            write.write_all(b"0\r\n\r\n").await
        };
        let receive = async {
            let mut answer = [0; 12];
            read.read_exact(&mut answer).await.unwrap();
            String::from_utf8(answer.to_vec()).unwrap()
        };
        // The proxy need not read what it has refused.
        let (_sent, answer) = soon(async { tokio::join!(send, receive) }).await;
        assert_eq!(answer, status);
    }
}

#[tokio::test]
async fn files_are_served_and_nothing_outside_of_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("static");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(root.join("a b.txt"), "public").unwrap();
    std::fs::write(root.join("sub/index.html"), "index").unwrap();
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    let (_folder, proxy) = proxy(
        "127.0.0.1:1",
        &format!("[[route]]\npath = \"/static\"\nroot = {root:?}\nstrip_prefix = \"/static\"\n"),
    )
    .await;
    let answer = get(&proxy, "/static/a%20b.txt", "range: bytes=0-2\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 206"), "{answer}");
    assert!(
        answer.contains("\r\ncontent-type: text/plain\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\npub"), "{answer}");
    assert!(get(&proxy, "/static/sub/", "").await.ends_with("index"));
    let answer = get(&proxy, "/static/sub", "").await;
    assert!(
        answer.contains("\r\nlocation: /static/sub/\r\n"),
        "{answer}"
    );
    let secret = folder.path().join("secret.txt");
    let secret = secret.to_str().unwrap();
    for path in [
        "/static/../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/..%2fsecret.txt",
        "/static/%2e%2e%2fsecret.txt",
        "/static/sub/../../secret.txt",
        "/static/sub/..%2f..%2fsecret.txt",
        "/static/..%5csecret.txt",
        "/static/%00",
        "/static//../secret.txt",
        &format!("/static/{secret}"),
        &format!("/static{}", secret.replace('/', "%2f")),
    ] {
        let answer = get(&proxy, path, "").await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        assert!(!answer.contains("secret"), "{path}: {answer}");
    }
    let post =
        "POST /static/sub/ HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let answer = exchange(&proxy, post).await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn endpoints_see_the_host_that_is_configured() {
    let origin = Origin::start("blue").await;
    let endpoint = origin.address();
    for (setting, host) in [
        ("host_header = \"client\"", "shop.test".to_owned()),
        ("host_header = \"endpoint\"", endpoint.to_string()),
        (
            "host_header = { fixed = \"app.internal:81\" }",
            "app.internal:81".to_owned(),
        ),
    ] {
        let (_folder, path) = file(&format!(
            "access_log = \"off\"
             [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
             [[upstream]]\nname = \"app\"\n{setting}
             [[upstream.endpoint]]\naddress = \"{endpoint}\"\n"
        ));
        let arguments = ["--config".as_ref(), path.as_os_str()];
        let proxy = Program::start(arguments, false).await;
        let answer = get(&proxy, "/echo", "").await;
        let line = format!("\nhost: {host}");
        assert!(answer.contains(&line), "{line} in {answer}");
    }
}
