//! The plugin ABI: the C types and functions that the gateway and a plugin use to call each other.
//!
//! `menlou_plugin.h` is generated from this file, and a test keeps both equal. Names and comments therefore follow C.
//!
//! **Trust.** A plugin is native code in the gateway's process, with all of its rights. The ABI contains mistakes, not
//! malice: a panic fails one call, and an unsuitable file is rejected. Nothing in a process can contain `abort`, an
//! invalid pointer, or a function that never returns.
//!
//! **Rules**
//! 1. Text is UTF-8 with a length, without a terminating NUL. `{NULL, 0}` means "not given". Numbers are plain integers,
//!    never enums.
//! 2. The side that allocates an object frees it. Arguments of a plugin are copied before the function returns. Data of
//!    the gateway is borrowed: a request until `drop`, an outcome until `op_drop`, the host table until the process ends.
//! 3. A plugin never blocks. It starts operations, polls them, and returns `MENLOU_PENDING` while one is pending. The
//!    gateway logs a warning if a function keeps its thread for 100 ms or longer.
//! 4. `start`, `poll` and `drop` of one call never run at the same time, but may run on different threads.
//! 5. No exception, panic or `longjmp` leaves a function of this ABI: the process would abort.
//! 6. Structs grow only at their end and carry their size. Constants are added, never changed. Any other change needs a
//!    new major version.
//! 7. A function marked "any thread" may be called anywhere. Any other function may be called only inside `start` and
//!    `poll`, with that call. Elsewhere, and with a call or an operation that has ended, a function has no effect and
//!    returns NULL or `MENLOU_ERR_INVALID`.
//! 8. A library is never unmapped: its statics and the host table live as long as the process.
#![no_std]
#![allow(non_camel_case_types)]

use core::ffi::c_void;

/// Major version. A gateway and a plugin with different major versions do not work together.
pub const MENLOU_ABI_MAJOR: u16 = 1;
/// Minor version. A plugin may use functions of a later minor version if the gateway's table is long enough.
pub const MENLOU_ABI_MINOR: u16 = 0;

/// The operation or the call is not done yet: poll again when woken.
pub const MENLOU_PENDING: i32 = 0;
/// Done.
pub const MENLOU_READY: i32 = 1;
/// The plugin panicked, and its SDK caught the panic.
pub const MENLOU_ERR_PANIC: i32 = -1;
/// Failed. Only the log has the reason.
pub const MENLOU_ERR_FAILED: i32 = -2;
/// Not found: no such user, no such header.
pub const MENLOU_ERR_NOT_FOUND: i32 = -3;
/// The gateway rejected the operation or could not complete it; the outcome's `error_code` has the reason.
pub const MENLOU_ERR_CODE: i32 = -4;
/// An argument is invalid, or the function must not be called here: a bug in the plugin.
pub const MENLOU_ERR_INVALID: i32 = -5;

/// Log level: something failed.
pub const MENLOU_LOG_ERROR: u32 = 1;
/// Log level: something that an operator should look into.
pub const MENLOU_LOG_WARN: u32 = 2;
/// Log level: a notable event.
pub const MENLOU_LOG_INFO: u32 = 3;
/// Log level: details for debugging.
pub const MENLOU_LOG_DEBUG: u32 = 4;
/// Log level: everything.
pub const MENLOU_LOG_TRACE: u32 = 5;

/// Any caller is allowed.
pub const MENLOU_ACCESS_ANYONE: u32 = 0;
/// A session is required: `menlou_request.openid` is given.
pub const MENLOU_ACCESS_SESSION: u32 = 1;
/// A session whose openid is bound to an account is required: `menlou_request.user_id` is given.
pub const MENLOU_ACCESS_USER: u32 = 2;
/// The setting `auth` of the action decides in each tenant. `session` (the default) requires a session, `required` a
/// user as `MENLOU_ACCESS_USER` does. `optional` allows any caller: the request has an `openid` if it carried a token,
/// and is rejected if that token is invalid.
pub const MENLOU_ACCESS_BY_SETTING: u32 = 3;

/// `menlou_param.value` is text.
pub const MENLOU_PARAM_TEXT: u32 = 0;
/// `menlou_param.value` is JSON: a number, a boolean, an array or an object.
pub const MENLOU_PARAM_JSON: u32 = 1;

/// The body is not read before the call, so it may have any media type and size. The action reads it with `body_read`
/// or forwards it with `forward`. Parameters come from the query only.
pub const MENLOU_ACTION_RAW_BODY: u64 = 1;
/// The query is not parsed and gives no parameters; the action reads `menlou_request.query`.
pub const MENLOU_ACTION_RAW_QUERY: u64 = 2;
/// The action also serves the URLs below its own: `/srv/<tenant>/<action>/…`.
pub const MENLOU_ACTION_SUBPATHS: u64 = 4;

/// Addresses in `Location`, `Content-Location` and `Refresh` of the response stay as the upstream wrote them. Without this
/// flag, those of the upstream become public paths.
pub const MENLOU_FORWARD_KEEP_LOCATION: u32 = 1;

/// A panic unwinds no further than the plugin's guard (Rust: panic=unwind), or the language has no panics.
pub const MENLOU_FLAG_CONTAINS_PANICS: u64 = 1;

/// Borrowed bytes: UTF-8 text unless stated otherwise. `{NULL, 0}` means "not given".
#[repr(C)]
#[derive(Clone, Copy)]
pub struct menlou_str {
    /// First byte; may be NULL if `len` is 0.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
}

/// A name and a value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct menlou_kv {
    /// The name.
    pub key: menlou_str,
    /// The value.
    pub value: menlou_str,
}

/// One parameter of a request, validated by the action's `params_schema`. Names are unique and not empty.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct menlou_param {
    /// The name.
    pub name: menlou_str,
    /// The value, in the form that `kind` names.
    pub value: menlou_str,
    /// `MENLOU_PARAM_…`.
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

/// A handle of one call in flight, owned by the gateway. It is not an address and must not be dereferenced.
pub struct menlou_call {
    _private: (),
}

/// A handle of one operation that a call started. The plugin releases it with `op_drop`. It is not an address and must
/// not be dereferenced. A call may hold at most 10,000 unreleased operations.
pub struct menlou_op {
    _private: (),
}

/// A handle that wakes one call from any thread. The plugin releases it with `waker_drop`.
pub struct menlou_waker {
    _private: (),
}

/// A handle of settings that are being configured, for reporting errors. Owned by the gateway, valid inside `configure`.
pub struct menlou_setup {
    _private: (),
}

/// A handle of the servers that calls are forwarded to. Owned by the gateway, valid from `upstream_new` until `release`.
pub struct menlou_upstream {
    _private: (),
}

/// The client's request. Borrowed until the call's `drop`.
#[repr(C)]
pub struct menlou_request {
    /// Size of this struct in the gateway.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Deadline of the call, Unix milliseconds. It moves while a body of `MENLOU_ACTION_RAW_BODY` is being received.
    pub deadline_unix_ms: u64,
    /// HTTP method: `POST`.
    pub method: menlou_str,
    /// Path of the URL.
    pub path: menlou_str,
    /// Name of the tenant, the `f` of the URL.
    pub tenant: menlou_str,
    /// Name of the action in the tenant file, the `a` of the URL.
    pub action: menlou_str,
    /// The request id, as in the response's `X-Request-Id` and in the log.
    pub request_id: menlou_str,
    /// IP address of the client.
    pub remote_ip: menlou_str,
    /// Language of the caller: `zh` or `en`.
    pub language: menlou_str,
    /// The parameters of query and body.
    pub params: *const menlou_param,
    /// Number of parameters.
    pub params_len: usize,
    /// The raw body, any bytes. Not given to an action with `MENLOU_ACTION_RAW_BODY`.
    pub body: menlou_str,
    /// Platform of the caller's session (`wechat`); not given without a session.
    pub platform: menlou_str,
    /// Openid of the caller's session; not given without a session.
    pub openid: menlou_str,
    /// Id of the account that the openid is bound to; 0 unless the action requires a user.
    pub user_id: i64,
    /// Name of that account.
    pub user_name: menlou_str,
    /// Avatar URL of that account.
    pub user_avatar_url: menlou_str,
    /// The raw query of the URL without `f` and `a`. Only with `MENLOU_ACTION_RAW_QUERY`.
    pub query: menlou_str,
    /// The raw path below the action, beginning with `/`, without `.` and `..` segments. Only with
    /// `MENLOU_ACTION_SUBPATHS`.
    pub subpath: menlou_str,
}

/// The outcome of an operation. The plugin sets `struct_size`; all texts are borrowed until `op_drop`.
#[repr(C)]
pub struct menlou_outcome {
    /// Size of this struct in the plugin.
    pub struct_size: u32,
    /// `MENLOU_READY` or `MENLOU_ERR_…`.
    pub status: i32,
    /// HTTP status of the response, for `http_send` and `forward`.
    pub http_status: u32,
    /// Zero.
    pub reserved: u32,
    /// The error code, with `MENLOU_ERR_CODE`.
    pub error_code: menlou_str,
    /// JSON, as each operation documents; any bytes for the body of `http_send`, a file, and `body_read`.
    pub data: menlou_str,
    /// Media type of the response of `platform_call`, if it is a file.
    pub content_type: menlou_str,
}

/// The response to a call.
#[repr(C)]
pub struct menlou_reply {
    /// Size of this struct in the plugin.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Not given: success. Otherwise the error code, `[a-z0-9_]{1,64}`: one of the gateway's, or the plugin's own.
    pub error_code: menlou_str,
    /// The message for users in Chinese. Not given: the gateway's message for the error code. With an error code of the
    /// gateway that is for developers, such as `missing_parameter`, the text becomes `data.detail` of the response.
    pub msg_zh: menlou_str,
    /// The message for users in English.
    pub msg_en: menlou_str,
    /// The `data` of the response, a JSON object. Not given: `{}`.
    pub data: menlou_str,
    /// Media type of a file that is sent instead of the envelope: `image/jpeg`. Neither `error_code` nor `data` may be
    /// given then.
    pub content_type: menlou_str,
    /// Bytes of the file.
    pub body: menlou_str,
}

/// An HTTP request that the gateway sends for a plugin.
#[repr(C)]
pub struct menlou_http_request {
    /// Size of this struct in the plugin.
    pub struct_size: u32,
    /// Timeout of the complete exchange in milliseconds; 0: the gateway's default. The call's deadline applies too.
    pub timeout_ms: u32,
    /// `GET`, `POST`, …
    pub method: menlou_str,
    /// `http://` or `https://`.
    pub url: menlou_str,
    /// The headers.
    pub headers: *const menlou_kv,
    /// Number of headers.
    pub headers_len: usize,
    /// The body; any bytes.
    pub body: menlou_str,
}

/// The servers of an upstream. A forwarded call goes to the server with the fewest requests in flight.
#[repr(C)]
pub struct menlou_upstream_options {
    /// Size of this struct in the plugin.
    pub struct_size: u32,
    /// Number of consecutive failures that open the circuit of a server; 0: never.
    pub break_after: u32,
    /// Time for which the circuit stays open, in milliseconds. Then one call probes the server.
    pub break_for_ms: u32,
    /// Interval of health checks in milliseconds; only with `health_path`.
    pub health_interval_ms: u32,
    /// `http://` or `https://` URLs; a path of a URL precedes each target.
    pub servers: *const menlou_str,
    /// Number of servers, at least 1.
    pub servers_len: usize,
    /// Path of health checks, requested with GET: 2xx and 3xx are healthy. Not given: no health checks.
    pub health_path: menlou_str,
    /// JSON pointer into the settings (`/upstream`), for errors in `servers`.
    pub servers_pointer: menlou_str,
    /// JSON pointer into the settings, for errors in `health_path`.
    pub health_pointer: menlou_str,
}

/// A call that is forwarded to an upstream with its method and body, and with the headers given here.
#[repr(C)]
pub struct menlou_forward {
    /// Size of this struct in the plugin.
    pub struct_size: u32,
    /// Timeout in milliseconds from the last byte of the body to the response headers, and for each pause within the
    /// response body; 0: the gateway's default. The call's deadline bounds the former.
    pub timeout_ms: u32,
    /// Number of retries if a server is unreachable or closes the connection. A request that the server may have
    /// received is retried only if its method is idempotent.
    pub retries: u32,
    /// `MENLOU_FORWARD_…`.
    pub flags: u32,
    /// Maximum size of the body in bytes; 0: unlimited.
    pub max_body: u64,
    /// The upstream, which the same action created for the same tenant.
    pub upstream: *const menlou_upstream,
    /// Path and query, beginning with `/`.
    pub target: menlou_str,
    /// Names of request headers to pass on. Never passed on: `authorization`, hop-by-hop headers, `x-menlou-*`,
    /// `x-forwarded-for`, and headers that a CGI-like server could take for one of these or of `headers`.
    pub pass_headers: *const menlou_str,
    /// Number of names.
    pub pass_headers_len: usize,
    /// Additional headers. They replace passed headers of the same name.
    pub headers: *const menlou_kv,
    /// Number of additional headers.
    pub headers_len: usize,
}

/// The functions of the gateway, scoped to the call's tenant. Fields are only added at the end: check `struct_size`
/// before you use a function that is newer than ABI 1.0.
#[repr(C)]
pub struct menlou_host {
    /// Size of this struct in the gateway.
    pub struct_size: u32,
    /// `MENLOU_ABI_MAJOR` of the gateway.
    pub abi_major: u16,
    /// `MENLOU_ABI_MINOR` of the gateway.
    pub abi_minor: u16,
    /// Private data of the gateway.
    pub context: *mut c_void,

    /// Any thread. Returns 1 if lines of this level are logged, else 0.
    pub log_enabled: unsafe extern "C" fn(host: *const menlou_host, level: u32) -> i32,
    /// Any thread. Logs one line. `call` may be NULL; otherwise it is the call that this thread is inside of, and the
    /// line carries its request id. Never log a secret, a code, a token or a phone number.
    pub log: unsafe extern "C" fn(
        host: *const menlou_host,
        call: *const menlou_call,
        level: u32,
        message: menlou_str,
        fields: *const menlou_kv,
        fields_len: usize,
    ),
    /// Any thread. Returns the Unix time in milliseconds.
    pub now_unix_ms: unsafe extern "C" fn(host: *const menlou_host) -> u64,
    /// Any thread. Fills `out` with random bytes that are fit for keys. Returns `MENLOU_READY` or an error.
    pub random: unsafe extern "C" fn(host: *const menlou_host, out: *mut u8, len: usize) -> i32,
    /// Any thread. Writes the 32 bytes of an HMAC-SHA256 to `out`. Returns `MENLOU_READY` or an error.
    pub hmac_sha256:
        unsafe extern "C" fn(host: *const menlou_host, key: menlou_str, message: menlou_str, out: *mut u8) -> i32,

    /// Inside `configure` only. Reports an error at a JSON pointer into the settings (RFC 6901; "" is all of them).
    pub config_error:
        unsafe extern "C" fn(setup: *mut menlou_setup, pointer: menlou_str, msg_zh: menlou_str, msg_en: menlou_str),

    /// Reads a request header by its lower-case name. The value is borrowed until the call's `drop`. Returns
    /// `MENLOU_READY` or `MENLOU_ERR_NOT_FOUND`; `authorization` is never found.
    pub header: unsafe extern "C" fn(call: *mut menlou_call, name: menlou_str, out: *mut menlou_str) -> i32,

    /// Exchanges a login code with the platform. The same code within the replay window gets the first result again.
    /// Data: `{"openid":str,"unionid"?:str}`.
    pub exchange:
        unsafe extern "C" fn(call: *mut menlou_call, code: menlou_str, replay_window_ms: u32) -> *mut menlou_op,
    /// Accepts an openid without a code, if the gateway's config allows test openids. Data: as of `exchange`.
    pub test_identity: unsafe extern "C" fn(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op,
    /// Opens a session for an openid that this call got from `exchange` or `test_identity`.
    /// Data: `{"token":str,"expires_in":seconds}`.
    pub session_open: unsafe extern "C" fn(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op,
    /// Reads the caller's session, with the token that the caller sent. Data: as of `session_open`.
    pub session_current: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,
    /// Ends the caller's session. No data.
    pub session_end: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,
    /// Exchanges a phone code for a phone number with the platform. A code that another person than the caller obtained is
    /// rejected with `invalid_code`, if the platform can check that. Data: `{"phone":"+8613800138000"}`.
    pub phone_number: unsafe extern "C" fn(call: *mut menlou_call, phone_code: menlou_str) -> *mut menlou_op,

    /// Finds the account that an openid is bound to: the caller's openid, or one that this call got from `exchange` or
    /// `test_identity`. Data: `{"id":int,"name":str,"avatar_url":str}`, or `MENLOU_ERR_NOT_FOUND`.
    pub user_find: unsafe extern "C" fn(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op,
    /// Binds the caller's openid to a new account. If it is bound already, returns that account unchanged. Data: as of
    /// `user_find`.
    pub user_bind_new:
        unsafe extern "C" fn(call: *mut menlou_call, name: menlou_str, avatar_url: menlou_str) -> *mut menlou_op,
    /// Binds the caller's openid to the account with this phone number, which is created if necessary. Data: as of
    /// `user_find`.
    pub user_bind_phone: unsafe extern "C" fn(call: *mut menlou_call, phone: menlou_str) -> *mut menlou_op,
    /// Binds the caller's openid to the account with this `id` in the tenant's own login service. The account is created
    /// if necessary; its name and avatar URL are updated. Data: as of `user_find`.
    pub user_bind_external: unsafe extern "C" fn(
        call: *mut menlou_call,
        id: menlou_str,
        name: menlou_str,
        avatar_url: menlou_str,
    ) -> *mut menlou_op,
    /// Checks an account name and a password and binds the caller's openid to the account. Attempts are limited per
    /// account, per openid and per client address. Data: as of `user_find`.
    pub user_bind_password:
        unsafe extern "C" fn(call: *mut menlou_call, account: menlou_str, password: menlou_str) -> *mut menlou_op,
    /// Removes the binding of the caller's openid; the account stays. No data.
    pub user_unbind: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,
    /// Updates name and avatar URL of the caller's account; `{NULL, 0}` leaves a value unchanged. Data: as of
    /// `user_find`.
    pub user_update:
        unsafe extern "C" fn(call: *mut menlou_call, name: menlou_str, avatar_url: menlou_str) -> *mut menlou_op,

    /// Sends an HTTP request from the gateway. Redirects are not followed.
    pub http_send: unsafe extern "C" fn(call: *mut menlou_call, request: *const menlou_http_request) -> *mut menlou_op,
    /// Completes after this time. No data.
    pub sleep_ms: unsafe extern "C" fn(call: *mut menlou_call, ms: u64) -> *mut menlou_op,

    /// Inside `poll`. Returns `MENLOU_READY` and fills the outcome, each time until `op_drop`; `MENLOU_PENDING`, and
    /// arranges for the next `poll`; or `MENLOU_ERR_INVALID` for NULL (an operation whose arguments were invalid) and for
    /// an operation of another call.
    pub op_poll: unsafe extern "C" fn(call: *mut menlou_call, op: *mut menlou_op, outcome: *mut menlou_outcome) -> i32,
    /// Any thread. Releases an operation. A pending operation is cancelled; a write may or may not have happened. Call it
    /// once for each operation, at the latest in the call's `drop`. Operations that remain after `drop` are cancelled,
    /// and a warning is logged.
    pub op_drop: unsafe extern "C" fn(op: *mut menlou_op),

    /// Sets the response of the call; `poll` then returns `MENLOU_READY`. Returns `MENLOU_READY`, or `MENLOU_ERR_INVALID`
    /// if the data is no JSON object, the error code is malformed, or the call has a response already.
    pub reply: unsafe extern "C" fn(call: *mut menlou_call, reply: *const menlou_reply) -> i32,

    /// Inside `poll`. Returns a handle that has `poll` called again, for an event that the gateway does not know of.
    pub waker_clone: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_waker,
    /// Any thread, also after the call's end. Has `poll` called again.
    pub waker_wake: unsafe extern "C" fn(waker: *const menlou_waker),
    /// Any thread, also after the call's end. Releases the handle.
    pub waker_drop: unsafe extern "C" fn(waker: *mut menlou_waker),

    /// Sends a request to the platform with the tenant's access token, which the plugin never sees. `method` is `GET` or
    /// `POST`. `path` has plain segments (`/wxa/msg_sec_check`) and is none that returns credentials. `fields` is a JSON
    /// object without `access_token`: the query of a GET, the JSON body of a POST. Data: the fields of the response
    /// without errcode 0 and errmsg, or a file with its `content_type`.
    pub platform_call: unsafe extern "C" fn(
        call: *mut menlou_call,
        method: menlou_str,
        path: menlou_str,
        fields: menlou_str,
    ) -> *mut menlou_op,
    /// Decrypts data that the platform encrypted for the caller, with the session key, which the plugin never sees.
    /// Rejected if the data is of another mini-program or older than `max_age_ms`. Data: the decrypted JSON object.
    pub decrypt: unsafe extern "C" fn(
        call: *mut menlou_call,
        encrypted_data: menlou_str,
        iv: menlou_str,
        max_age_ms: u64,
    ) -> *mut menlou_op,
    /// Asks the platform whether the key of the caller's session is still valid. If not, the error code is
    /// `session_expired`. No data.
    pub session_key_check: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,
    /// Has the platform issue a new key for the caller, and stores it in the session. No data.
    pub session_key_reset: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,

    /// Inside `configure` only. Creates an upstream for the calls of this action in this tenant; the gateway keeps it
    /// until `release`. Returns NULL for invalid options, which the gateway reports as errors of the settings.
    pub upstream_new:
        unsafe extern "C" fn(setup: *mut menlou_setup, options: *const menlou_upstream_options) -> *mut menlou_upstream,
    /// Forwards the call to an upstream and its response to the client. The operation is ready when the response headers
    /// have been received. Then return `MENLOU_READY` from `poll` without `reply`; the gateway moves the bytes. No data.
    pub forward: unsafe extern "C" fn(call: *mut menlou_call, forward: *const menlou_forward) -> *mut menlou_op,
    /// Reads the next chunk of the body, with `MENLOU_ACTION_RAW_BODY`. Data: at least one byte; `MENLOU_ERR_NOT_FOUND`
    /// at the end. One read at a time, and none after `forward`.
    pub body_read: unsafe extern "C" fn(call: *mut menlou_call) -> *mut menlou_op,
    /// Starts a response that is written in chunks, without an envelope, and sends its headers. `content_type` is a media
    /// type such as `text/csv`. Then call `response_write`, and at last return `MENLOU_READY` from `poll` without `reply`.
    /// If `poll` fails instead, the connection is closed, so that the client notices. Returns `MENLOU_READY`, or
    /// `MENLOU_ERR_INVALID` if the call has a response already.
    pub response_begin: unsafe extern "C" fn(call: *mut menlou_call, content_type: menlou_str) -> i32,
    /// Writes a chunk of the response. Ready when the chunk before has been passed to the client's connection. No data.
    pub response_write: unsafe extern "C" fn(call: *mut menlou_call, chunk: menlou_str) -> *mut menlou_op,

    /// Counts an attempt to log in to an account whose credentials the action checks by itself. Call it before the check.
    /// Attempts are limited as those of `user_bind_password` are: beyond a limit the error code is `too_many_attempts`.
    /// `account` is what the client sent, at most 4096 bytes; not given, only openid and address are counted. The action
    /// must require a session. No data.
    pub attempt_record: unsafe extern "C" fn(call: *mut menlou_call, account: menlou_str) -> *mut menlou_op,
    /// Reports that the credentials of the attempt were right. `account` is that of `attempt_record`. No data.
    pub attempt_succeed: unsafe extern "C" fn(call: *mut menlou_call, account: menlou_str) -> *mut menlou_op,

    /// Reads the rest of the body, with `MENLOU_ACTION_RAW_BODY`, and keeps it: `forward` and `body_read` still pass it on. Use it
    /// to sign or check a body before it is forwarded. A body of more than `max_len` bytes fails with `body_too_large`; at most
    /// 16 MiB are kept. Data: the body; `MENLOU_ERR_NOT_FOUND` if it is empty.
    pub body_buffer: unsafe extern "C" fn(call: *mut menlou_call, max_len: u64) -> *mut menlou_op,
}

/// One action of a plugin.
#[repr(C)]
pub struct menlou_action {
    /// Size of this struct in the plugin.
    pub struct_size: u32,
    /// `MENLOU_ACCESS_…`: which callers are allowed.
    pub access: u32,
    /// `MENLOU_ACTION_…`.
    pub flags: u64,
    /// `[a-z0-9][a-z0-9_-]{0,63}`; a tenant file enables the action by this name.
    pub name: menlou_str,
    /// HTTP methods, comma-separated. Not given: `POST`.
    pub methods: menlou_str,
    /// Title in Chinese, a few words.
    pub title_zh: menlou_str,
    /// Title in English.
    pub title_en: menlou_str,
    /// Description in Chinese.
    pub description_zh: menlou_str,
    /// Description in English.
    pub description_en: menlou_str,
    /// JSON Schema (2020-12) of the parameters, an object. Not given: any parameters.
    pub params_schema: menlou_str,
    /// JSON Schema of the response's `data`, an object. Not given: any data. If the action may send a file instead, the
    /// keyword `x-file` lists its media types: `["image/jpeg"]`, `["image/*"]`, `["*/*"]`.
    pub data_schema: menlou_str,
    /// JSON Schema of the action's table in the tenant file. Not given: no settings. A text property with
    /// `"format": "secret"` may be written as `env:…` or `file:…` and is passed resolved. A property with
    /// `"format": "address"` is an address that the gateway connects to; a tenant's own admin cannot set it.
    pub settings_schema: menlou_str,
    /// Prepares the settings of one tenant, once, before any call; may be NULL. `settings` is JSON that matches the
    /// schema. Returns `MENLOU_READY`, or an error after reporting each error with `host->config_error`.
    pub configure: Option<
        unsafe extern "C" fn(
            host: *const menlou_host,
            setup: *mut menlou_setup,
            tenant: menlou_str,
            settings: menlou_str,
            out: *mut *mut c_void,
        ) -> i32,
    >,
    /// Frees what `configure` returned, after the last call that uses it; may be NULL.
    pub release: Option<unsafe extern "C" fn(settings: *mut c_void)>,
    /// Starts a call without blocking. `state` is passed to `poll` and `drop`. Returns `MENLOU_READY`, or an error: then
    /// neither `poll` nor `drop` is called.
    pub start: Option<
        unsafe extern "C" fn(
            host: *const menlou_host,
            call: *mut menlou_call,
            request: *const menlou_request,
            settings: *const c_void,
            state: *mut *mut c_void,
        ) -> i32,
    >,
    /// Continues a call. Returns `MENLOU_PENDING`; `MENLOU_READY` after `reply`; or an error. After the last two, `poll` is
    /// not called again.
    pub poll: Option<unsafe extern "C" fn(state: *mut c_void, call: *mut menlou_call) -> i32>,
    /// Ends a call and frees its state: exactly once, never during `poll`. Called early if the client disconnects.
    pub drop: Option<unsafe extern "C" fn(state: *mut c_void)>,
}

/// The descriptor of a plugin. It lives as long as the process.
#[repr(C)]
pub struct menlou_plugin {
    /// `MENLOU_MAGIC`.
    pub magic: [u8; 8],
    /// Size of this struct in the plugin.
    pub struct_size: u32,
    /// `MENLOU_ABI_MAJOR` of the plugin.
    pub abi_major: u16,
    /// `MENLOU_ABI_MINOR` of the plugin.
    pub abi_minor: u16,
    /// `MENLOU_FLAG_…`.
    pub flags: u64,
    /// `MENLOU_SIZES`: detects a plugin that was compiled with another header.
    pub sizes: [u16; 8],
    /// The file name without `.so`.
    pub name: menlou_str,
    /// Version of the plugin.
    pub version: menlou_str,
    /// The actions.
    pub actions: *const menlou_action,
    /// Number of actions.
    pub actions_len: usize,
    /// Called once, before any other function; may be NULL. Returns `MENLOU_READY` or an error.
    pub init: Option<unsafe extern "C" fn(host: *const menlou_host) -> i32>,
}

/// The contents of the ELF section `.note.menlou`. The gateway reads it before it runs any code of the file.
#[repr(C)]
pub struct menlou_note {
    /// 8.
    pub owner_len: u32,
    /// Size of the fields after `owner`.
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
    /// Name of the plugin, padded with NULs.
    pub name: [u8; 32],
    /// Version of the plugin, padded with NULs.
    pub version: [u8; 16],
}

/// The type of the exported function, `menlou_plugin_v1`. It returns NULL if the plugin does not support this gateway.
pub type menlou_plugin_entry = unsafe extern "C" fn(host_major: u16, host_minor: u16) -> *const menlou_plugin;

// The rest is for Rust only. The header has its own counterparts after the types.

/// `menlou_plugin.magic`.
pub const MAGIC: [u8; 8] = *b"MENLOU\r\n";
/// The exported symbol.
pub const ENTRY_SYMBOL: &[u8] = b"menlou_plugin_v1\0";
/// The ELF section of [`menlou_note`].
pub const NOTE_SECTION: &str = ".note.menlou";
/// `menlou_note.owner`.
pub const NOTE_OWNER: [u8; 8] = *b"Menlou\0\0";

/// Sizes of the structs in this crate, in the order of `menlou_plugin.sizes`.
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

/// Sizes of the structs in each minor version, from 1.0 on. Each release adds a row; rows never change.
pub const RELEASED_SIZES: &[[u16; 8]] = &[[336, 96, 200, 264, 64, 104, 72, 40]];

impl menlou_str {
    /// The value of "not given".
    pub const NONE: Self = Self { ptr: core::ptr::null(), len: 0 };

    /// Borrows bytes. They must stay valid for as long as the receiver may read them.
    pub const fn new(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes; empty if `ptr` is NULL.
    ///
    /// # Safety
    /// `ptr` is NULL, or points to `len` bytes that are valid and unchanged for `'a`.
    pub const unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() {
            return &[];
        }
        // SAFETY: the caller's contract.
        unsafe { core::slice::from_raw_parts(self.ptr, self.len) }
    }
}

impl menlou_note {
    /// The note of a plugin that is built with this crate. Name and version are cut to 32 and 16 bytes.
    pub const fn new(name: &str, version: &str) -> Self {
        Self {
            owner_len: 8,
            desc_len: (size_of::<Self>() - 20) as u32,
            kind: 1,
            owner: NOTE_OWNER,
            abi_major: MENLOU_ABI_MAJOR,
            abi_minor: MENLOU_ABI_MINOR,
            sizes: SIZES,
            name: padded(name),
            version: padded(version),
        }
    }
}

const fn padded<const N: usize>(text: &str) -> [u8; N] {
    let (bytes, mut out, mut i) = (text.as_bytes(), [0; N], 0);
    while i < bytes.len() && i < N {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

// SAFETY: functions, and a pointer that the gateway keeps valid and thread-safe until the process ends.
unsafe impl Sync for menlou_host {}
// SAFETY: as above.
unsafe impl Send for menlou_host {}
// SAFETY: descriptors are immutable and live as long as the process (rule 8).
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
