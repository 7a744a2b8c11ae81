//! Clients that are still sending when their connection is closed, and read only then.

use tightrope_test::Origin;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    program::{Program, file, free_port, soon},
    tls::{certificate, connect},
};

/// Some chance is in when a reset comes.
const ROUNDS: usize = 20;

/// What is sent after that to which there is an answer.
const MORE: usize = 1024 * 1024;

async fn proxy(origin: &Origin, more: &str) -> (tempfile::TempDir, Program) {
    let (folder, path) = file(&format!(
        "access_log = \"off\"
         [[listener]]\naddress = \"127.0.0.1:0\"
         [[route]]\nupstream = \"app\"\nmax_body = 1024
         [[upstream]]\nname = \"app\"
         [[upstream.endpoint]]\naddress = \"{}\"\n{more}",
        origin.address()
    ));
    let arguments = ["--config".as_ref(), path.as_os_str()];
    (folder, Program::start(arguments, false).await)
}

/// Sends `first`, then much more in pieces of `piece`, and then reads to the end.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    first: &[u8],
    piece: &[u8],
) -> Vec<u8> {
    let talk = async {
        stream.write_all(first).await.unwrap();
        for _ in 0..MORE / piece.len() {
            stream.write_all(piece).await.unwrap();
        }
        stream.flush().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    };
    soon(talk).await
}

fn upload() -> String {
    format!("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: {MORE}\r\n\r\n")
}

/// Of which the answer is whole.
fn is_answer(answer: &[u8], status: &str) -> bool {
    let answer = str::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = format!("content-length: {}", body.len());
    head.starts_with(&format!("HTTP/1.1 {status} ")) && head.contains(&length)
}

#[tokio::test]
async fn a_client_that_sends_all_of_a_refused_upload_gets_the_answer() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(&origin, "").await;
    let upload = upload();
    let refused: [(&[u8], _); 2] = [
        (upload.as_bytes(), "413"),
        (b"GET / HTTP/1.1\r\nhost : a\r\n\r\n", "400"),
    ];
    for _ in 0..ROUNDS {
        for (first, status) in refused {
            let mut stream = TcpStream::connect(proxy.proxy()).await.unwrap();
            stream.write_all(first).await.unwrap();
            // The answer is there, and the connection closed, before the rest is sent.
            soon(stream.peek(&mut [0])).await.unwrap();
            let answer = answer(stream, b"", &[b'x'; 16384]).await;
            assert!(is_answer(&answer, status), "{answer:?}");
            let stream = TcpStream::connect(proxy.proxy()).await.unwrap();
            let answer = self::answer(stream, first, &[b'x'; 16384]).await;
            assert!(is_answer(&answer, status), "{answer:?}");
        }
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn the_same_over_tls() {
    let origin = Origin::start("blue").await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = certificate(folder.path(), "shop.test", "shop");
    let port = free_port().unwrap();
    let of = |name: &str| folder.path().join(name).display().to_string();
    let more = format!(
        "[[listener]]\naddress = \"127.0.0.1:{port}\"
         [[listener.tls]]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        of("shop.pem"),
        of("shop.key"),
    );
    let (_folder, _proxy) = proxy(&origin, &more).await;
    for _ in 0..ROUNDS {
        let stream = connect(port, "shop.test", &trusted, &["http/1.1"]).await;
        let answer = answer(stream.unwrap(), upload().as_bytes(), &[b'x'; 16384]).await;
        assert!(is_answer(&answer, "413"), "{answer:?}");
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
    [&head, payload].concat()
}

/// Why the connection was ended, if `frames` say so.
fn reason(mut frames: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        if head[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        frames = rest;
    }
    None
}

#[tokio::test]
async fn a_client_of_http_2_that_floods_is_told_why_it_is_cut() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(&origin, "").await;
    let first = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, b""),
        // The end of the head, and not of the request: `POST http://a/gate`.
        frame(HEADERS, 4, 1, b"\x83\x86\x44\x05/gate\x41\x01a"),
    ];
    let nothing = frame(DATA, 0, 1, b"").repeat(1024);
    for _ in 0..ROUNDS {
        let mut stream = TcpStream::connect(proxy.proxy()).await.unwrap();
        stream.write_all(&first.concat()).await.unwrap();
        stream.write_all(&nothing).await.unwrap();
        // It is cut by then, and goes on.
        let mut early = [0; 1024];
        let is_cut = async {
            loop {
                let count = stream.peek(&mut early).await.unwrap();
                if reason(&early[..count]).is_some() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        soon(is_cut).await;
        let frames = answer(stream, b"", &nothing).await;
        assert_eq!(reason(&frames), Some(ENHANCE_YOUR_CALM), "{frames:?}");
    }
}

#[tokio::test]
async fn a_client_that_never_closes_does_not_hold_up_a_stop() {
    let origin = Origin::start("blue").await;
    let (_folder, proxy) = proxy(
        &origin,
        "[timeouts]\nlast_request = \"0s\"\nshutdown = \"1h\"\n",
    )
    .await;
    let mut stream = TcpStream::connect(proxy.proxy()).await.unwrap();
    stream.write_all(upload().as_bytes()).await.unwrap();
    soon(stream.peek(&mut [0])).await.unwrap();
    proxy.signal("TERM").await;
    assert!(proxy.ends().await.success());
    drop(stream);
}
