//! TLS with endpoints.

use std::{fs, path::Path, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

use super::{
    program::{Program, file, refused, soon},
    tls::certificate,
};

/// An endpoint that speaks HTTPS and answers with what it was called, by SNI and by `Host`, and on which connection. It
/// has the certificate `stem.pem` of `folder`, and wants to see `client`.
async fn endpoint(
    folder: &Path,
    stem: &str,
    client: Option<CertificateDer<'static>>,
) -> (JoinSet<()>, u16) {
    let of = |ending: &str| folder.join(format!("{stem}.{ending}"));
    let chain = vec![CertificateDer::from_pem_file(of("pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(of("key")).unwrap();
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client {
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        for number in 1.. {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                // Who refuses us goes away.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut question = String::new();
                while let Ok(byte) = stream.read_u8().await {
                    question.push(byte.into());
                    if !question.ends_with("\r\n\r\n") {
                        continue;
                    }
                    let mut lines = question.lines();
                    let host = lines.find_map(|line| line.strip_prefix("host: "));
                    let sni = stream.get_ref().1.server_name();
                    let body = format!("{} {} {number}", sni.unwrap_or("-"), host.unwrap());
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    question.clear();
                }
            });
        }
    });
    (task, port)
}

/// A configuration with these settings of an upstream, and an endpoint at `address`.
fn text(settings: &str, address: &str) -> String {
    format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
         [admin]\naddress = \"127.0.0.1:0\"
         [[upstream]]\nname = \"app\"\n{settings}
         [[upstream.endpoint]]\naddress = \"{address}\"\n"
    )
}

#[tokio::test]
async fn endpoints_are_verified_by_files_that_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| folder.path().join(name);
    certificate(folder.path(), "app.test", "app");
    certificate(folder.path(), "app.test", "other");
    let client = certificate(folder.path(), "proxy.test", "proxy");
    let (_endpoint, port) = endpoint(folder.path(), "app", Some(client)).await;
    // Another than the endpoint has.
    fs::copy(of("other.pem"), of("roots.pem")).unwrap();
    let settings = format!(
        "host_header = {{ fixed = \"inside.test\" }}
         [upstream.tls]\nserver_name = \"app.test\"\nroots = \"{}\"\ncertificate = \"{}\"\nkey = \"{}\"",
        of("roots.pem").display(),
        of("proxy.pem").display(),
        of("proxy.key").display()
    );
    let text = text(&settings, &format!("127.0.0.1:{port}"));
    let (_folder, path) = file(&text);
    // The connections to endpoints of one worker are not those of another.
    let arguments = ["--config", path.to_str().unwrap(), "--workers", "1"];
    let mut proxy = Program::start(arguments, true).await;
    assert_eq!(proxy.get("/").await.status, 502);
    let line = proxy.says("no answer for a request").await;
    for part in ["upstream=app", "`app.test`", "invalid peer certificate"] {
        assert!(line.contains(part), "{line}");
    }

    // The same configuration, of other files: connections are new, and stay where nothing has changed.
    let other = fs::read_to_string(of("other.pem")).unwrap();
    let right = fs::read_to_string(of("app.pem")).unwrap();
    let mut last = String::new();
    for (roots, is_new) in [
        (right.clone(), true),
        (right.clone(), false),
        (format!("{other}{right}"), true),
    ] {
        fs::write(of("roots.pem"), roots).unwrap();
        assert_eq!(proxy.order("POST", "/reload", "").await.0, 200);
        let answer = proxy.get("/").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let called = "app.test inside.test ";
        assert!(answer.body.starts_with(called), "{}", answer.body);
        assert_eq!(answer.body != last, is_new, "{last} {}", answer.body);
        last = answer.body;
    }

    // What is wrong changes nothing.
    for (name, pem, parts) in [
        ("roots.pem", "", ["tls.roots", "no certificate"]),
        ("proxy.pem", "", ["tls.certificate", "no certificate"]),
        ("proxy.key", "", ["tls.key", "cannot be used"]),
    ] {
        let before = fs::read(of(name)).unwrap();
        fs::write(of(name), pem).unwrap();
        let (status, answer) = proxy.order("POST", "/reload", "").await;
        let error = answer["error"].as_str().unwrap();
        assert_eq!(status, 400, "{error}");
        for part in ["upstream `app`", name].iter().chain(&parts) {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(proxy.get("/").await.status, 200);
        fs::write(of(name), before).unwrap();
    }
}

#[tokio::test]
async fn a_flag_reaches_endpoints_by_https() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "localhost", "app");
    let (_endpoint, port) = endpoint(folder.path(), "app", None).await;
    let url = format!("https://localhost:{port}/");
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", &url];
    let roots = folder.path().join("app.pem");
    let proxy = Program::start_trusting(arguments, &roots).await;
    let answer = proxy.get("/").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.starts_with("localhost "), "{}", answer.body);

    // Whom the system does not trust is not sent anything.
    certificate(folder.path(), "localhost", "other");
    let roots = folder.path().join("other.pem");
    let proxy = Program::start_trusting(arguments, &roots).await;
    assert_eq!(proxy.get("/").await.status, 502);
}

#[tokio::test]
async fn who_verifies_nothing_is_warned() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "app.test", "app");
    let (_endpoint, port) = endpoint(folder.path(), "app", None).await;
    let settings = "[upstream.tls]\nverify = \"none_for_tests_only\"";
    let text = text(settings, &format!("127.0.0.1:{port}"));
    let (_folder, path) = file(&text);
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let proxy = Program::start(arguments, false).await;
    assert_eq!(proxy.get("/").await.status, 200);
    drop(proxy);

    // It is said before the log begins that the file names.
    let error_log = folder.path().join("error.log");
    let text = format!("error_log = \"{}\"\n{text}", error_log.display());
    fs::write(&path, text).unwrap();
    let mut proxy = Program::start_with_log(arguments, &error_log).await;
    proxy.says("TLS to endpoints without verification").await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_in_one_line() {
    for (settings, parts) in [
        (
            "roots = \"/nowhere/ca.pem\"",
            ["tls.roots: /nowhere/ca.pem", "No such file"],
        ),
        (
            "certificate = \"/nowhere/a.pem\"\nkey = \"/nowhere/a.key\"",
            ["tls.certificate: /nowhere/a.pem", "No such file"],
        ),
        (
            "verify = \"none_for_tests_only\"\nserver_name = \"a b\"",
            ["tls.server_name", "`a b` is neither"],
        ),
    ] {
        let settings = format!("[upstream.tls]\n{settings}");
        let (_folder, path) = file(&text(&settings, "127.0.0.1:1"));
        let (code, said) = soon(refused(["--config".as_ref(), path.as_os_str()])).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("upstream `app`: "), "{said}");
        for part in parts {
            assert!(said.contains(part), "{said}");
        }
    }
}
