//! The kinds of exchanges.

use super::endpoint::{
    Step::{self, Close, Echo, Hang, Head, Pause, Until, Write},
    WELL,
};

/// A request, and what the endpoints do about it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) name: &'static str,
    pub(crate) request: Asks,
    /// For the first connection that is asked, the second, and so on.
    pub(crate) scripts: Vec<Vec<Step>>,
    /// How many endpoints are full at first.
    pub(crate) full: usize,
    /// The status, and how many attempts it takes, where all goes well.
    pub(crate) comes_to: (u16, u64),
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asks {
    Get,
    /// These pieces one by one, of a length that is told before.
    Put(&'static [&'static str]),
    /// Of a length that is not, and not to be sent twice.
    Post(&'static [&'static str]),
    WebSocket,
}

const PIECES: &[&str] = &["one", "two", "three"];

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";

const CLOSE: &str = "HTTP/1.1 200 OK\r\n\r\nto the end";

pub(crate) const SICK: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nsick";

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";

/// All of them.
pub(crate) fn all() -> Vec<Exchange> {
    let ask = |name, request, scripts, comes_to| Exchange {
        name,
        request,
        scripts,
        full: 0,
        comes_to,
    };
    let not_yet = "HTTP/1.1 100 Continue\r\n\r\n";
    vec![
        ask("length", Asks::Get, vec![vec![Head, Write(WELL)]], (200, 1)),
        ask(
            "chunked, with trailers",
            Asks::Get,
            vec![vec![
                Head,
                Write(CHUNKED),
                Pause(2),
                Write("3\r\ntwo\r\n"),
                Write("0\r\nx-trailer: 1\r\n\r\n"),
            ]],
            (200, 1),
        ),
        ask(
            "until the connection closes",
            Asks::Get,
            vec![vec![Head, Write(CLOSE), Close]],
            (200, 1),
        ),
        ask(
            "upload with a length",
            Asks::Put(PIECES),
            vec![vec![Head, Until("three"), Write(not_yet), Write(WELL)]],
            (200, 1),
        ),
        ask(
            "upload in chunks",
            Asks::Post(PIECES),
            vec![vec![Head, Until("0\r\n\r\n"), Write(WELL)]],
            (200, 1),
        ),
        ask(
            "answer before the upload ended",
            Asks::Post(PIECES),
            vec![vec![
                Head,
                Write(CHUNKED),
                Write("0\r\n\r\n"),
                Until("0\r\n\r\n"),
            ]],
            (200, 1),
        ),
        ask(
            "upload while the answer comes",
            Asks::Post(PIECES),
            vec![vec![
                Head,
                Write(CHUNKED),
                Until("0\r\n\r\n"),
                Write("0\r\n\r\n"),
            ]],
            (200, 1),
        ),
        ask(
            "refused upload",
            Asks::Post(PIECES),
            vec![vec![Head, Write(SICK), Close]],
            (503, 1),
        ),
        ask(
            "retry after a reset",
            Asks::Get,
            vec![vec![Head, Close], vec![Head, Write(WELL)]],
            (200, 2),
        ),
        ask(
            "retry after a status",
            Asks::Put(PIECES),
            vec![
                vec![Head, Until("three"), Write(SICK)],
                vec![Head, Until("three"), Write(WELL)],
            ],
            (200, 2),
        ),
        ask(
            "hedge that wins",
            Asks::Get,
            vec![vec![Head, Hang], vec![Head, Write(WELL)]],
            (200, 2),
        ),
        ask(
            "hedge that loses",
            Asks::Put(PIECES),
            vec![
                vec![Head, Until("three"), Pause(8), Write(WELL)],
                vec![Head, Until("three"), Hang],
            ],
            (200, 2),
        ),
        ask(
            "tunnel",
            Asks::WebSocket,
            vec![vec![Head, Write(SWITCH), Echo]],
            (101, 1),
        ),
        ask(
            "tunnel that the endpoint ends",
            Asks::WebSocket,
            vec![vec![Head, Write(SWITCH), Until("ping"), Close]],
            (101, 1),
        ),
        ask(
            "refused tunnel",
            Asks::WebSocket,
            vec![vec![Head, Write(WELL)]],
            (200, 1),
        ),
        Exchange {
            full: 1,
            ..ask(
                "retry that waits in the queue",
                Asks::Get,
                vec![vec![Head, Write(SICK)]],
                (200, 2),
            )
        },
        Exchange {
            full: 2,
            ..ask("queue", Asks::Get, vec![], (200, 1))
        },
        Exchange {
            full: 2,
            ..ask(
                "queue with an upload",
                Asks::Put(PIECES),
                vec![vec![Head, Until("three"), Write(WELL)]],
                (200, 1),
            )
        },
    ]
}

// === impl Asks ===

impl Asks {
    pub(crate) const fn pieces(self) -> &'static [&'static str] {
        match self {
            Self::Put(pieces) | Self::Post(pieces) => pieces,
            Self::Get | Self::WebSocket => &[],
        }
    }
}
