//! Clients of HTTP/2 made of arbitrary bytes: most of what they send are frames, and many of those are right.

use std::time::Duration;

/// What a client does next.
#[derive(Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    Wait(Duration),
}

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const MAX_ORDERS: usize = 512;

/// What fields are chosen from.
const FIELDS: [(&str, &str); 38] = [
    (":method", "GET"),
    (":method", "POST"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "CONNECT"),
    (":scheme", "http"),
    (":scheme", "a b"),
    (":authority", "a.test"),
    (":authority", "u@a.test:80:80"),
    (":path", "/echo"),
    (":path", "/stream"),
    (":path", "/wait"),
    (":path", "/big"),
    (":path", "/fail"),
    (":path", "/interim"),
    (":path", "/x"),
    (":path", "*"),
    (":path", ""),
    (":path", "x"),
    (":protocol", "websocket"),
    (":status", "200"),
    ("content-length", "0"),
    ("content-length", "3"),
    ("content-length", "5, 5"),
    ("content-length", "18446744073709551616"),
    ("host", "b.test"),
    ("connection", "close"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "websocket"),
    ("keep-alive", "1"),
    ("proxy-connection", "x"),
    ("te", "trailers"),
    ("te", "gzip"),
    ("expect", "100-continue"),
    ("cookie", "a=b"),
    ("Upper", "x"),
    ("x-line", "a\r\nb"),
    ("", "x"),
];

/// A request as most clients send it.
const PLAIN: [&[(&str, &str)]; 2] = [
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.test"),
    ],
    &[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a.test"),
    ],
];

/// The bytes as they are.
pub(crate) fn raw(bytes: &[u8]) -> Vec<Step> {
    vec![Step::Send([PREFACE, bytes].concat())]
}

/// The bytes as orders to send this and that. Those past `MAX_ORDERS` do not count.
pub(crate) fn steps(orders: &[u8]) -> Vec<Step> {
    let mut orders = &orders[..orders.len().min(MAX_ORDERS)];
    let mut steps = vec![Step::Send([PREFACE, &frame(4, 0, 0, &[])].concat())];
    while !orders.is_empty() {
        steps.push(step(&mut orders));
    }
    steps
}

fn step(orders: &mut &[u8]) -> Step {
    Step::Send(match next(orders) % 12 {
        // HEADERS that are whole.
        0 => {
            let ([stream, end], block) = (take(orders), block(orders));
            frame(1, 4 | end & 1, stream, &block)
        }
        // HEADERS and CONTINUATION with any flags.
        1 => {
            let ([kind, stream, flags], block) = (take(orders), block(orders));
            let kind = if kind & 1 == 0 { 1 } else { 9 };
            frame(kind, flags, stream, &block)
        }
        2 => {
            let [stream, end, length] = take(orders);
            frame(0, end & 1, stream, &vec![b'a'; usize::from(length)])
        }
        // More than a window.
        3 => {
            let [stream, count] = take(orders);
            frame(0, 0, stream, &[b'a'; 16_384]).repeat(usize::from(count % 5))
        }
        4 => {
            let [stream, code] = take(orders);
            frame(3, 0, stream, &[0, 0, 0, code])
        }
        5 => {
            let [stream, a, b, c, d] = take(orders);
            frame(8, 0, stream, &[a, b, c, d])
        }
        6 => {
            let [flags, key, a, b, c, d] = take(orders);
            frame(4, flags & 1, 0, &[0, key, a, b, c, d])
        }
        // A ping, and the answer to the server's.
        7 => match next(orders) & 1 {
            0 => frame(6, 0, 0, &[1; 8]),
            _ => frame(6, 1, 0, &[0x3b, 0x7c, 0xdb, 0x7a, 0x0b, 0x87, 0x16, 0xb4]),
        },
        8 => {
            let [stream, code] = take(orders);
            frame(7, 0, 0, &[0, 0, 0, stream, 0, 0, 0, code])
        }
        // Any frame.
        9 => {
            let [kind, flags, stream, length] = take(orders);
            let bytes = split(orders, length);
            frame(kind, flags, stream, bytes)
        }
        10 => {
            let length = next(orders);
            split(orders, length).to_vec()
        }
        _ => return Step::Wait(Duration::from_secs(next(orders).into())),
    })
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    let head = [a, b, c, kind, flags, 0, 0, 0, stream];
    [&head, payload].concat()
}

/// A block of fields: so many as the first order says, each a chosen one, or else a byte as it is.
fn block(orders: &mut &[u8]) -> Vec<u8> {
    let count = next(orders);
    let mut block = Vec::new();
    if let Some(fields) = PLAIN.get(usize::from(count >> 6)) {
        fields.iter().for_each(|field| add(&mut block, *field));
    }
    for _ in 0..count & 15 {
        let order = next(orders);
        match FIELDS.get(usize::from(order)) {
            Some(field) => add(&mut block, *field),
            None => block.push(order),
        }
    }
    block
}

/// RFC 7541 §6.2.2: neither indexed nor compressed.
fn add(block: &mut Vec<u8>, (name, value): (&str, &str)) {
    block.push(0);
    for text in [name, value] {
        block.push(u8::try_from(text.len()).unwrap_or(0));
        block.extend_from_slice(text.as_bytes());
    }
}

fn next(orders: &mut &[u8]) -> u8 {
    let [order] = take(orders);
    order
}

/// Where there are no more they are zeros.
fn take<const N: usize>(orders: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let part = split(orders, u8::try_from(N).unwrap_or(u8::MAX));
    taken[..part.len()].copy_from_slice(part);
    taken
}

fn split<'a>(orders: &mut &'a [u8], length: u8) -> &'a [u8] {
    let (part, rest) = orders.split_at(orders.len().min(length.into()));
    *orders = rest;
    part
}
