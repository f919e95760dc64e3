//! `/wxa/business/getuserphonenumber`.

use menlou_simulator::{App, DEMO_APPID, PhoneNumber};
use serde_json::{Value, json};

use super::{Bench, bench, errcode};

async fn redeem(bench: &Bench, code: &str) -> Value {
    let path = bench.with_token("/wxa/business/getuserphonenumber").await;
    bench.post(&path, &json!({"code": code})).await
}

#[tokio::test]
async fn a_phone_code_is_redeemed_for_its_number_with_a_watermark() {
    let bench = bench();
    let answer = redeem(&bench, &bench.sim.phone_code("13800138000")).await;
    assert_eq!(answer["errcode"], 0);
    let info = &answer["phone_info"];
    assert_eq!(info["phoneNumber"], "13800138000");
    assert_eq!(info["purePhoneNumber"], "13800138000");
    assert_eq!(info["countryCode"], 86);
    assert_eq!(info["watermark"]["appid"], DEMO_APPID);
    assert!(info["watermark"]["timestamp"].as_u64().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn a_phone_code_is_good_once_and_while_it_lives() {
    let bench = bench();
    let code = bench.sim.phone_code("13800138000");
    redeem(&bench, &code).await;
    assert_eq!(errcode(&redeem(&bench, &code).await), 40029);
    let expired = bench.sim.phone_code("13800138000");
    assert!(bench.sim.expire_code(&expired));
    assert_eq!(errcode(&redeem(&bench, &expired).await), 40029);
}

#[tokio::test]
async fn a_login_code_is_no_phone_code() {
    let bench = bench();
    let answer = redeem(&bench, &bench.sim.code("alice")).await;
    assert_eq!(errcode(&answer), 40029);
}

#[tokio::test]
async fn a_phone_code_of_another_app_is_answered_with_40013() {
    let bench = bench();
    bench.sim.register(App::new("wxother", "s")).unwrap();
    let other = bench.sim.app("wxother").unwrap();
    let code = other.phone_code(PhoneNumber::new("13800138000"));
    assert_eq!(errcode(&redeem(&bench, &code).await), 40013);
}

#[tokio::test]
async fn a_country_code_comes_back_in_the_type_in_which_it_was_given() {
    let bench = bench();
    for country in [json!("852"), json!(852)] {
        let phone = PhoneNumber::new("91234567").country(country.clone());
        let answer = redeem(&bench, &bench.sim.first_app().phone_code(phone)).await;
        assert_eq!(answer["phone_info"]["countryCode"], country);
        assert_eq!(answer["phone_info"]["phoneNumber"], "+85291234567");
    }
}
