//! The table of functions that the in-memory gateway hands to a plugin.

mod platform;
mod stream;

use super::{
    Reply,
    world::{Person, PlatformAnswer, Sent, SentRequest, World},
};
use crate::{User, raw};
use hmac::{Hmac, KeyInit, Mac};
use menlou_abi::*;
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

/// One call as the in-memory gateway keeps it.
pub(super) struct TestCall {
    world: Arc<Mutex<World>>,
    openid: Option<String>,
    /// What `exchange` and `test_identity` gave in this call.
    identities: RefCell<Vec<String>>,
    waker: Cell<Option<Waker>>,
    reply: Cell<Option<Reply>>,
    headers: Vec<(String, String)>,
    /// What is left of a body that the action reads itself.
    unread: Cell<Option<Vec<u8>>>,
    request: menlou_request,
    // What `request` borrows from.
    _texts: Vec<String>,
    _params: Vec<menlou_param>,
    _body: Vec<u8>,
}

/// One operation: pending at its first poll, so that every wait is a place where the client can hang up.
#[derive(Default)]
struct TestOp {
    polled: Cell<bool>,
    status: i32,
    http_status: u16,
    word: String,
    data: Vec<u8>,
    content_type: String,
}

impl TestCall {
    pub fn new(
        world: Arc<Mutex<World>>,
        action: &menlou_action,
        name: &str,
        (openid, user): (Option<&str>, Option<User>),
        params: &Value,
        sent: &Sent,
    ) -> *mut Self {
        let raw_body = action.flags & MENLOU_ACTION_RAW_BODY != 0;
        let Some(params) = params.as_object() else { panic!("parameters are a JSON object") };
        let mut texts = Vec::new();
        let mut keep = |text: String| {
            let s = raw::str(&text);
            texts.push(text); // the heap bytes stay where they are
            s
        };
        let params: Vec<menlou_param> = params
            .iter()
            .filter(|(_, value)| !value.is_null() && **value != "")
            .map(|(name, value)| menlou_param {
                name: keep(name.clone()),
                value: keep(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
                kind: if value.is_string() { MENLOU_PARAM_TEXT } else { MENLOU_PARAM_JSON },
                reserved: 0,
            })
            .collect();
        let body = sent.body.clone(); // its bytes stay where they are
        let request = menlou_request {
            struct_size: size_of::<menlou_request>() as u32,
            reserved: 0,
            deadline_unix_ms: NOW + 10_000,
            method: keep(sent.method.clone()),
            path: keep("/srv/".into()),
            tenant: keep("test".into()),
            action: keep(name.into()),
            request_id: keep("test-request".into()),
            remote_ip: keep("127.0.0.1".into()),
            language: keep("zh".into()),
            params: params.as_ptr(),
            params_len: params.len(),
            body: if raw_body { menlou_str::NONE } else { menlou_str::new(&body) },
            platform: openid.map_or(menlou_str::NONE, |_| keep("wechat".into())),
            openid: openid.map_or(menlou_str::NONE, |o| keep(o.into())),
            user_id: user.as_ref().map_or(0, |u| u.id),
            user_name: user.as_ref().map_or(menlou_str::NONE, |u| keep(u.name.clone())),
            user_avatar_url: user.as_ref().map_or(menlou_str::NONE, |u| keep(u.avatar_url.clone())),
            query: keep(sent.query.clone()),
            subpath: keep(sent.subpath.clone()),
        };
        Box::into_raw(Box::new(Self {
            world,
            openid: openid.map(str::to_owned),
            identities: RefCell::default(),
            waker: Cell::new(None),
            reply: Cell::new(None),
            headers: sent.headers.clone(),
            unread: Cell::new(raw_body.then(|| sent.body.clone())),
            _body: body,
            request,
            _texts: texts,
            _params: params,
        }))
    }

    /// # Safety
    /// `call` lives.
    pub unsafe fn request(call: *const Self) -> *const menlou_request {
        // SAFETY: the caller's promise.
        unsafe { &raw const (*call).request }
    }

    pub fn inside(&self, context: &mut Context<'_>, poll: impl FnOnce() -> i32) -> i32 {
        self.waker.set(Some(context.waker().clone()));
        let polled = poll();
        self.waker.set(None);
        polled
    }

    pub fn reply(&self) -> Option<Reply> {
        self.reply.take()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller's openid and the world, for an operation that needs a session.
    fn with_session(&self, f: impl FnOnce(&str, &mut World) -> *mut menlou_op) -> *mut menlou_op {
        match &self.openid {
            Some(openid) => f(openid, &mut self.world()),
            None => refused("login_required"),
        }
    }
}

const NOW: u64 = 1_700_000_000_000;

fn op(status: i32, http_status: u16, word: &str, data: Vec<u8>) -> *mut menlou_op {
    hand_out(TestOp { status, http_status, word: word.into(), data, ..TestOp::default() })
}

fn hand_out(op: TestOp) -> *mut menlou_op {
    Box::into_raw(Box::new(op)).cast()
}

fn done(data: Value) -> *mut menlou_op {
    op(MENLOU_READY, 0, "", data.to_string().into_bytes())
}

fn refused(word: &str) -> *mut menlou_op {
    op(MENLOU_ERR_WORD, 0, word, Vec::new())
}

fn not_found() -> *mut menlou_op {
    op(MENLOU_ERR_NOT_FOUND, 0, "", Vec::new())
}

fn user(user: User) -> *mut menlou_op {
    done(json!(user))
}

/// # Safety
/// `call` is a live [`TestCall`].
unsafe fn of<'a>(call: *mut menlou_call) -> &'a TestCall {
    // SAFETY: the caller's promise.
    unsafe { &*call.cast::<TestCall>() }
}

/// The values of a header that the test's request has.
fn header_values<'a>(call: &'a TestCall, name: &'a str) -> impl Iterator<Item = String> + 'a {
    call.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.clone())
}

/// # Safety
/// The bytes of `s` are text that lives during this call.
unsafe fn text(s: menlou_str) -> String {
    // SAFETY: the caller's promise.
    String::from_utf8_lossy(unsafe { s.bytes() }).into_owned()
}

pub(super) fn table(world: Arc<Mutex<World>>) -> menlou_host {
    // The table lives for ever, as the border says, and so does the test's world.
    let context = Box::into_raw(Box::new(world)).cast::<c_void>();
    menlou_host {
        struct_size: size_of::<menlou_host>() as u32,
        abi_major: MENLOU_ABI_MAJOR,
        abi_minor: MENLOU_ABI_MINOR,
        context,
        log_enabled,
        log,
        now_unix_ms,
        random,
        hmac_sha256,
        fault,
        header: stream::header,
        exchange,
        test_identity,
        session_open,
        session_current,
        session_end,
        phone_number,
        user_find,
        user_bind_new,
        user_bind_phone,
        user_bind_external,
        user_bind_password,
        user_unbind,
        user_update,
        http_send,
        sleep_ms,
        op_poll,
        op_drop,
        reply,
        waker_clone,
        waker_wake,
        waker_drop,
        platform_call: platform::call,
        decrypt: platform::decrypt,
        session_key_check: platform::session_key_check,
        session_key_reset: platform::session_key_reset,
        upstream_new: stream::upstream_new,
        forward: stream::forward,
        body_read: stream::body_read,
        answer_begin: stream::answer_begin,
        answer_write: stream::answer_write,
    }
}

/// # Safety
/// `host` is a table made by [`table`].
unsafe fn world_of<'a>(host: *const menlou_host) -> MutexGuard<'a, World> {
    // SAFETY: the caller's promise; the context is never freed.
    let world = unsafe { &*(*host).context.cast::<Arc<Mutex<World>>>() };
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

// SAFETY of all functions below: they are called by the SDK as the border says; calls are `TestCall`s, operations
// `TestOp`s, wakers boxed `Waker`s, all made here.

unsafe extern "C" fn log_enabled(_: *const menlou_host, _: u32) -> i32 {
    1
}

unsafe extern "C" fn log(
    host: *const menlou_host,
    _: *const menlou_call,
    _: u32,
    message: menlou_str,
    fields: *const menlou_kv,
    len: usize,
) {
    // SAFETY: see above.
    unsafe {
        let mut line = text(message);
        for i in 0..len {
            let field = &*fields.add(i);
            line += &format!(" {}={}", text(field.key), text(field.value));
        }
        world_of(host).logs.push(line);
    }
}

unsafe extern "C" fn now_unix_ms(_: *const menlou_host) -> u64 {
    NOW
}

unsafe extern "C" fn random(host: *const menlou_host, out: *mut u8, len: usize) -> i32 {
    // SAFETY: see above. Counted up, so that a test can be repeated.
    unsafe {
        let mut world = world_of(host);
        for i in 0..len {
            world.random = world.random.wrapping_add(1);
            *out.add(i) = world.random;
        }
    }
    MENLOU_READY
}

unsafe extern "C" fn hmac_sha256(_: *const menlou_host, key: menlou_str, message: menlou_str, out: *mut u8) -> i32 {
    // SAFETY: see above.
    unsafe {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.bytes()) else { return MENLOU_ERR_INVALID };
        mac.update(message.bytes());
        let tag = mac.finalize().into_bytes();
        ptr::copy_nonoverlapping(tag.as_ptr(), out, tag.len());
    }
    MENLOU_READY
}

unsafe extern "C" fn fault(setup: *mut menlou_setup, pointer: menlou_str, zh: menlou_str, en: menlou_str) {
    // SAFETY: see above; `setup` is the list that `Ready::new` handed out.
    unsafe { (*setup.cast::<Vec<(String, String, String)>>()).push((text(pointer), text(zh), text(en))) }
}

unsafe extern "C" fn exchange(call: *mut menlou_call, code: menlou_str, _: u32) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, code) = unsafe { (of(call), text(code)) };
    match call.world().codes.get(&code) {
        Some(Ok(openid)) => {
            call.identities.borrow_mut().push(openid.clone());
            done(json!({ "openid": openid }))
        }
        Some(Err(word)) => refused(word),
        None => refused("invalid_code"),
    }
}

unsafe extern "C" fn test_identity(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, openid) = unsafe { (of(call), text(openid)) };
    if !call.world().test_openids {
        return refused("test_openid_refused");
    }
    call.identities.borrow_mut().push(openid.clone());
    done(json!({ "openid": openid }))
}

unsafe extern "C" fn session_open(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, openid) = unsafe { (of(call), text(openid)) };
    if !call.identities.borrow().contains(&openid) {
        return ptr::null_mut();
    }
    let mut world = call.world();
    world.sessions.push(openid);
    done(json!({ "token": format!("token-{}", world.sessions.len()), "expires_in": 604_800 }))
}

unsafe extern "C" fn session_current(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    unsafe { of(call) }.with_session(|_, _| done(json!({ "token": "the-callers-token", "expires_in": 604_000 })))
}

unsafe extern "C" fn session_end(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    unsafe { of(call) }.with_session(|openid, world| {
        if let Some(at) = world.sessions.iter().position(|s| s == openid) {
            world.sessions.remove(at);
        }
        done(Value::Null)
    })
}

unsafe extern "C" fn phone_number(call: *mut menlou_call, code: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, code) = unsafe { (of(call), text(code)) };
    match call.world().phone_codes.get(&code) {
        Some(phone) => done(json!({ "phone": phone })),
        None => refused("invalid_code"),
    }
}

unsafe extern "C" fn user_find(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, openid) = unsafe { (of(call), text(openid)) };
    if call.openid.as_ref() != Some(&openid) && !call.identities.borrow().contains(&openid) {
        return ptr::null_mut();
    }
    match call.world().user_of(&openid) {
        Some(found) => user(found),
        None => not_found(),
    }
}

unsafe extern "C" fn user_bind_new(call: *mut menlou_call, name: menlou_str, avatar: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, name, avatar) = unsafe { (of(call), text(name), text(avatar)) };
    call.with_session(|openid, world| {
        user(match world.user_of(openid) {
            Some(bound) => bound,
            None => world.bind(openid, |_| false, Person::of, &name, &avatar),
        })
    })
}

unsafe extern "C" fn user_bind_phone(call: *mut menlou_call, phone: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, phone) = unsafe { (of(call), text(phone)) };
    call.with_session(|openid, world| {
        let found = |p: &Person| p.phone.as_ref() == Some(&phone);
        let make = |user| Person { phone: Some(phone.clone()), ..Person::of(user) };
        user(world.bind(openid, found, make, "", ""))
    })
}

unsafe extern "C" fn user_bind_external(
    call: *mut menlou_call,
    id: menlou_str,
    name: menlou_str,
    avatar: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, id, name, avatar) = unsafe { (of(call), text(id), text(name), text(avatar)) };
    call.with_session(|openid, world| {
        for person in world.people.iter_mut().filter(|p| p.external.as_ref() == Some(&id)) {
            (person.user.name, person.user.avatar_url) = (name.clone(), avatar.clone());
        }
        let found = |p: &Person| p.external.as_ref() == Some(&id);
        let make = |user| Person { external: Some(id.clone()), ..Person::of(user) };
        user(world.bind(openid, found, make, &name, &avatar))
    })
}

unsafe extern "C" fn user_bind_password(
    call: *mut menlou_call,
    account: menlou_str,
    password: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, given) = unsafe { (of(call), (text(account), text(password))) };
    call.with_session(|openid, world| {
        let Some(found) = world.people.iter().find(|p| p.account.as_ref() == Some(&given)).map(|p| p.user.clone())
        else {
            return refused("bad_credentials");
        };
        world.bindings.insert(openid.into(), found.id);
        user(found)
    })
}

unsafe extern "C" fn user_unbind(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    unsafe { of(call) }.with_session(|openid, world| {
        world.bindings.remove(openid);
        done(Value::Null)
    })
}

unsafe extern "C" fn user_update(call: *mut menlou_call, name: menlou_str, avatar: menlou_str) -> *mut menlou_op {
    // SAFETY: see above; a NULL text is "not given".
    let (call, name, avatar) =
        unsafe { (of(call), (!name.ptr.is_null()).then(|| text(name)), (!avatar.ptr.is_null()).then(|| text(avatar))) };
    call.with_session(|openid, world| {
        let Some(id) = world.bindings.get(openid).copied() else { return refused("login_required") };
        match world.people.iter_mut().find(|p| p.user.id == id) {
            Some(person) => {
                person.user.name = name.unwrap_or_else(|| person.user.name.clone());
                person.user.avatar_url = avatar.unwrap_or_else(|| person.user.avatar_url.clone());
                user(person.user.clone())
            }
            None => not_found(),
        }
    })
}

unsafe extern "C" fn http_send(call: *mut menlou_call, request: *const menlou_http_request) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, sent) = unsafe {
        let r = &*request;
        let headers = (0..r.headers_len).map(|i| &*r.headers.add(i)).map(|h| (text(h.key), text(h.value))).collect();
        (of(call), SentRequest { method: text(r.method), url: text(r.url), headers, body: r.body.bytes().to_vec() })
    };
    let mut world = call.world();
    let answer = world.answers.iter().find(|a| a.method == sent.method && sent.url.starts_with(&a.url));
    let outcome = match answer {
        Some(a) => op(MENLOU_READY, a.status, "", a.body.clone()),
        None => refused("upstream_unreachable"),
    };
    world.sent.push(sent);
    outcome
}

unsafe extern "C" fn sleep_ms(_: *mut menlou_call, _: u64) -> *mut menlou_op {
    done(Value::Null)
}

unsafe extern "C" fn op_poll(call: *mut menlou_call, op: *mut menlou_op, outcome: *mut menlou_outcome) -> i32 {
    // SAFETY: see above; an operation of NULL is one that was refused for its arguments.
    unsafe {
        let Some(op) = op.cast::<TestOp>().as_ref() else { return MENLOU_ERR_INVALID };
        if !op.polled.replace(true) {
            if let Some(waker) = of(call).waker.take() {
                waker.wake_by_ref();
                of(call).waker.set(Some(waker));
            }
            return MENLOU_PENDING;
        }
        (*outcome).status = op.status;
        (*outcome).http_status = op.http_status.into();
        (*outcome).word = raw::str(&op.word);
        (*outcome).data = menlou_str::new(&op.data);
        (*outcome).content_type = raw::str(&op.content_type);
    }
    MENLOU_READY
}

unsafe extern "C" fn op_drop(op: *mut menlou_op) {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(op.cast::<TestOp>()) });
}

unsafe extern "C" fn reply(call: *mut menlou_call, reply: *const menlou_reply) -> i32 {
    // SAFETY: see above.
    unsafe {
        let r = &*reply;
        let data = match r.data.bytes() {
            [] => json!({}),
            bytes => serde_json::from_slice(bytes).unwrap_or(Value::Null),
        };
        if !data.is_object() {
            return MENLOU_ERR_INVALID;
        }
        let given = |s: menlou_str| (!s.ptr.is_null()).then(|| text(s));
        let file = given(r.content_type).map(|content_type| (content_type, r.body.bytes().to_vec()));
        let msg = given(r.msg_zh).zip(given(r.msg_en));
        if let Some(first) = of(call).reply.take() {
            of(call).reply.set(Some(first));
            return MENLOU_ERR_INVALID;
        }
        of(call).reply.set(Some(Reply { error: given(r.word), msg, data, file }));
    }
    MENLOU_READY
}

unsafe extern "C" fn waker_clone(call: *mut menlou_call) -> *mut menlou_waker {
    // SAFETY: see above.
    let cell = &unsafe { of(call) }.waker;
    let waker = cell.take();
    cell.set(waker.clone());
    Box::into_raw(Box::new(waker.unwrap_or_else(|| Waker::noop().clone()))).cast()
}

unsafe extern "C" fn waker_wake(waker: *const menlou_waker) {
    // SAFETY: see above.
    unsafe { (*waker.cast::<Waker>()).wake_by_ref() }
}

unsafe extern "C" fn waker_drop(waker: *mut menlou_waker) {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(waker.cast::<Waker>()) });
}
