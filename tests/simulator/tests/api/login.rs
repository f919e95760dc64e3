//! `/sns/jscode2session`.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use menlou_simulator::{App, DEMO_APPID, DEMO_SECRET, Options, Simulator};

use super::{Scene, errcode, text};

const PATH: &str = "/sns/jscode2session";

#[tokio::test]
async fn a_code_is_exchanged_for_the_openid_of_its_user_and_a_session_key() {
    let scene = Scene::new();
    let response = scene.exchange(&scene.sim.code("alice")).await;
    assert_eq!(response["openid"], scene.sim.openid("alice"));
    assert_eq!(text(&response["session_key"]).len(), 24);
    assert!(response.get("errcode").is_none() && response.get("unionid").is_none());
}

#[tokio::test]
async fn an_exchange_returns_json_as_text_plain() {
    let scene = Scene::new();
    let response = scene.try_exchange(&scene.sim.code("alice")).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain");
}

#[tokio::test]
async fn a_code_is_valid_for_one_exchange_only() {
    let scene = Scene::new();
    let code = scene.sim.code("alice");
    scene.exchange(&code).await;
    assert_eq!(errcode(&scene.exchange(&code).await), 40163);
}

#[tokio::test]
async fn of_two_concurrent_exchanges_of_one_code_exactly_one_succeeds() {
    let scene = Scene::new();
    let code = scene.sim.code("alice");
    let (one, two) = tokio::join!(scene.exchange(&code), scene.exchange(&code));
    let used = [one, two].iter().filter(|response| response["errcode"] == 40163).count();
    assert_eq!(used, 1);
}

#[tokio::test]
async fn a_code_expires_after_five_minutes() {
    let scene = Scene::new();
    let (early, late) = (scene.sim.code("alice"), scene.sim.code("alice"));
    scene.sim.advance(Duration::from_secs(295));
    assert!(scene.exchange(&early).await.get("errcode").is_none());
    scene.sim.advance(Duration::from_secs(6));
    assert_eq!(errcode(&scene.exchange(&late).await), 40029);
}

#[tokio::test]
async fn an_unknown_code_and_a_phone_code_are_invalid() {
    let scene = Scene::new();
    assert_eq!(errcode(&scene.exchange("unknown").await), 40029);
    let phone = scene.sim.phone_code("13800138000");
    assert_eq!(errcode(&scene.exchange(&phone).await), 40029);
}

#[tokio::test]
async fn a_code_of_another_app_is_invalid() {
    let scene = Scene::new();
    scene.sim.register(App::new("wxother", "s")).unwrap();
    let code = scene.sim.app("wxother").unwrap().code("alice");
    assert_eq!(errcode(&scene.exchange(&code).await), 40029);
}

#[tokio::test]
async fn an_error_has_status_200_and_ends_with_a_rid() {
    let scene = Scene::new();
    let response = scene.try_exchange("unknown").await.unwrap();
    assert_eq!(response.status(), 200);
    let response: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    let errmsg = text(&response["errmsg"]);
    let (message, rid) = errmsg.split_once(", rid: ").unwrap();
    assert_eq!(message, "invalid code");
    let lengths: Vec<_> = rid.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 8, 8]);
}

#[tokio::test]
async fn missing_and_wrong_parameters_have_their_own_errcodes() {
    let scene = Scene::new();
    let grant = ("grant_type", "authorization_code");
    let (id, secret, code) = (("appid", DEMO_APPID), ("secret", DEMO_SECRET), ("js_code", "x"));
    for (query, expected) in [
        (vec![secret, code, grant], 41002),
        (vec![id, code, grant], 41004),
        (vec![id, secret, grant], 41008),
        (vec![id, secret, ("js_code", ""), grant], 41008),
        (vec![id, secret, code], 40002),
        (vec![("appid", "wxunknown"), secret, code, grant], 40013),
        (vec![id, ("secret", "wrong"), code, grant], 40125),
    ] {
        assert_eq!(errcode(&scene.get(PATH, &query).await), expected, "{query:?}");
    }
}

#[tokio::test]
async fn an_exchange_by_post_is_rejected() {
    let scene = Scene::new();
    let response = scene.post(PATH, &serde_json::json!({})).await;
    assert_eq!(errcode(&response), 43001);
}

#[tokio::test]
async fn a_given_openid_is_returned_unchanged() {
    let scene = Scene::new();
    let code = scene.sim.code_for_openid("oAHBN10P-hn-vF1cTY4tQeStQFmU");
    let response = scene.exchange(&code).await;
    assert_eq!(response["openid"], "oAHBN10P-hn-vF1cTY4tQeStQFmU");
}

#[tokio::test]
async fn each_exchange_renews_the_session_key_of_the_user() {
    let scene = Scene::new();
    let first = scene.exchange(&scene.sim.code("alice")).await;
    let second = scene.exchange(&scene.sim.code("alice")).await;
    assert_ne!(first["session_key"], second["session_key"]);
    let openid = scene.sim.openid("alice");
    let valid = scene.sim.first_app().session_key(&openid);
    assert_eq!(valid, Some(text(&second["session_key"])));
}

#[tokio::test]
async fn apps_of_one_open_platform_account_share_a_unionid_and_have_different_openids() {
    let apps = ["wxone", "wxtwo"].map(|appid| App::new(appid, "s").open_platform("account"));
    let options = Options { apps: apps.to_vec(), ..Options::default() };
    let client = reqwest::Client::new();
    let scene = Scene { sim: Simulator::start(options).unwrap(), client };
    let mut responses = Vec::new();
    for appid in ["wxone", "wxtwo"] {
        let code = scene.sim.app(appid).unwrap().code("alice");
        let query = [("appid", appid), ("secret", "s"), ("js_code", &code), ("grant_type", "authorization_code")];
        responses.push(scene.get(PATH, &query).await);
    }
    assert!(responses[0]["unionid"].is_string());
    assert_eq!(responses[0]["unionid"], responses[1]["unionid"]);
    assert_ne!(responses[0]["openid"], responses[1]["openid"]);
}

#[test]
fn the_simulator_works_without_an_async_runtime() {
    let sim = Simulator::start(Options::default()).unwrap();
    let code = sim.code("alice");
    let mut stream = std::net::TcpStream::connect(sim.addr()).unwrap();
    write!(
        stream,
        "GET {PATH}?appid={DEMO_APPID}&secret={DEMO_SECRET}&js_code={code}\
         &grant_type=authorization_code HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.contains(&sim.openid("alice")), "{response}");
}
