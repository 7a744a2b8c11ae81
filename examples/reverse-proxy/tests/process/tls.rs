//! TLS with clients.

use std::{fs, path::Path, sync::Arc};

use rcgen::CertifiedKey;
use tightrope_test::Origin;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
    },
};

use super::program::{Program, file, free_port, soon};

/// A certificate for `name`, written into `folder`.
pub(super) fn certificate(folder: &Path, name: &str, stem: &str) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    fs::write(folder.join(format!("{stem}.pem")), cert.pem()).unwrap();
    fs::write(
        folder.join(format!("{stem}.key")),
        signing_key.serialize_pem(),
    )
    .unwrap();
    cert.der().clone()
}

/// A connection of a client that trusts `trusted`, asks for `name` and offers `protocols`.
pub(super) async fn connect(
    port: u16,
    name: &str,
    trusted: &CertificateDer<'static>,
    protocols: &[&str],
) -> Result<TlsStream<TcpStream>, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    handshake(stream, name, trusted, protocols).await
}

/// The same over a connection that is there.
pub(super) async fn handshake(
    stream: TcpStream,
    name: &str,
    trusted: &CertificateDer<'static>,
    protocols: &[&str],
) -> Result<TlsStream<TcpStream>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = soon(connector.connect(server, stream)).await;
    stream.map_err(|error| error.to_string())
}

/// What a client that trusts `trusted` is answered when it asks for `name`.
async fn ask(port: u16, name: &str, trusted: &CertificateDer<'static>) -> Result<String, String> {
    let mut stream = connect(port, name, trusted, &[]).await?;
    let head = format!("GET /echo HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    Ok(answer)
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_read_again_and_endpoints_hear_of_https() {
    let origin = Origin::start("shop").await;
    let folder = tempfile::tempdir().unwrap();
    let shop = certificate(folder.path(), "shop.test", "shop");
    let apps = certificate(folder.path(), "*.apps.test", "apps");
    let port = free_port().unwrap();
    let text = |key: &str| {
        let of = |stem: &str| folder.path().join(stem).display().to_string();
        format!(
            "access_log = \"off\"
             [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
             [[listener]]\naddress = \"127.0.0.1:{port}\"\nupstream = \"app\"
             [[listener.tls]]\ncertificate = \"{}\"\nkey = \"{}\"
             [[listener.tls]]\ncertificate = \"{}\"\nkey = \"{}\"\nnames = [\"*.apps.test\"]
             [admin]\naddress = \"127.0.0.1:0\"
             [[upstream]]\nname = \"app\"
             [[upstream.endpoint]]\naddress = \"{}\"\n",
            of("shop.pem"),
            of(key),
            of("apps.pem"),
            of("apps.key"),
            origin.address(),
        )
    };
    let (_folder, path) = file(&text("shop.key"));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    let proxy = Program::start(arguments, true).await;

    let answer = ask(port, "shop.test", &shop).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("x-forwarded-proto: https"), "{answer}");
    let port_line = format!("x-forwarded-port: {port}");
    assert!(answer.contains(&port_line), "{answer}");
    assert!(ask(port, "one.apps.test", &apps).await.is_ok());
    assert!(ask(port, "one.apps.test", &shop).await.is_err());
    // A wildcard is for one label; whoever has no certificate gets the first.
    assert!(ask(port, "a.b.apps.test", &apps).await.is_err());
    assert_eq!(proxy.get("/echo").await.status, 200);

    // Who speaks no TLS is not answered over HTTP.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut said = Vec::new();
    // An error is an end as well.
    let _end = soon(plain.read_to_end(&mut said)).await;
    assert!(!said.starts_with(b"HTTP"), "{said:?}");

    // Another key than that of the certificate, and none at all, change nothing.
    for (key, part) in [("apps.key", "tls.key"), ("none.key", "none.key")] {
        fs::write(&path, text(key)).unwrap();
        let (status, answer) = proxy.order("POST", "/reload", "").await;
        let error = answer["error"].as_str().unwrap();
        assert_eq!(status, 400, "{error}");
        let listener = format!("listener `127.0.0.1:{port}`");
        assert!(error.contains(&listener) && error.contains(part), "{error}");
        assert!(ask(port, "shop.test", &shop).await.is_ok());
    }

    let renewed = certificate(folder.path(), "shop.test", "shop");
    fs::write(&path, text("shop.key")).unwrap();
    assert_eq!(proxy.order("POST", "/reload", "").await.0, 200);
    assert!(ask(port, "shop.test", &renewed).await.is_ok());
    assert!(ask(port, "shop.test", &shop).await.is_err());
}
