//! Listening on an address.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use tokio::net::TcpSocket;

/// How many connections may wait for somebody to accept them; tokio's number.
const BACKLOG: u32 = 1024;

/// A socket that listens on `address`, and on nothing else that listens there already.
pub(crate) async fn one(address: SocketAddr) -> io::Result<TcpListener> {
    tokio::net::TcpListener::bind(address).await?.into_std()
}

/// Sockets that listen on `address`: as many as `count` where the system spreads connections over the
/// sockets of one address, which Linux does (`SO_REUSEPORT`), and one elsewhere.
pub(crate) async fn several(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if count == 1 || cfg!(not(target_os = "linux")) {
        return Ok(vec![one(address).await?]);
    }
    // With SO_REUSEPORT nobody is told that another process listens there as well, which is a mistake.
    drop(one(address).await?);
    let mut sockets = Vec::<TcpListener>::new();
    for _ in 0..count {
        // The first finds the port, where that is 0.
        let address = match sockets.first() {
            Some(first) => first.local_addr()?,
            None => address,
        };
        sockets.push(reusing_port(address)?.into_std()?);
    }
    Ok(sockets)
}

fn reusing_port(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
