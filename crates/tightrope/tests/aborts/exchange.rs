//! The kinds of exchanges.

use h2::Reason;
use tightrope::proxy::Protocol;

use super::endpoint::{
    Step::{
        self, Answer, Close, Data, Echo, End, GoAway, Hang, Head, Last, Pause, Reset, Trailers,
        Until, Write,
    },
    WELL,
};

/// A request, and what the endpoints do about it.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) name: &'static str,
    /// What the endpoints speak.
    pub(crate) protocol: Protocol,
    pub(crate) request: Asks,
    /// For the first connection or stream that is asked, the second, and so on.
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

/// Those with endpoints that speak HTTP/1.1.
pub(crate) fn http1() -> Vec<Exchange> {
    let ask = |name, request, scripts, comes_to| Exchange {
        name,
        protocol: Protocol::Http1,
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
            vec![vec![Head, End, Write(not_yet), Write(WELL)]],
            (200, 1),
        ),
        ask(
            "upload in chunks",
            Asks::Post(PIECES),
            vec![vec![Head, End, Write(WELL)]],
            (200, 1),
        ),
        ask(
            "answer before the upload ended",
            Asks::Post(PIECES),
            vec![vec![Head, Write(CHUNKED), Write("0\r\n\r\n"), End]],
            (200, 1),
        ),
        ask(
            "upload while the answer comes",
            Asks::Post(PIECES),
            vec![vec![Head, Write(CHUNKED), End, Write("0\r\n\r\n")]],
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
            vec![vec![Head, End, Write(SICK)], vec![Head, End, Write(WELL)]],
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
                vec![Head, End, Pause(8), Write(WELL)],
                vec![Head, End, Hang],
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
                vec![vec![Head, End, Write(WELL)]],
                (200, 1),
            )
        },
    ]
}

/// Those with endpoints that speak HTTP/2.
pub(crate) fn http2() -> Vec<Exchange> {
    let ask = |name, request, scripts, comes_to| Exchange {
        name,
        protocol: Protocol::Http2,
        request,
        scripts,
        full: 0,
        comes_to,
    };
    let well = || vec![End, Answer(200), Last("ok")];
    let sick = || vec![End, Answer(503), Last("sick")];
    vec![
        ask("a stream", Asks::Get, vec![well()], (200, 1)),
        ask(
            "a stream with trailers",
            Asks::Get,
            vec![vec![
                Answer(200),
                Data("one"),
                Pause(2),
                Data("two"),
                Trailers,
            ]],
            (200, 1),
        ),
        ask(
            "a stream that breaks",
            Asks::Get,
            vec![vec![
                Answer(200),
                Data("one"),
                Pause(2),
                Reset(Reason::INTERNAL_ERROR),
            ]],
            (200, 1),
        ),
        ask(
            "upload on a stream",
            Asks::Put(PIECES),
            vec![well()],
            (200, 1),
        ),
        ask(
            "upload of any length on a stream",
            Asks::Post(PIECES),
            vec![well()],
            (200, 1),
        ),
        ask(
            "answer on a stream before the upload ended",
            Asks::Post(PIECES),
            vec![vec![Answer(200), Last("ok"), End]],
            (200, 1),
        ),
        ask(
            "upload while the answer comes on a stream",
            Asks::Post(PIECES),
            vec![vec![Answer(200), Data("one"), End, Last("two")]],
            (200, 1),
        ),
        ask(
            "upload that is not wanted any more",
            Asks::Post(PIECES),
            vec![vec![
                Answer(503),
                Last("sick"),
                Pause(2),
                Reset(Reason::NO_ERROR),
            ]],
            (503, 1),
        ),
        ask(
            "retry after a reset stream",
            Asks::Get,
            vec![vec![Reset(Reason::INTERNAL_ERROR)], well()],
            (200, 2),
        ),
        ask(
            "retry after a refused stream",
            Asks::Get,
            vec![vec![Reset(Reason::REFUSED_STREAM)], well()],
            (200, 2),
        ),
        ask(
            "retry after a connection that is cut",
            Asks::Get,
            vec![vec![Close], well()],
            (200, 2),
        ),
        ask(
            "retry after a status on a stream",
            Asks::Put(PIECES),
            vec![sick(), well()],
            (200, 2),
        ),
        ask(
            "hedge that wins on a stream",
            Asks::Get,
            vec![vec![Hang], well()],
            (200, 2),
        ),
        ask(
            "hedge that loses on a stream",
            Asks::Put(PIECES),
            vec![
                vec![End, Pause(8), Answer(200), Last("ok")],
                vec![End, Hang],
            ],
            (200, 2),
        ),
        ask(
            "last stream of a connection",
            Asks::Get,
            vec![vec![GoAway, Answer(200), Pause(2), Last("ok")]],
            (200, 1),
        ),
        Exchange {
            full: 1,
            ..ask(
                "retry that waits in the queue for a stream",
                Asks::Get,
                vec![sick()],
                (200, 2),
            )
        },
        Exchange {
            full: 2,
            ..ask(
                "queue for a stream",
                Asks::Put(PIECES),
                vec![well()],
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
