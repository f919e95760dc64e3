//! `/sns/jscode2session`.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use menlou_simulator::{App, DEMO_APPID, DEMO_SECRET, Options, Simulator};

use super::{Bench, bench, errcode, text};

const PATH: &str = "/sns/jscode2session";

#[tokio::test]
async fn a_code_is_exchanged_for_the_openid_of_its_person_and_a_session_key() {
    let bench = bench();
    let answer = bench.exchange(&bench.sim.code("alice")).await;
    assert_eq!(answer["openid"], bench.sim.openid("alice"));
    assert_eq!(text(&answer["session_key"]).len(), 24);
    assert!(answer.get("errcode").is_none() && answer.get("unionid").is_none());
}

#[tokio::test]
async fn an_exchange_answers_json_as_text_plain() {
    let bench = bench();
    let answer = bench.try_exchange(&bench.sim.code("alice")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain");
}

#[tokio::test]
async fn a_code_is_good_for_one_exchange_only() {
    let bench = bench();
    let code = bench.sim.code("alice");
    bench.exchange(&code).await;
    assert_eq!(errcode(&bench.exchange(&code).await), 40163);
}

#[tokio::test]
async fn of_two_exchanges_of_one_code_at_once_exactly_one_succeeds() {
    let bench = bench();
    let code = bench.sim.code("alice");
    let (one, two) = tokio::join!(bench.exchange(&code), bench.exchange(&code));
    let used = [one, two].iter().filter(|answer| answer["errcode"] == 40163).count();
    assert_eq!(used, 1);
}

#[tokio::test]
async fn a_code_expires_after_five_minutes() {
    let bench = bench();
    let (early, late) = (bench.sim.code("alice"), bench.sim.code("alice"));
    bench.sim.advance(Duration::from_secs(295));
    assert!(bench.exchange(&early).await.get("errcode").is_none());
    bench.sim.advance(Duration::from_secs(6));
    assert_eq!(errcode(&bench.exchange(&late).await), 40029);
}

#[tokio::test]
async fn a_code_that_is_made_up_or_meant_for_phones_is_invalid() {
    let bench = bench();
    assert_eq!(errcode(&bench.exchange("made-up").await), 40029);
    let phone = bench.sim.phone_code("13800138000");
    assert_eq!(errcode(&bench.exchange(&phone).await), 40029);
}

#[tokio::test]
async fn a_code_of_another_app_is_invalid() {
    let bench = bench();
    bench.sim.register(App::new("wxother", "s")).unwrap();
    let code = bench.sim.app("wxother").unwrap().code("alice");
    assert_eq!(errcode(&bench.exchange(&code).await), 40029);
}

#[tokio::test]
async fn an_error_is_http_200_and_ends_with_a_rid() {
    let bench = bench();
    let answer = bench.try_exchange("made-up").await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let errmsg = text(&answer["errmsg"]);
    let (words, rid) = errmsg.split_once(", rid: ").unwrap();
    assert_eq!(words, "invalid code");
    let lengths: Vec<_> = rid.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 8, 8]);
}

#[tokio::test]
async fn missing_and_wrong_parameters_have_their_own_errcodes() {
    let bench = bench();
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
        assert_eq!(errcode(&bench.get(PATH, &query).await), expected, "{query:?}");
    }
}

#[tokio::test]
async fn a_post_of_the_exchange_is_refused() {
    let bench = bench();
    let answer = bench.post(PATH, &serde_json::json!({})).await;
    assert_eq!(errcode(&answer), 43001);
}

#[tokio::test]
async fn a_given_openid_comes_back_as_it_is() {
    let bench = bench();
    let code = bench.sim.code_for_openid("oAHBN10P-hn-vF1cTY4tQeStQFmU");
    let answer = bench.exchange(&code).await;
    assert_eq!(answer["openid"], "oAHBN10P-hn-vF1cTY4tQeStQFmU");
}

#[tokio::test]
async fn each_exchange_renews_the_persons_session_key() {
    let bench = bench();
    let first = bench.exchange(&bench.sim.code("alice")).await;
    let second = bench.exchange(&bench.sim.code("alice")).await;
    assert_ne!(first["session_key"], second["session_key"]);
    let openid = bench.sim.openid("alice");
    let valid = bench.sim.first_app().session_key(&openid);
    assert_eq!(valid, Some(text(&second["session_key"])));
}

#[tokio::test]
async fn apps_of_one_open_platform_account_see_one_unionid_and_two_openids() {
    let apps = ["wxone", "wxtwo"].map(|appid| App::new(appid, "s").open_platform("account"));
    let options = Options { apps: apps.to_vec(), ..Options::default() };
    let client = reqwest::Client::new();
    let bench = Bench { sim: Simulator::start(options).unwrap(), client };
    let mut answers = Vec::new();
    for appid in ["wxone", "wxtwo"] {
        let code = bench.sim.app(appid).unwrap().code("alice");
        let query = [("appid", appid), ("secret", "s"), ("js_code", &code), ("grant_type", "authorization_code")];
        answers.push(bench.get(PATH, &query).await);
    }
    assert!(answers[0]["unionid"].is_string());
    assert_eq!(answers[0]["unionid"], answers[1]["unionid"]);
    assert_ne!(answers[0]["openid"], answers[1]["openid"]);
}

#[test]
fn a_blocking_test_needs_no_runtime() {
    let sim = Simulator::start(Options::default()).unwrap();
    let code = sim.code("alice");
    let mut stream = std::net::TcpStream::connect(sim.addr()).unwrap();
    write!(
        stream,
        "GET {PATH}?appid={DEMO_APPID}&secret={DEMO_SECRET}&js_code={code}\
         &grant_type=authorization_code HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(&sim.openid("alice")), "{answer}");
}
