//! `/wxa/business/getuserphonenumber`.

use menlou_simulator::{App, DEMO_APPID, PhoneNumber};
use serde_json::{Value, json};

use super::{Scene, errcode};

async fn redeem(scene: &Scene, code: &str) -> Value {
    let path = scene.with_token("/wxa/business/getuserphonenumber").await;
    scene.post(&path, &json!({"code": code})).await
}

#[tokio::test]
async fn a_phone_code_is_exchanged_for_its_number_with_a_watermark() {
    let scene = Scene::new();
    let response = redeem(&scene, &scene.sim.phone_code("13800138000")).await;
    assert_eq!(response["errcode"], 0);
    let info = &response["phone_info"];
    assert_eq!(info["phoneNumber"], "13800138000");
    assert_eq!(info["purePhoneNumber"], "13800138000");
    assert_eq!(info["countryCode"], 86);
    assert_eq!(info["watermark"]["appid"], DEMO_APPID);
    assert!(info["watermark"]["timestamp"].as_u64().unwrap() > 1_700_000_000);
}

#[tokio::test]
async fn a_used_or_expired_phone_code_is_invalid() {
    let scene = Scene::new();
    let code = scene.sim.phone_code("13800138000");
    redeem(&scene, &code).await;
    assert_eq!(errcode(&redeem(&scene, &code).await), 40029);
    let expired = scene.sim.phone_code("13800138000");
    assert!(scene.sim.expire_code(&expired));
    assert_eq!(errcode(&redeem(&scene, &expired).await), 40029);
}

#[tokio::test]
async fn a_login_code_is_not_a_phone_code() {
    let scene = Scene::new();
    let response = redeem(&scene, &scene.sim.code("alice")).await;
    assert_eq!(errcode(&response), 40029);
}

#[tokio::test]
async fn a_phone_code_of_another_app_responds_with_40013() {
    let scene = Scene::new();
    scene.sim.register(App::new("wxother", "s")).unwrap();
    let other = scene.sim.app("wxother").unwrap();
    let code = other.phone_code(PhoneNumber::new("13800138000"));
    assert_eq!(errcode(&redeem(&scene, &code).await), 40013);
}

#[tokio::test]
async fn a_country_code_keeps_its_json_type() {
    let scene = Scene::new();
    for country in [json!("852"), json!(852)] {
        let phone = PhoneNumber::new("91234567").country(country.clone());
        let response = redeem(&scene, &scene.sim.first_app().phone_code(phone)).await;
        assert_eq!(response["phone_info"]["countryCode"], country);
        assert_eq!(response["phone_info"]["phoneNumber"], "+85291234567");
    }
}
