//! Load balancing: which of several servers gets a request.

use crate::{OK, body_text, get, server::Server, upstream_to, wait_until};

#[tokio::test]
async fn servers_with_equal_load_take_turns() {
    let servers = [Server::with_response(OK).await, Server::with_response(OK).await, Server::with_response(OK).await];
    let upstream = upstream_to(&[&servers[0].url, &servers[1].url, &servers[2].url]);
    for _ in 0..12 {
        body_text(upstream.forward(get()).await.unwrap()).await.unwrap();
    }
    assert_eq!(servers.each_ref().map(Server::request_count), [4, 4, 4]);
}

#[tokio::test]
async fn a_request_counts_as_load_until_the_end_of_its_response() {
    const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
    let servers = [Server::with_response(HALF).await, Server::with_response(HALF).await];
    let upstream = upstream_to(&[&servers[0].url, &servers[1].url]);
    let counts = || servers.each_ref().map(Server::request_count);
    let mut held = [Vec::new(), Vec::new()];
    for _ in 0..6 {
        let before = counts();
        let response = upstream.forward(get()).await.unwrap();
        held[usize::from(counts()[0] == before[0])].push(response);
    }
    assert_eq!(counts(), [3, 3]);
    held[1].clear();
    let mut more = Vec::new();
    for _ in 0..3 {
        more.push(upstream.forward(get()).await.unwrap());
    }
    assert_eq!(counts(), [3, 6], "the server whose responses were dropped has the least load");
    drop((held, more));
}

#[tokio::test]
async fn a_request_that_waits_for_its_response_counts_as_load() {
    let silent = Server::silent().await;
    let fast = Server::with_response(OK).await;
    let upstream = upstream_to(&[&silent.url, &fast.url]);
    // One of the first two requests waits at the silent server. From then on the other server has the least load.
    let requests = async {
        let mut waiting = Vec::new();
        while silent.request_count() == 0 {
            let mut request = Box::pin(upstream.forward(get()));
            tokio::select! {
                response = &mut request => { body_text(response.unwrap()).await.unwrap(); }
                () = wait_until(|| silent.request_count() == 1) => waiting.push(request),
            }
        }
        for _ in 0..10 {
            body_text(upstream.forward(get()).await.unwrap()).await.unwrap();
        }
    };
    requests.await;
    assert_eq!(silent.request_count(), 1);
}
