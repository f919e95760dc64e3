//! Who is asked, where there are several.

use crate::{OK, at, get, server::Server, text, until};

#[tokio::test]
async fn equals_take_turns() {
    let servers = [Server::saying(OK).await, Server::saying(OK).await, Server::saying(OK).await];
    let upstream = at(&[&servers[0].url, &servers[1].url, &servers[2].url]);
    for _ in 0..12 {
        text(upstream.forward(get()).await.unwrap()).await.unwrap();
    }
    assert_eq!(servers.each_ref().map(Server::asked), [4, 4, 4]);
}

#[tokio::test]
async fn a_call_counts_as_load_until_its_answers_last_byte() {
    const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
    let servers = [Server::saying(HALF).await, Server::saying(HALF).await];
    let upstream = at(&[&servers[0].url, &servers[1].url]);
    let asked = || servers.each_ref().map(Server::asked);
    let mut held = [Vec::new(), Vec::new()];
    for _ in 0..6 {
        let before = asked();
        let answer = upstream.forward(get()).await.unwrap();
        held[usize::from(asked()[0] == before[0])].push(answer);
    }
    assert_eq!(asked(), [3, 3]);
    held[1].clear();
    let mut more = Vec::new();
    for _ in 0..3 {
        more.push(upstream.forward(get()).await.unwrap());
    }
    assert_eq!(asked(), [3, 6], "the one whose answers were given up has the least load");
    drop((held, more));
}

#[tokio::test]
async fn a_call_that_waits_for_its_answer_counts_as_load() {
    let silent = Server::start(|mut talk| async move {
        while !talk.more().await.is_empty() {}
        None
    })
    .await;
    let quick = Server::saying(OK).await;
    let upstream = at(&[&silent.url, &quick.url]);
    // One of the first two calls waits at the silent server; from then on the other is the one with the least load.
    let calls = async {
        let mut waiting = Vec::new();
        while silent.asked() == 0 {
            let mut call = Box::pin(upstream.forward(get()));
            tokio::select! {
                answer = &mut call => { text(answer.unwrap()).await.unwrap(); }
                () = until(|| silent.asked() == 1) => waiting.push(call),
            }
        }
        for _ in 0..10 {
            text(upstream.forward(get()).await.unwrap()).await.unwrap();
        }
    };
    calls.await;
    assert_eq!(silent.asked(), 1);
}
