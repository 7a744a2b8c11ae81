//! The site of a team, as `team-site.toml` says it, with other places for what is on a machine.

use std::{fs, path::Path};

use rcgen::CertifiedKey;
use tightrope_test::Origin;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::{
    program::{Program, file, free_port, soon},
    tls::{connect, handshake},
};

const FILE: &str = include_str!("../../team-site.toml");

/// The site, over four endpoints.
struct Site {
    folder: tempfile::TempDir,
    http: u16,
    https: u16,
    shop: Origin,
    wiki: Origin,
    api: [Origin; 2],
    proxy: Program,
    _file: tempfile::TempDir,
}

impl Site {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).display().to_string();
        for name in ["shop", "wiki"] {
            let CertifiedKey { cert, signing_key } =
                rcgen::generate_simple_self_signed([format!("{name}.example.org")]).unwrap();
            fs::write(place(&format!("{name}.pem")), cert.pem()).unwrap();
            fs::write(place(&format!("{name}.der")), cert.der()).unwrap();
            fs::write(place(&format!("{name}.key")), signing_key.serialize_pem()).unwrap();
        }
        fs::create_dir(place("static")).unwrap();
        fs::write(place("static/site.css"), "body { color: green }").unwrap();
        let (http, https) = (free_port().unwrap(), free_port().unwrap());
        let (shop, wiki) = (Origin::start("shop").await, Origin::start("wiki").await);
        let api = [Origin::start("api-1").await, Origin::start("api-2").await];
        let mut text = FILE.to_owned();
        for (there, here) in [
            ("127.0.0.1:80\"", format!("127.0.0.1:{http}\"")),
            ("127.0.0.1:443\"", format!("127.0.0.1:{https}\"")),
            ("/var/log/proxy/", place("")),
            ("/etc/proxy/", place("")),
            ("/srv/shop/static", place("static")),
            ("127.0.0.1:9001", shop.address().to_string()),
            ("127.0.0.1:9002", wiki.address().to_string()),
            ("127.0.0.1:9003", api[0].address().to_string()),
            ("127.0.0.1:9004", api[1].address().to_string()),
        ] {
            assert!(text.contains(there), "{there}");
            text = text.replace(there, &here);
        }
        let (file, path) = file(&text);
        let arguments = ["--config".as_ref(), path.as_os_str()];
        let log = folder.path().join("error.log");
        let proxy = Program::start_with_log(arguments, &log).await;
        Self {
            folder,
            http,
            https,
            shop,
            wiki,
            api,
            proxy,
            _file: file,
        }
    }

    /// The answer to a GET over http.
    async fn plain(&self, host: &str, path: &str) -> String {
        let stream = TcpStream::connect(("127.0.0.1", self.http)).await.unwrap();
        ask(stream, host, path, "").await
    }

    /// The answer to a GET over https, with more header lines, from this address.
    async fn secure(&self, from: &str, host: &str, path: &str, headers: &str) -> String {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let there = format!("127.0.0.1:{}", self.https).parse().unwrap();
        let stream = soon(socket.connect(there)).await.unwrap();
        let name = match host {
            "wiki.example.org" => "wiki",
            _ => "shop",
        };
        let certificate = fs::read(self.folder.path().join(format!("{name}.der"))).unwrap();
        let stream = handshake(
            stream,
            &format!("{name}.example.org"),
            &certificate.into(),
            &[],
        )
        .await;
        ask(stream.unwrap(), host, path, headers).await
    }

    /// The lines of a log, once there are as many.
    async fn log(&self, name: &str, lines: usize) -> Vec<String> {
        let path = self.folder.path().join(name);
        soon(lines_of(&path, lines)).await
    }
}

async fn lines_of(path: &Path, count: usize) -> Vec<String> {
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count {
            return text.lines().map(str::to_owned).collect();
        }
        tokio::task::yield_now().await;
    }
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
    headers: &str,
) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n");
    soon(stream.write_all(head.as_bytes())).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn the_file_that_is_shown_serves_the_site() {
    let site = Site::start().await;
    let (shop, wiki) = ("shop.example.org", "wiki.example.org");

    // http leads to https, with host, path and query.
    let answer = site.plain(shop, "/x?y=z").await;
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    let location = format!("\r\nlocation: https://{shop}/x?y=z\r\n");
    assert!(answer.contains(&location), "{answer}");
    assert_eq!(site.shop.requests(), 0);

    // Two applications by their domains, each with its certificate, which stay on https.
    for (host, name) in [(shop, "shop"), (wiki, "wiki")] {
        let answer = site.secure("127.0.0.1", host, "/", "").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with(name), "{answer}");
        let hsts = "\r\nstrict-transport-security: max-age=31536000\r\n";
        assert!(answer.contains(hsts), "{answer}");
    }

    // Files from disk.
    let answer = site.secure("127.0.0.1", shop, "/static/site.css", "").await;
    assert!(
        answer.contains("\r\ncontent-type: text/css\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("body { color: green }"), "{answer}");

    // 10 MiB, and not a byte more.
    let before = site.shop.requests();
    for (length, status) in [(10 << 20, "HTTP/1.1 100"), ((10 << 20) + 1, "HTTP/1.1 413")] {
        let expects = format!("content-length: {length}\r\nexpect: 100-continue\r\n");
        let certificate = fs::read(site.folder.path().join("shop.der")).unwrap();
        let mut stream = connect(site.https, shop, &certificate.into(), &[])
            .await
            .unwrap();
        let head = format!("POST /echo HTTP/1.1\r\nhost: {shop}\r\n{expects}\r\n");
        soon(stream.write_all(head.as_bytes())).await.unwrap();
        let mut answer = [0; 12];
        soon(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, status.as_bytes());
    }
    site.shop.requests_reach(before + 1).await;

    // A client stays with its server, which hears its real address whatever it claims.
    let mut served = Vec::new();
    for number in 1..=16 {
        let from = format!("127.0.1.{number}");
        let forged = "x-forwarded-for: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\n";
        let mut servers = Vec::new();
        for _ in 0..2 {
            let answer = site.secure(&from, shop, "/api/x", forged).await;
            assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
            let server = answer.split("x-origin: ").nth(1).unwrap();
            servers.push(server.split("\r\n").next().unwrap().to_owned());
        }
        assert_eq!(servers[0], servers[1]);
        served.extend(servers);
    }
    for server in ["api-1", "api-2"] {
        assert!(served.iter().any(|other| other == server), "{served:?}");
    }
    assert_eq!(site.api.iter().map(Origin::requests).sum::<usize>(), 32);
    let answer = site.secure("127.0.1.7", shop, "/echo", "x-forwarded-for: 6.6.6.6\r\n");
    let answer = answer.await;
    assert!(
        answer.contains("\nx-forwarded-for: 127.0.1.7\n"),
        "{answer}"
    );
    assert!(answer.contains("\nx-forwarded-proto: https\n"), "{answer}");
    assert!(!answer.contains("6.6.6.6"), "{answer}");

    // Everything else.
    for host in ["other.example.org", "127.0.0.1", "example.org"] {
        let answer = site.plain(host, "/").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        let answer = site.secure("127.0.0.1", host, "/", "").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    assert_eq!(site.wiki.requests(), 1);
}

#[tokio::test]
async fn what_happened_and_what_went_wrong_is_written_and_logs_can_be_moved() {
    let mut site = Site::start().await;
    let (shop, wiki) = ("shop.example.org", "wiki.example.org");
    let browser = "referer: https://a.test/\"\r\nuser-agent: Mozilla/5.0 \u{e9}\r\n";
    site.secure("127.0.1.7", shop, "/a?b", browser).await;
    let lines = site.log("access.log", 1).await;
    let parts: Vec<_> = lines[0].split(['[', ']']).collect();
    assert_eq!(parts[0], "127.0.1.7 - - ");
    // As in 22/Nov/2026:08:15:00 +0000.
    let time: String = parts[1]
        .chars()
        .map(|c| match c {
            '0'..='9' => '0',
            'a'..='z' | 'A'..='Z' => 'a',
            other => other,
        })
        .collect();
    assert_eq!(time, "00/aaa/0000:00:00:00 +0000");
    let begin = r#" "GET /a?b HTTP/1.1" 404 4 "https://a.test/\x22" "Mozilla/5.0 \xC3\xA9" 0."#;
    assert!(parts[2].starts_with(begin), "{}", parts[2]);
    let end = format!(" {shop} {}", site.shop.address());
    assert!(parts[2].ends_with(&end), "{}", parts[2]);

    // An endpoint that is gone.
    site.wiki.stop().await;
    let answer = site.secure("127.0.0.1", wiki, "/", "").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    let errors = soon(async {
        loop {
            let errors = site.log("error.log", 1).await;
            if errors.iter().any(|line| line.contains("wiki")) {
                return errors;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let line = errors.iter().find(|line| line.contains("wiki")).unwrap();
    for part in ["WARN", "upstream=wiki", "Connection refused"] {
        assert!(line.contains(part), "{part} in {line}");
    }

    // Moved away, and opened anew on SIGHUP.
    let (access, error) = (site.log("access.log", 2).await.len(), errors.len());
    for name in ["access.log", "error.log"] {
        let log = site.folder.path().join(name);
        fs::rename(&log, log.with_extension("old")).unwrap();
    }
    site.proxy.signal("HUP").await;
    let errors = site.log("error.log", 1).await;
    assert!(errors[0].contains("read again"), "{errors:?}");
    site.secure("127.0.0.1", shop, "/", "").await;
    assert!(site.log("access.log", 1).await[0].contains("\"GET / HTTP/1.1\" 200 4"));
    assert_eq!(site.log("access.old", 0).await.len(), access);
    assert_eq!(site.log("error.old", 0).await.len(), error);
}
