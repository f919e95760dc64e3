//! The plugin border: the C types and functions by which the gateway and an action's shared library know each other.
//!
//! `menlou_plugin.h` is made from this file and kept equal to it by a test, so names and comments are C's.
//!
//! **Trust.** A plugin is native code in the gateway's process: what it does, the gateway does. The border contains
//! mistakes, not malice: a panic fails one call, a file that doesn't fit is refused. It can't contain what ends or stops a
//! process or thread: `abort`, a bad pointer, a function that never returns.
//!
//! **Rules**
//! 1. Text is UTF-8 with a length, not NUL-terminated; `{NULL, 0}` is "not given". Numbers are plain integers, never enums.
//! 2. Who allocates frees; nothing is freed across the border. What a plugin passes is copied before the function
//!    returns. What the gateway passes is borrowed: a request until `drop`, an outcome until `op_drop`, the host table for ever.
//! 3. A plugin never blocks. It starts operations, polls them, and returns `MENLOU_PENDING` where one is pending. A thread
//!    that is kept for 100 ms is told in the log.
//! 4. `start`, `poll` and `drop` of one call never run at the same time, but may run on different threads.
//! 5. Nothing unwinds or jumps out of a function of this border: the process would abort.
//! 6. Structs grow at their end only and tell their size; constants are added, never changed. All else is a new major.
//! 7. A function marked "any thread" may be called anywhere; the others only inside `start` and `poll`, with that call. Else,
//!    and with a call or an operation that has ended, they do nothing and answer NULL or `MENLOU_ERR_INVALID`.
//! 8. A library is never unmapped, so its statics and its host table live as long as the process.
#![no_std]
#![allow(non_camel_case_types)]

use core::ffi::c_void;

/// A gateway and a plugin of different majors don't work together.
pub const MENLOU_ABI_MAJOR: u16 = 1;
/// A plugin may use what a higher minor added, if the gateway's table is long enough to have it.
pub const MENLOU_ABI_MINOR: u16 = 0;

/// An operation or a call goes on: poll again when woken.
pub const MENLOU_PENDING: i32 = 0;
/// Done.
pub const MENLOU_READY: i32 = 1;
/// The plugin panicked; its SDK caught it.
pub const MENLOU_ERR_PANIC: i32 = -1;
/// It failed for a reason that only the log knows.
pub const MENLOU_ERR_FAILED: i32 = -2;
/// There is no such thing: no such user, no such header.
pub const MENLOU_ERR_NOT_FOUND: i32 = -3;
/// The gateway refused or could not serve; the outcome's `word` says why.
pub const MENLOU_ERR_CODE: i32 = -4;
/// An argument or the place of the call is wrong: a mistake in the plugin.
pub const MENLOU_ERR_INVALID: i32 = -5;

/// Log levels.
pub const MENLOU_LOG_ERROR: u32 = 1;
/// A thing to look into.
pub const MENLOU_LOG_WARN: u32 = 2;
/// Worth knowing.
pub const MENLOU_LOG_INFO: u32 = 3;
/// For whoever looks for a fault.
pub const MENLOU_LOG_DEBUG: u32 = 4;
/// Everything.
pub const MENLOU_LOG_TRACE: u32 = 5;

/// Whoever calls is served.
pub const MENLOU_ACCESS_ANYONE: u32 = 0;
/// The caller needs a session: the request has an `openid`.
pub const MENLOU_ACCESS_SESSION: u32 = 1;
/// The caller needs a session whose openid is bound to an account: the request has a `user_id`.
pub const MENLOU_ACCESS_USER: u32 = 2;
/// As the action's setting `auth` says in each tenant: `session` (also where it is not given), `required` for
/// `MENLOU_ACCESS_USER`, or `optional`: whoever calls is served, and the request has an `openid` where a token came along (one
/// that is no good is refused).
pub const MENLOU_ACCESS_BY_SETTING: u32 = 3;

/// `menlou_param.value` is text.
pub const MENLOU_PARAM_TEXT: u32 = 0;
/// `menlou_param.value` is JSON: a number, a boolean, an array or an object.
pub const MENLOU_PARAM_JSON: u32 = 1;

/// The body is not read before the call, which may so have any media type and size: it comes by `body_read`, or goes on by
/// `forward`. Parameters are those of the query only.
pub const MENLOU_ACTION_RAW_BODY: u64 = 1;
/// The query is not read before the call, and so gives no parameters: it comes as `menlou_request.query`.
pub const MENLOU_ACTION_RAW_QUERY: u64 = 2;
/// The URL may go on below the action: `/srv/<tenant>/<action>/…`.
pub const MENLOU_ACTION_SUBPATHS: u64 = 4;

/// Built so that a panic unwinds to the guard in the plugin (Rust: panic=unwind), or in a language without panics.
pub const MENLOU_FLAG_CONTAINS_PANICS: u64 = 1;

/// Borrowed bytes: UTF-8 text unless said otherwise. `{NULL, 0}` is "not given".
#[repr(C)]
#[derive(Clone, Copy)]
pub struct menlou_str {
    /// The first byte; may be NULL where `len` is 0.
    pub ptr: *const u8,
    /// How many bytes.
    pub len: usize,
}

/// A name and its value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct menlou_kv {
    /// The name.
    pub key: menlou_str,
    /// Its value.
    pub value: menlou_str,
}

/// One parameter of a request, checked against the action's `params_schema`. Names are unique; none is empty.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct menlou_param {
    /// The parameter's name.
    pub name: menlou_str,
    /// Its value, as `kind` says.
    pub value: menlou_str,
    /// `MENLOU_PARAM_…`.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

/// One call in flight. The gateway's; no address, so there is nothing to be read at it.
pub struct menlou_call {
    _private: (),
}

/// One operation of the gateway, asked for by a call. The gateway's, until `op_drop`; no address either. A call has at most
/// 10,000 that were not dropped.
pub struct menlou_op {
    _private: (),
}

/// Wakes one call from any thread. The gateway's, until `waker_drop`.
pub struct menlou_waker {
    _private: (),
}

/// A tenant's settings being looked at, where faults are told. The gateway's, valid inside `configure`.
pub struct menlou_setup {
    _private: (),
}

/// Servers that calls are forwarded to. The gateway's, from `upstream_new` until `release`.
pub struct menlou_upstream {
    _private: (),
}

/// What was asked. Borrowed until the call's `drop`.
#[repr(C)]
pub struct menlou_request {
    /// Size of this struct as the gateway has it.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// When the gateway gives up on the call, Unix milliseconds; put off while a body that is not read before goes on coming.
    pub deadline_unix_ms: u64,
    /// `POST`.
    pub method: menlou_str,
    /// The path of the URL.
    pub path: menlou_str,
    /// The tenant's name, the `f` of the URL.
    pub tenant: menlou_str,
    /// The action's name in the tenant file, the `a` of the URL.
    pub action: menlou_str,
    /// What the answer's `X-Request-Id` and the log carry.
    pub request_id: menlou_str,
    /// The client's address.
    pub remote_ip: menlou_str,
    /// The caller's language: `zh` or `en`.
    pub language: menlou_str,
    /// The parameters of query and body.
    pub params: *const menlou_param,
    /// How many.
    pub params_len: usize,
    /// The body as it came; any bytes. Not given to an action with `MENLOU_ACTION_RAW_BODY`.
    pub body: menlou_str,
    /// The platform of the caller's session (`wechat`); not given without a session.
    pub platform: menlou_str,
    /// The openid of the caller's session; not given without a session.
    pub openid: menlou_str,
    /// The account that the openid is bound to; 0 unless the action needs a user.
    pub user_id: i64,
    /// Its name.
    pub user_name: menlou_str,
    /// Its picture.
    pub user_avatar_url: menlou_str,
    /// The query of the URL as it came, without `f` and `a`. Only with `MENLOU_ACTION_RAW_QUERY`.
    pub query: menlou_str,
    /// What the URL's path has after the action, from its `/` on, as it came; without `.` and `..` segments. Only with
    /// `MENLOU_ACTION_SUBPATHS`.
    pub subpath: menlou_str,
}

/// What an operation came to. The plugin sets `struct_size`; the rest is borrowed until `op_drop`.
#[repr(C)]
pub struct menlou_outcome {
    /// Size of this struct as the plugin has it.
    pub struct_size: u32,
    /// `MENLOU_READY` or `MENLOU_ERR_…`.
    pub status: i32,
    /// Of `http_send` and `forward`: the status of the answer.
    pub http_status: u32,
    /// Zero.
    pub reserved: u32,
    /// With `MENLOU_ERR_CODE`: the error's word.
    pub error_code: menlou_str,
    /// JSON as each operation says; of `http_send` and of a file the body, any bytes.
    pub data: menlou_str,
    /// Of `platform_call`: the media type, where the answer is a file and no JSON.
    pub content_type: menlou_str,
}

/// The answer to a call.
#[repr(C)]
pub struct menlou_reply {
    /// Size of this struct as the plugin has it.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Not given: success. Else the error's word, `[a-z0-9_]+`: one of the gateway's, or the plugin's own.
    pub error_code: menlou_str,
    /// The sentence for people in Chinese. Not given: that of the gateway's own table.
    pub msg_zh: menlou_str,
    /// The same in English.
    pub msg_en: menlou_str,
    /// A JSON object, the answer's `data`. Not given: `{}`.
    pub data: menlou_str,
    /// A file in place of an envelope: its media type, `image/jpeg`. Then neither `word` nor `data` is given.
    pub content_type: menlou_str,
    /// Its bytes.
    pub body: menlou_str,
}

/// An HTTP request that the gateway sends for a plugin.
#[repr(C)]
pub struct menlou_http_request {
    /// Size of this struct as the plugin has it.
    pub struct_size: u32,
    /// Milliseconds for the whole exchange; 0 is the gateway's default. The call's own deadline bounds it.
    pub timeout_ms: u32,
    /// `GET`, `POST`, …
    pub method: menlou_str,
    /// `http://` or `https://`.
    pub url: menlou_str,
    /// The headers.
    pub headers: *const menlou_kv,
    /// How many.
    pub headers_len: usize,
    /// The body; any bytes.
    pub body: menlou_str,
}

/// Servers to be made an upstream: the calls go to the one with the least to do.
#[repr(C)]
pub struct menlou_upstream_options {
    /// Size of this struct as the plugin has it.
    pub struct_size: u32,
    /// After how many failures in a row a server is left alone; 0: never.
    pub break_after: u32,
    /// For how long, in milliseconds. Then one call tries it.
    pub break_for_ms: u32,
    /// How often each server is asked whether it is well, in milliseconds; only with `health_path`.
    pub health_interval_ms: u32,
    /// `http://` or `https://`, each perhaps with a path that goes before each target.
    pub servers: *const menlou_str,
    /// How many, at least 1.
    pub servers_len: usize,
    /// What servers are asked for by GET: they are well where they answer 2xx or 3xx. Not given: they are not asked.
    pub health_path: menlou_str,
    /// JSON pointer into the settings where faults of the servers are told (`/upstream`).
    pub servers_pointer: menlou_str,
    /// The same for those of the health checks.
    pub health_pointer: menlou_str,
}

/// A call forwarded to an upstream: its method and body go on as they come, with the headers said here.
#[repr(C)]
pub struct menlou_forward {
    /// Size of this struct as the plugin has it.
    pub struct_size: u32,
    /// Milliseconds from the last byte of the body until the head of the answer, and for each pause within the answer; 0 is
    /// the gateway's default. The call's own deadline bounds the former.
    pub timeout_ms: u32,
    /// How many more attempts there may be where a server can't be reached or breaks off; an attempt that may have been
    /// received is repeated only for idempotent methods.
    pub retries: u32,
    /// Zero.
    pub reserved: u32,
    /// The largest body, in bytes; 0: any.
    pub max_body: u64,
    /// Where it goes: of the same action and tenant.
    pub upstream: *const menlou_upstream,
    /// Path and query; starts with `/`.
    pub target: menlou_str,
    /// Names of the request's headers that go along as they came. `authorization` and those of one connection never do.
    pub pass_headers: *const menlou_str,
    /// How many.
    pub pass_headers_len: usize,
    /// Headers besides, in place of any passed of the same name.
    pub headers: *const menlou_kv,
    /// How many.
    pub headers_len: usize,
}

/// What the gateway does for plugins, all of it within the call's tenant. Fields are only ever added at the end: a
/// plugin that uses one past ABI 1.0 looks at `struct_size` first.
#[repr(C)]
pub struct menlou_host {
    /// Size of this struct as the gateway has it.
    pub struct_size: u32,
    /// `MENLOU_ABI_MAJOR` of the gateway.
    pub abi_major: u16,
    /// `MENLOU_ABI_MINOR` of the gateway.
    pub abi_minor: u16,
    /// The gateway's own.
    pub context: *mut c_void,

    /// Any thread. 1 where a line of this level would be kept.
    pub log_enabled: unsafe extern "C" fn(host: *const menlou_host, level: u32) -> i32,
    /// Any thread. `call` may be NULL; the line names it where this thread is inside of it. Never log a secret, a code, a token or a phone number.
    pub log: unsafe extern "C" fn(
        host: *const menlou_host,
        call: *const menlou_call,
        level: u32,
        message: menlou_str,
        fields: *const menlou_kv,
        fields_len: usize,
    ),
    /// Any thread. Unix milliseconds.
    pub now_unix_ms: unsafe extern "C" fn(host: *const menlou_host) -> u64,
    /// Any thread. Fills `out` with bytes fit for keys. `MENLOU_READY` or an error.
    pub random: unsafe extern "C" fn(host: *const menlou_host, out: *mut u8, len: usize) -> i32,
    /// Any thread. Writes 32 bytes to `out`. `MENLOU_READY` or an error.
    pub hmac_sha256:
        unsafe extern "C" fn(host: *const menlou_host, key: menlou_str, message: menlou_str, out: *mut u8) -> i32,

    /// Inside `configure` only. Tells a fault at a JSON pointer into the settings (RFC 6901; "" is the whole).
    pub config_error:
        unsafe extern "C" fn(setup: *mut menlou_setup, pointer: menlou_str, msg_zh: menlou_str, msg_en: menlou_str),

    /// A header of the request by its lower-case name, borrowed until the call's `drop`. `MENLOU_READY` or
    /// `MENLOU_ERR_NOT_FOUND`; `authorization` is never found.
    pub header: unsafe extern "C" fn(call: *mut menlou_call, name: menlou_str, out: *mut menlou_str) -> i32,

    /// Asks the platform whose login code this is; the same code again within the window is answered as the first was.
    /// Data: `{"openid":str,"unionid"?:str}`.
    pub exchange:
        unsafe extern "C" fn(call: *mut menlou_call, code: menlou_str, replay_window_ms: u32) -> *mut menlou_op,
    /// Takes an openid without a code, where the gateway's config allows that. Data as `exchange`.
    pub test_identity: unsafe extern "C" fn(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op,
    /// Opens a session for an openid that this call got by `exchange` or `test_identity`.
    /// Data: `{"token":str,"expires_in":seconds}`.
    pub session_open: unsafe extern "C" fn(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op,
    /// The caller's session, with the token that the caller sent. Data as `session_open`.
    pub session_current: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,
    /// Ends the caller's session. No data.
    pub session_end: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,
    /// Asks the platform for the phone number behind a phone code. Data: `{"phone":"+8613800138000"}`.
    pub phone_number: unsafe extern "C" fn(call: *mut menlou_call, phone_code: menlou_str) -> *mut menlou_op,

    /// The account that an openid of this tenant is bound to: the caller's, or one that this call got by `exchange`
    /// or `test_identity`. Data: `{"id":int,"name":str,"avatar_url":str}`, or `MENLOU_ERR_NOT_FOUND`.
    pub user_find: unsafe extern "C" fn(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op,
    /// Binds the caller's openid to a new account; where it is bound already, that account as it is. Data as `user_find`.
    pub user_bind_new:
        unsafe extern "C" fn(call: *mut menlou_call, name: menlou_str, avatar_url: menlou_str) -> *mut menlou_op,
    /// Binds the caller's openid to the account with this phone number, made if there is none. Data as `user_find`.
    pub user_bind_phone: unsafe extern "C" fn(call: *mut menlou_call, phone: menlou_str) -> *mut menlou_op,
    /// Binds the caller's openid to the account that the tenant's own login service knows by `id`, made if there is
    /// none, and brings name and picture up to date. Data as `user_find`.
    pub user_bind_external: unsafe extern "C" fn(
        call: *mut menlou_call,
        id: menlou_str,
        name: menlou_str,
        avatar_url: menlou_str,
    ) -> *mut menlou_op,
    /// Checks account and password, attempts being limited per account and per address, and binds the caller's openid
    /// to the account. Data as `user_find`.
    pub user_bind_password:
        unsafe extern "C" fn(call: *mut menlou_call, account: menlou_str, password: menlou_str) -> *mut menlou_op,
    /// Takes the binding of the caller's openid away; the account stays. No data.
    pub user_unbind: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,
    /// Changes name and picture of the caller's account where given (`{NULL, 0}` leaves as it is). Data as `user_find`.
    pub user_update:
        unsafe extern "C" fn(call: *mut menlou_call, name: menlou_str, avatar_url: menlou_str) -> *mut menlou_op,

    /// Sends an HTTP request from the gateway; redirects are not followed.
    pub http_send: unsafe extern "C" fn(call: *mut menlou_call, request: *const menlou_http_request) -> *mut menlou_op,
    /// Waits. No data.
    pub sleep_ms: unsafe extern "C" fn(call: *mut menlou_call, ms: u64) -> *mut menlou_op,

    /// Inside `poll`. `MENLOU_READY` fills the outcome, each time until `op_drop`; `MENLOU_PENDING` has `poll` called again; `MENLOU_ERR_INVALID`.
    /// An `op` is NULL where its arguments were no good; polling that is `MENLOU_ERR_INVALID` too, and so is polling
    /// the `op` of another call.
    pub op_poll: unsafe extern "C" fn(call: *mut menlou_call, op: *mut menlou_op, outcome: *mut menlou_outcome) -> i32,
    /// Any thread. Frees an operation, and gives up on it if it is running: a write may or may not have happened. Once for
    /// each operation, at the latest in the call's `drop`: what is still running then is given up, and told in the log.
    pub op_drop: unsafe extern "C" fn(op: *mut menlou_op),

    /// Answers the call; then `poll` returns `MENLOU_READY`. `MENLOU_READY`, or `MENLOU_ERR_INVALID` for an answer
    /// that is no JSON object, a bad word, or a second answer.
    pub reply: unsafe extern "C" fn(call: *mut menlou_call, reply: *const menlou_reply) -> i32,

    /// Inside `poll`. A handle to have `poll` called again because of something that the gateway does not know of.
    pub waker_clone: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_waker,
    /// Any thread, also after the call's end.
    pub waker_wake: unsafe extern "C" fn(waker: *const menlou_waker),
    /// Any thread.
    pub waker_drop: unsafe extern "C" fn(waker: *mut menlou_waker),

    /// Calls the platform with the tenant's access token, which never reaches the plugin. `method` is `GET` or `POST`;
    /// `path` is of plain segments (`/wxa/msg_sec_check`), none that gives out credentials; `fields` is a JSON object
    /// without `access_token`, the query of a GET and the JSON body of a POST. Data: the answer's fields without
    /// errcode 0 and errmsg, or a file with its `content_type`.
    pub platform_call: unsafe extern "C" fn(
        call: *mut menlou_call,
        method: menlou_str,
        path: menlou_str,
        fields: menlou_str,
    ) -> *mut menlou_op,
    /// Opens what the platform encrypted for the caller, with the session's key, which never reaches the plugin; refused
    /// where it is another mini-program's or older than `max_age_ms`. Data: the JSON object within.
    pub decrypt: unsafe extern "C" fn(
        call: *mut menlou_call,
        encrypted_data: menlou_str,
        iv: menlou_str,
        max_age_ms: u64,
    ) -> *mut menlou_op,
    /// Asks the platform whether the key of the caller's session is still valid; the word `session_expired` where it is
    /// not. No data.
    pub session_key_check: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,
    /// Has the platform give the caller a new key, and keeps it in the session. No data.
    pub session_key_reset: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,

    /// Inside `configure` only. Makes an upstream for the calls of this action in this tenant, the gateway's until
    /// `release`. NULL where the options are no good, which is told as a fault.
    pub upstream_new:
        unsafe extern "C" fn(setup: *mut menlou_setup, options: *const menlou_upstream_options) -> *mut menlou_upstream,
    /// Answers the call from an upstream. Once it is ready, head and status are there and the call is answered: then
    /// `poll` returns `MENLOU_READY` without `reply`, and the gateway moves the bytes. No data.
    pub forward: unsafe extern "C" fn(call: *mut menlou_call, forward: *const menlou_forward) -> *mut menlou_op,
    /// The next piece of the body, with `MENLOU_ACTION_RAW_BODY`. Data: any bytes, at least one; `MENLOU_ERR_NOT_FOUND` at
    /// the end. One at a time, and none once it is forwarded.
    pub body_read: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,
    /// Begins an answer that is written piece by piece, without an envelope: its media type, `text/csv`. The head goes
    /// out; then `response_write`, and at last `MENLOU_READY` from `poll` without `reply`. Where `poll` fails instead, the
    /// connection is cut, so that the client sees it. `MENLOU_READY`, or `MENLOU_ERR_INVALID` for a second answer.
    pub response_begin: unsafe extern "C" fn(call: *mut menlou_call, content_type: menlou_str) -> i32,
    /// Writes a piece of it: ready when the one before has gone to the client's connection. No data.
    pub response_write: unsafe extern "C" fn(call: *mut menlou_call, piece: menlou_str) -> *mut menlou_op,
}

/// One action of a plugin.
#[repr(C)]
pub struct menlou_action {
    /// Size of this struct as the plugin has it.
    pub struct_size: u32,
    /// `MENLOU_ACCESS_…`: who is served.
    pub access: u32,
    /// `MENLOU_ACTION_…`.
    pub flags: u64,
    /// `[a-z0-9][a-z0-9_-]{0,63}`; a tenant file switches it on by this name.
    pub name: menlou_str,
    /// HTTP methods it serves, comma-separated. Not given: `POST`.
    pub methods: menlou_str,
    /// A few words in Chinese.
    pub title_zh: menlou_str,
    /// The same in English.
    pub title_en: menlou_str,
    /// What it does, in Chinese.
    pub description_zh: menlou_str,
    /// The same in English.
    pub description_en: menlou_str,
    /// JSON Schema (2020-12) of the parameters, an object. Not given: any.
    pub params_schema: menlou_str,
    /// JSON Schema of the answer's `data`, an object. Not given: any. Where the answer may be a file instead, its keyword
    /// `x-file` lists the media types: `["image/jpeg"]`, `["image/*"]`, `["*/*"]`.
    pub data_schema: menlou_str,
    /// JSON Schema of the action's table in the tenant file. Not given: no settings. A text property with
    /// `"format": "secret"` may stand in the file as `env:…` or `file:…` and comes resolved. One with `"format": "address"`
    /// is where the gateway connects to: a tenant's own admin can't set it.
    pub settings_schema: menlou_str,
    /// Makes ready the settings of one tenant, once, before any call; may be NULL. `settings` is JSON that fits the
    /// schema. `MENLOU_READY`, or an error after telling each fault by `host->config_error`.
    pub configure: Option<
        unsafe extern "C" fn(
            host: *const menlou_host,
            setup: *mut menlou_setup,
            tenant: menlou_str,
            settings: menlou_str,
            out: *mut *mut c_void,
        ) -> i32,
    >,
    /// Frees what `configure` made, after the last call with it; may be NULL.
    pub release: Option<unsafe extern "C" fn(settings: *mut c_void)>,
    /// Begins a call, without blocking. `state` goes to `poll` and `drop`. `MENLOU_READY`, or an error: then neither follows.
    pub start: Option<
        unsafe extern "C" fn(
            host: *const menlou_host,
            call: *mut menlou_call,
            request: *const menlou_request,
            settings: *const c_void,
            state: *mut *mut c_void,
        ) -> i32,
    >,
    /// Goes on with it. `MENLOU_PENDING`; `MENLOU_READY` after `reply`; or an error. Not called again after the last two.
    pub poll: Option<unsafe extern "C" fn(state: *mut c_void, call: *mut menlou_call) -> i32>,
    /// Ends it, whatever it came to; exactly once, not during `poll`. Called early where the client has gone.
    pub drop: Option<unsafe extern "C" fn(state: *mut c_void)>,
}

/// A plugin. Lives as long as the process.
#[repr(C)]
pub struct menlou_plugin {
    /// `MENLOU_MAGIC`.
    pub magic: [u8; 8],
    /// Size of this struct as the plugin has it.
    pub struct_size: u32,
    /// `MENLOU_ABI_MAJOR` of the plugin.
    pub abi_major: u16,
    /// `MENLOU_ABI_MINOR` of the plugin.
    pub abi_minor: u16,
    /// `MENLOU_FLAG_…`.
    pub flags: u64,
    /// `MENLOU_SIZES`: tells a plugin that was compiled against another header.
    pub sizes: [u16; 8],
    /// As the file is called, without `.so`.
    pub name: menlou_str,
    /// The plugin's own version.
    pub version: menlou_str,
    /// Its actions.
    pub actions: *const menlou_action,
    /// How many.
    pub actions_len: usize,
    /// Called once, before all else; may be NULL. `MENLOU_READY` or an error.
    pub init: Option<unsafe extern "C" fn(host: *const menlou_host) -> i32>,
}

/// In the ELF section `.note.menlou`, so that the gateway can read it before it runs any code of the file.
#[repr(C)]
pub struct menlou_note {
    /// 8.
    pub owner_len: u32,
    /// Size of what follows `owner`.
    pub desc_len: u32,
    /// 1.
    pub kind: u32,
    /// `Menlou`.
    pub owner: [u8; 8],
    /// `MENLOU_ABI_MAJOR` of the plugin.
    pub abi_major: u16,
    /// `MENLOU_ABI_MINOR` of the plugin.
    pub abi_minor: u16,
    /// `MENLOU_SIZES`.
    pub sizes: [u16; 8],
    /// The plugin's name, filled up with NULs.
    pub name: [u8; 32],
    /// The plugin's version, filled up with NULs.
    pub version: [u8; 16],
}

/// The one function that a plugin exports, as `menlou_plugin_v1`. NULL: it can't serve such a gateway.
pub type menlou_plugin_entry = unsafe extern "C" fn(host_major: u16, host_minor: u16) -> *const menlou_plugin;

// What follows is Rust's side only; the header has its own below the types.

/// `menlou_plugin.magic`.
pub const MAGIC: [u8; 8] = *b"MENLOU\r\n";
/// The exported symbol.
pub const ENTRY_SYMBOL: &[u8] = b"menlou_plugin_v1\0";
/// The ELF section of [`menlou_note`].
pub const NOTE_SECTION: &str = ".note.menlou";
/// `menlou_note.owner`.
pub const NOTE_OWNER: [u8; 8] = *b"Menlou\0\0";

/// Sizes of the structs, in the order of `menlou_plugin.sizes`, as this crate has them.
pub const SIZES: [u16; 8] = [
    size_of::<menlou_host>() as u16,
    size_of::<menlou_plugin>() as u16,
    size_of::<menlou_action>() as u16,
    size_of::<menlou_request>() as u16,
    size_of::<menlou_outcome>() as u16,
    size_of::<menlou_reply>() as u16,
    size_of::<menlou_http_request>() as u16,
    size_of::<menlou_param>() as u16,
];

/// The sizes of each released minor, from 1.0 on; a row is added with each release and never changed.
pub const RELEASED_SIZES: &[[u16; 8]] = &[[312, 96, 200, 264, 64, 104, 72, 40]];

impl menlou_str {
    /// Not given.
    pub const NONE: Self = Self { ptr: core::ptr::null(), len: 0 };

    /// Borrows bytes, for as long as the receiver may read them.
    pub const fn new(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes; none where `ptr` is NULL.
    ///
    /// # Safety
    /// `ptr` points to `len` bytes that live, unchanged, for `'a`, or is NULL.
    pub const unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts(self.ptr, self.len) }
    }
}

impl menlou_note {
    /// The note of a plugin built with this crate. Name and version are cut to 32 and 16 bytes.
    pub const fn new(name: &str, version: &str) -> Self {
        Self {
            owner_len: 8,
            desc_len: (size_of::<Self>() - 20) as u32,
            kind: 1,
            owner: NOTE_OWNER,
            abi_major: MENLOU_ABI_MAJOR,
            abi_minor: MENLOU_ABI_MINOR,
            sizes: SIZES,
            name: filled(name),
            version: filled(version),
        }
    }
}

const fn filled<const N: usize>(text: &str) -> [u8; N] {
    let (bytes, mut out, mut i) = (text.as_bytes(), [0; N], 0);
    while i < bytes.len() && i < N {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

// SAFETY: a table of functions and a pointer that the gateway keeps valid and thread-safe for ever.
unsafe impl Sync for menlou_host {}
// SAFETY: as above.
unsafe impl Send for menlou_host {}
// SAFETY: descriptors are only read, and live as long as the process (rule 8).
unsafe impl Sync for menlou_plugin {}
// SAFETY: as above.
unsafe impl Send for menlou_plugin {}
// SAFETY: as above.
unsafe impl Sync for menlou_action {}
// SAFETY: as above.
unsafe impl Send for menlou_action {}

#[cfg(target_pointer_width = "64")]
const _: () = {
    let (now, released) = (SIZES, RELEASED_SIZES[MENLOU_ABI_MINOR as usize]);
    let mut i = 0;
    while i < now.len() {
        assert!(now[i] == released[i], "a struct's size is not the released one");
        i += 1;
    }
};
