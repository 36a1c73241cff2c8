use super::*;
use axum::Router;
use axum::routing::any;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A stream server that agrees to an upgrade and says back what it hears, in capitals.
async fn stream_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/exec/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("post /exec/token "), "{head}");
        assert!(
            head.contains("upgrade: spdy/3.1\r\n") && !head.contains("authorization"),
            "{head}"
        );
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                      X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n";
        connection.write_all(answer.as_bytes()).await.unwrap();
        let mut heard = [0; 5];
        connection.read_exact(&mut heard).await.unwrap();
        connection.write_all(&heard.to_ascii_uppercase()).await.unwrap();
    });
    url
}

async fn kubelet(url: String) -> TcpStream {
    let router = Router::new().route(
        "/exec",
        any(move |request: Request| async move { pass(request, &url).await }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(router);
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(connection), service)
            .with_upgrades()
            .await
            .unwrap();
    });
    TcpStream::connect(address).await.unwrap()
}

async fn head_of(connection: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn an_upgrade_is_passed_on_with_its_headers_and_bytes_both_ways() {
    let mut connection = kubelet(stream_server().await).await;
    let request = "POST /exec HTTP/1.1\r\nHost: n1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                   Authorization: Bearer secret\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let head = head_of(&mut connection).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.to_lowercase()
            .contains("x-stream-protocol-version: v4.channel.k8s.io"),
        "{head}"
    );
    connection.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "HELLO");
}

#[tokio::test]
async fn what_is_no_upgrade_is_refused() {
    let mut connection = kubelet("http://127.0.0.1:1/".to_owned()).await;
    connection
        .write_all(b"GET /exec HTTP/1.1\r\nHost: n1\r\n\r\n")
        .await
        .unwrap();
    assert!(head_of(&mut connection).await.starts_with("HTTP/1.1 400 "));
}
