//! What one source may hold.

use crate::port::{limits, start_with};
use keywright_gateway::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn answers(connection: &mut TcpStream) -> bool {
    let asked = connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let mut head = [0; 12];
    asked.is_ok() && connection.read_exact(&mut head).await.is_ok() && head.ends_with(b"200")
}

#[tokio::test]
async fn a_source_that_holds_its_share_of_connections_gets_no_more_until_one_ends() {
    let port = start_with(Limits { source_connections: 2, ..limits() }).await;
    let connect = async || TcpStream::connect(port.address).await.unwrap();
    let (mut first, mut second) = (connect().await, connect().await);
    assert!(answers(&mut first).await && answers(&mut second).await);
    assert!(!answers(&mut connect().await).await, "a third connection was served");
    drop(first);
    let mut fourth = connect().await;
    while !answers(&mut fourth).await {
        fourth = connect().await;
    }
    drop(second);
}
