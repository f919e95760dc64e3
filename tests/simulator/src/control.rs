//! The control side under `/_sim/`: what the library's methods do, over HTTP.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::App;
use crate::failure::{EVERY_PATH, Failure};
use crate::params::Params;
use crate::random;
use crate::wechat;
use crate::world::login::Who;
use crate::world::phone::PhoneNumber;
use crate::world::{CODE_TTL_MS, World};

/// Where the control side is; the platform has nothing there.
pub(crate) const PREFIX: &str = "/_sim/";

type Outcome = Result<Value, String>;

/// Carries a control call out. Whatever changes how the platform behaves must be a POST, so that
/// no page preview or crawler does it.
pub(crate) fn control(world: &mut World, method: &Method, name: &str, query: &str, body: &[u8]) -> (StatusCode, Value) {
    let (either, run): (bool, fn(&mut World, &mut Params) -> Outcome) = match name {
        "code" => (true, code),
        "phone_code" => (true, phone_code),
        "session_key" => (true, session_key),
        "calls" => (true, calls),
        "reset_calls" => (false, reset_calls),
        "fail" => (false, fail),
        "clear" => (false, clear),
        "app" => (false, app),
        "expire_token" => (false, expire_token),
        "expire_code" => (false, expire_code),
        "advance" => (false, advance),
        "agree" => (false, agree),
        _ => return refuse(StatusCode::NOT_FOUND, "no such control; see the start page"),
    };
    let post = *method == Method::POST;
    if !(post || either && *method == Method::GET) {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "use POST");
    }
    let outcome = Params::parse(query, body).and_then(|mut params| {
        let value = run(world, &mut params)?;
        params.done()?;
        Ok(value)
    });
    match outcome {
        Ok(value) => (StatusCode::OK, value),
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error),
    }
}

fn refuse(status: StatusCode, error: &str) -> (StatusCode, Value) {
    (status, json!({"error": error}))
}

fn code(world: &mut World, params: &mut Params) -> Outcome {
    let appid = registered(world, params)?;
    let (code, who) = match named(params)? {
        Named::Person(person) => world.code_for_person(&appid, &person),
        Named::Openid(openid) => world.code_for_openid(&appid, &openid),
    };
    let Who { openid, unionid } = who;
    Ok(json!({
        "appid": &*appid,
        "code": code,
        "expires_in": CODE_TTL_MS / 1000,
        "openid": openid,
        "unionid": unionid,
    }))
}

fn phone_code(world: &mut World, params: &mut Params) -> Outcome {
    let appid = registered(world, params)?;
    let mut phone = PhoneNumber::new(params.required("phone")?);
    if let Some(country) = params.value("country") {
        phone = phone.country(country);
    }
    if let Some(fault) = phone.fault() {
        return Err(fault.to_owned());
    }
    let openid = optional_name(params)?.map(|named| named.openid(&appid));
    let code = world.phone_code(&appid, phone, openid);
    Ok(json!({"appid": &*appid, "code": code, "expires_in": CODE_TTL_MS / 1000}))
}

fn session_key(world: &mut World, params: &mut Params) -> Outcome {
    let appid = registered(world, params)?;
    let openid = named(params)?.openid(&appid);
    let person = world.people.get_mut(&appid, &openid);
    let session_key = person.and_then(|person| person.session_key.as_deref());
    Ok(json!({"openid": openid, "session_key": session_key}))
}

fn calls(world: &mut World, _: &mut Params) -> Outcome {
    let calls = world.calls();
    Ok(json!({"calls": calls, "total": calls.values().sum::<u64>()}))
}

fn reset_calls(world: &mut World, _: &mut Params) -> Outcome {
    world.reset_calls();
    Ok(json!({}))
}

fn fail(world: &mut World, params: &mut Params) -> Outcome {
    let path = params.text("path")?.unwrap_or_else(|| EVERY_PATH.to_owned());
    if path != EVERY_PATH && wechat::endpoint(&path).is_none() {
        return Err(format!("path is neither an endpoint nor {EVERY_PATH}"));
    }
    let kind = params.required("kind")?;
    let mut failure = match kind.as_str() {
        "errcode" => {
            let errcode = params.number("errcode")?.ok_or("errcode is missing")?;
            match params.text("errmsg")? {
                Some(errmsg) => Failure::errcode_with_text(errcode, errmsg),
                None => Failure::errcode(errcode),
            }
        }
        "delay" => {
            let ms = params.number("delay_ms")?.ok_or("delay_ms is missing")?;
            Failure::delay(Duration::from_millis(ms))
        }
        "hang" => Failure::hang(),
        "drop" => Failure::drop_connection(),
        "status" => match params.number("status")?.unwrap_or(500) {
            status @ 400..600 => Failure::status(status),
            _ => return Err("status is not a number from 400 to 599".to_owned()),
        },
        "truncate" => Failure::truncate(),
        _ => return Err("kind is none of errcode, delay, hang, drop, status, truncate".to_owned()),
    };
    if params.flag("after_effect")? {
        failure = failure.after_effect();
    }
    let times = params.number("times")?;
    world.failures.add(&path, failure, times);
    Ok(json!({"path": path, "kind": kind, "times": times}))
}

fn clear(world: &mut World, _: &mut Params) -> Outcome {
    world.failures.clear();
    Ok(json!({}))
}

fn app(world: &mut World, params: &mut Params) -> Outcome {
    let appid = params.required("appid")?;
    let mut app = App::new(&appid, params.required("secret")?);
    app.open_platform = match params.text("open_platform")? {
        Some(account) => Some(account),
        None => world.app(&appid).and_then(|known| known.open_platform.clone()),
    };
    app.previous_secret = params.text("previous_secret")?;
    world.register(app)?;
    Ok(json!({"appid": appid}))
}

fn expire_token(world: &mut World, params: &mut Params) -> Outcome {
    let appid = registered(world, params)?;
    let now = world.clock.now_ms();
    if params.flag("revoke")? {
        world.tokens.revoke_all(&appid, now);
    } else {
        world.tokens.expire_all(&appid, now);
    }
    Ok(json!({"appid": &*appid}))
}

fn expire_code(world: &mut World, params: &mut Params) -> Outcome {
    if world.expire_code(&params.required("code")?) { Ok(json!({})) } else { Err("no such code".to_owned()) }
}

fn advance(world: &mut World, params: &mut Params) -> Outcome {
    let seconds = params.number("seconds")?.ok_or("seconds is missing")?;
    world.clock.advance(Duration::from_secs(seconds));
    Ok(json!({"now": world.clock.now_s()}))
}

fn agree(world: &mut World, params: &mut Params) -> Outcome {
    let appid = registered(world, params)?;
    let openid = named(params)?.openid(&appid);
    let template = params.required("template_id")?;
    let times = params.number("times")?.unwrap_or(1);
    let person = world.people.get_mut(&appid, &openid);
    let person = person.ok_or("the app has not met this person: make a login code first")?;
    person.agree(&template, times);
    Ok(json!({"openid": openid, "template_id": template}))
}

/// The app that `appid` names; the first one if absent.
fn registered(world: &World, params: &mut Params) -> Result<Arc<str>, String> {
    match params.text("appid")? {
        None => Ok(world.first_app()),
        Some(appid) => world.known_appid(&appid).ok_or_else(|| "appid is not registered".to_owned()),
    }
}

enum Named {
    Person(String),
    Openid(String),
}

impl Named {
    fn openid(self, appid: &str) -> String {
        match self {
            Self::Person(person) => random::openid(appid, &person),
            Self::Openid(openid) => openid,
        }
    }
}

/// The person that `person` or `openid` names.
fn named(params: &mut Params) -> Result<Named, String> {
    optional_name(params)?.ok_or_else(|| "person (any name) or openid is missing".to_owned())
}

fn optional_name(params: &mut Params) -> Result<Option<Named>, String> {
    match (params.text("person")?, params.text("openid")?) {
        (Some(person), None) => Ok(Some(Named::Person(person))),
        (None, Some(openid)) => Ok(Some(Named::Openid(openid))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("person and openid are given both: give one".to_owned()),
    }
}
