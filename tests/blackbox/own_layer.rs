//! `gateway/menlou/examples/own_layer.rs`: a gateway that an operator has built with a layer of the ecosystem.

use crate::scene::{Scene, Stores, eventually};
use menlou_harness::http::Request;

const HSTS: &str = "strict-transport-security";

#[test]
fn added_layer_sees_every_response_of_the_traffic_port() {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.example("own_layer"));
    for (path, status) in [("/srv/?f=manulife&a=user", 401), ("/srv/?f=nobody&a=user", 404), ("/elsewhere", 404)] {
        let response = Request::new("POST", path).send(scene.addr()).expect("a response");
        assert_eq!((response.status, response.header(HSTS)), (status, Some("max-age=63072000")), "{path}");
        assert!(response.header("x-request-id").is_some());
    }
    assert_eq!(scene.admin("/healthz").expect("a response").header(HSTS), None, "it is not on the admin port");
    scene.authorize("ann").ok();
    assert_eq!(scene.gateway.terminate().code(), Some(0));
    eventually("it has stopped", || (!scene.gateway.is_running()).then_some(()));
}

#[test]
fn gateway_without_an_added_layer_does_not_have_its_effect() {
    let scene = Scene::new(Stores::Embedded);
    let response = Request::new("POST", "/srv/?f=manulife&a=user").send(scene.addr()).expect("a response");
    assert_eq!((response.status, response.header(HSTS)), (401, None));
}
