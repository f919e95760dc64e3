//! Requests that a client or a proxy in between gets slightly wrong: the error says what is wanted.

use crate::scene::{Scene, Stores, TENANT};
use flate2::{Compression, write::GzEncoder};
use h2::client;
use menlou_harness::{
    Envelope,
    http::{self, Request},
};
use serde_json::json;
use std::{io::Write, time::Duration};

fn detail(response: &Envelope) -> &str {
    response.data["detail"].as_str().unwrap_or_default()
}

#[test]
fn public_action_ignores_credentials_that_are_no_bearer_token() {
    let scene = Scene::new(Stores::Embedded);
    for (at, authorization) in
        ["Bearer gone", "Basic YTpi", "undefined", "Digest a", "Bearer a b", "né"].iter().enumerate()
    {
        let code = scene.sim.code(&format!("person {at}"));
        let request = Request::post(scene.client().target("openid")).header("Authorization", authorization);
        scene.client().send(&request.form(&[("code", &code)])).ok();
    }
    let request = Request::post(scene.client().target("user")).header("Authorization", "Basic YTpi");
    let response = scene.client().with_language("en").send(&request);
    response.assert_error(401, "login_required");
    assert!(detail(&response).contains("Bearer"), "{response:?}");
}

#[test]
fn unsupported_media_type_names_the_supported_ones() {
    let scene = Scene::new(Stores::Embedded);
    for content_type in ["multipart/form-data; boundary=x", "text/plain", "application/json; charset=gbk", ""] {
        let request = Request::post(scene.client().target("openid")).body(content_type, "{}");
        let response = scene.client().send(&request);
        response.assert_error(415, "unsupported_media_type");
        for media_type in ["application/json", "application/x-www-form-urlencoded"] {
            assert!(detail(&response).contains(media_type), "{response:?}");
            assert!(response.response.header("accept-post").is_some_and(|types| types.contains(media_type)));
        }
    }
}

#[test]
fn compressed_body_is_rejected_with_a_reason() {
    let scene = Scene::new(Stores::Embedded);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(json!({ "code": "a-code" }).to_string().as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let request = Request::post(scene.client().target("openid")).body("application/json", body.clone());
    let english = scene.client().with_language("en");
    for coding in ["gzip", "br", "GZIP", "identity, gzip"] {
        let response = english.send(&request.clone().header("Content-Encoding", coding));
        response.assert_error(415, "unsupported_media_type");
        assert!(detail(&response).contains("compressed"), "{response:?}");
        assert_eq!(response.response.header("accept-encoding"), Some("identity"));
    }
    for content_type in ["application/json", "application/x-www-form-urlencoded"] {
        let response = english.send(&Request::post(scene.client().target("openid")).body(content_type, body.clone()));
        response.assert_error(400, "bad_body");
        assert!(detail(&response).contains("compressed"), "{response:?}");
    }
    let plain = Request::post(scene.client().target("openid")).json(&json!({ "code": scene.sim.code("ann") }));
    english.send(&plain.header("Content-Encoding", "identity")).ok();
}

#[test]
fn http1_and_http2_reject_bare_utf8_in_the_target_alike() {
    let scene = Scene::new(Stores::Embedded);
    let target = format!("/srv/?f={TENANT}&a=openid&name=安");
    let raw = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let over_http1 = Envelope::parse(http::send_raw(scene.addr(), raw.as_bytes()).unwrap());
    over_http1.assert_error(400, "bad_request");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let over_http2 = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), async {
            let stream = tokio::net::TcpStream::connect(scene.addr()).await.unwrap();
            let (sender, connection) = client::handshake(stream).await.unwrap();
            tokio::spawn(async move { drop(connection.await) });
            let uri =
                ::http::Uri::builder().scheme("http").authority("a").path_and_query(target.as_str()).build().unwrap();
            let request = ::http::Request::post(uri).body(()).unwrap();
            let (response, _) = sender.ready().await.unwrap().send_request(request, true).unwrap();
            let (head, mut body) = response.await.unwrap().into_parts();
            let mut bytes = Vec::new();
            while let Some(piece) = body.data().await {
                bytes.extend_from_slice(&piece.unwrap());
            }
            let text = |v: &::http::HeaderValue| v.to_str().unwrap().to_owned();
            let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
            Envelope::parse(http::Response { status: head.status.as_u16(), headers, body: bytes })
        })
        .await
        .expect("in time")
    });
    over_http2.assert_error(400, "bad_request");
    for response in [&over_http1, &over_http2] {
        assert!(detail(response).contains("百分号编码"), "{response:?}");
    }
    let escaped = format!("/srv/?f={TENANT}&a=openid&name=%E5%AE%89");
    scene.client().send(&Request::post(escaped)).assert_error(400, "missing_parameter");
}
