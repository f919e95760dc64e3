/*
 * The plugin border: the C types and functions by which the gateway and an action's shared library know each other.
 *
 * menlou_plugin.h is made from this file and kept equal to it by a test, so names and comments are C's.
 *
 * Trust. A plugin is native code in the gateway's process: what it does, the gateway does. The border contains
 * mistakes, not malice: a panic fails one call, a file that doesn't fit is refused. It can't contain what ends or stops a
 * process or thread: abort, a bad pointer, a function that never returns.
 *
 * Rules
 * 1. Text is UTF-8 with a length, not NUL-terminated; {NULL, 0} is "not given". Numbers are plain integers, never enums.
 * 2. Who allocates frees; nothing is freed across the border. What a plugin passes is copied before the function
 *    returns. What the gateway passes is borrowed: a request until drop, an outcome until op_drop, the host table for ever.
 * 3. A plugin never blocks. It starts operations, polls them, and returns MENLOU_PENDING where one is pending. A thread
 *    that is kept for 100 ms is told in the log.
 * 4. start, poll and drop of one call never run at the same time, but may run on different threads.
 * 5. Nothing unwinds or jumps out of a function of this border: the process would abort.
 * 6. Structs grow at their end only and tell their size; constants are added, never changed. All else is a new major.
 * 7. A function marked "any thread" may be called anywhere; the others only inside start and poll, with that call. Else,
 *    and with a call or an operation that has ended, they do nothing and answer NULL or MENLOU_ERR_INVALID.
 * 8. A library is never unmapped, so its statics and its host table live as long as the process.
 */

#ifndef MENLOU_PLUGIN_H
#define MENLOU_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

// A gateway and a plugin of different majors don't work together.
#define MENLOU_ABI_MAJOR 1

// A plugin may use what a higher minor added, if the gateway's table is long enough to have it.
#define MENLOU_ABI_MINOR 0

// An operation or a call goes on: poll again when woken.
#define MENLOU_PENDING 0

// Done.
#define MENLOU_READY 1

// The plugin panicked; its SDK caught it.
#define MENLOU_ERR_PANIC -1

// It failed for a reason that only the log knows.
#define MENLOU_ERR_FAILED -2

// There is no such thing: no such user, no such header.
#define MENLOU_ERR_NOT_FOUND -3

// The gateway refused or could not serve; the outcome's `word` says why.
#define MENLOU_ERR_CODE -4

// An argument or the place of the call is wrong: a mistake in the plugin.
#define MENLOU_ERR_INVALID -5

// Log levels.
#define MENLOU_LOG_ERROR 1

// A thing to look into.
#define MENLOU_LOG_WARN 2

// Worth knowing.
#define MENLOU_LOG_INFO 3

// For whoever looks for a fault.
#define MENLOU_LOG_DEBUG 4

// Everything.
#define MENLOU_LOG_TRACE 5

// Whoever calls is served.
#define MENLOU_ACCESS_ANYONE 0

// The caller needs a session: the request has an `openid`.
#define MENLOU_ACCESS_SESSION 1

// The caller needs a session whose openid is bound to an account: the request has a `user_id`.
#define MENLOU_ACCESS_USER 2

// As the action's setting `auth` says in each tenant: `session` (also where it is not given), `required` for
// `MENLOU_ACCESS_USER`, or `optional`: whoever calls is served, and the request has an `openid` where a token came along (one
// that is no good is refused).
#define MENLOU_ACCESS_BY_SETTING 3

// `menlou_param.value` is text.
#define MENLOU_PARAM_TEXT 0

// `menlou_param.value` is JSON: a number, a boolean, an array or an object.
#define MENLOU_PARAM_JSON 1

// The body is not read before the call, which may so have any media type and size: it comes by `body_read`, or goes on by
// `forward`. Parameters are those of the query only.
#define MENLOU_ACTION_RAW_BODY 1

// The query is not read before the call, and so gives no parameters: it comes as `menlou_request.query`.
#define MENLOU_ACTION_RAW_QUERY 2

// The URL may go on below the action: `/srv/<tenant>/<action>/…`.
#define MENLOU_ACTION_SUBPATHS 4

// Built so that a panic unwinds to the guard in the plugin (Rust: panic=unwind), or in a language without panics.
#define MENLOU_FLAG_CONTAINS_PANICS 1

// One call in flight. The gateway's; no address, so there is nothing to be read at it.
typedef struct menlou_call menlou_call;

// One operation of the gateway, asked for by a call. The gateway's, until `op_drop`; no address either. A call has at most
// 10,000 that were not dropped.
typedef struct menlou_op menlou_op;

// A tenant's settings being looked at, where faults are told. The gateway's, valid inside `configure`.
typedef struct menlou_setup menlou_setup;

// Servers that calls are forwarded to. The gateway's, from `upstream_new` until `release`.
typedef struct menlou_upstream menlou_upstream;

// Wakes one call from any thread. The gateway's, until `waker_drop`.
typedef struct menlou_waker menlou_waker;

// Borrowed bytes: UTF-8 text unless said otherwise. `{NULL, 0}` is "not given".
typedef struct menlou_str {
    // The first byte; may be NULL where `len` is 0.
    const uint8_t *ptr;
    // How many bytes.
    size_t len;
} menlou_str;

// A name and its value.
typedef struct menlou_kv {
    // The name.
    struct menlou_str key;
    // Its value.
    struct menlou_str value;
} menlou_kv;

// An HTTP request that the gateway sends for a plugin.
typedef struct menlou_http_request {
    // Size of this struct as the plugin has it.
    uint32_t struct_size;
    // Milliseconds for the whole exchange; 0 is the gateway's default. The call's own deadline bounds it.
    uint32_t timeout_ms;
    // `GET`, `POST`, …
    struct menlou_str method;
    // `http://` or `https://`.
    struct menlou_str url;
    // The headers.
    const struct menlou_kv *headers;
    // How many.
    size_t headers_len;
    // The body; any bytes.
    struct menlou_str body;
} menlou_http_request;

// What an operation came to. The plugin sets `struct_size`; the rest is borrowed until `op_drop`.
typedef struct menlou_outcome {
    // Size of this struct as the plugin has it.
    uint32_t struct_size;
    // `MENLOU_READY` or `MENLOU_ERR_…`.
    int32_t status;
    // Of `http_send` and `forward`: the status of the answer.
    uint32_t http_status;
    // Zero.
    uint32_t reserved;
    // With `MENLOU_ERR_CODE`: the error's word.
    struct menlou_str error_code;
    // JSON as each operation says; of `http_send` and of a file the body, any bytes.
    struct menlou_str data;
    // Of `platform_call`: the media type, where the answer is a file and no JSON.
    struct menlou_str content_type;
} menlou_outcome;

// The answer to a call.
typedef struct menlou_reply {
    // Size of this struct as the plugin has it.
    uint32_t struct_size;
    // Zero.
    uint32_t reserved;
    // Not given: success. Else the error's word, `[a-z0-9_]+`: one of the gateway's, or the plugin's own.
    struct menlou_str error_code;
    // The sentence for people in Chinese. Not given: that of the gateway's own table.
    struct menlou_str msg_zh;
    // The same in English.
    struct menlou_str msg_en;
    // A JSON object, the answer's `data`. Not given: `{}`.
    struct menlou_str data;
    // A file in place of an envelope: its media type, `image/jpeg`. Then neither `word` nor `data` is given.
    struct menlou_str content_type;
    // Its bytes.
    struct menlou_str body;
} menlou_reply;

// Servers to be made an upstream: the calls go to the one with the least to do.
typedef struct menlou_upstream_options {
    // Size of this struct as the plugin has it.
    uint32_t struct_size;
    // After how many failures in a row a server is left alone; 0: never.
    uint32_t break_after;
    // For how long, in milliseconds. Then one call tries it.
    uint32_t break_for_ms;
    // How often each server is asked whether it is well, in milliseconds; only with `health_path`.
    uint32_t health_interval_ms;
    // `http://` or `https://`, each perhaps with a path that goes before each target.
    const struct menlou_str *servers;
    // How many, at least 1.
    size_t servers_len;
    // What servers are asked for by GET: they are well where they answer 2xx or 3xx. Not given: they are not asked.
    struct menlou_str health_path;
    // JSON pointer into the settings where faults of the servers are told (`/upstream`).
    struct menlou_str servers_pointer;
    // The same for those of the health checks.
    struct menlou_str health_pointer;
} menlou_upstream_options;

// A call forwarded to an upstream: its method and body go on as they come, with the headers said here.
typedef struct menlou_forward {
    // Size of this struct as the plugin has it.
    uint32_t struct_size;
    // Milliseconds from the last byte of the body until the head of the answer, and for each pause within the answer; 0 is
    // the gateway's default. The call's own deadline bounds the former.
    uint32_t timeout_ms;
    // How many more attempts there may be where a server can't be reached or breaks off; an attempt that may have been
    // received is repeated only for idempotent methods.
    uint32_t retries;
    // Zero.
    uint32_t reserved;
    // The largest body, in bytes; 0: any.
    uint64_t max_body;
    // Where it goes: of the same action and tenant.
    const struct menlou_upstream *upstream;
    // Path and query; starts with `/`.
    struct menlou_str target;
    // Names of the request's headers that go along as they came. `authorization` and those of one connection never do.
    const struct menlou_str *pass_headers;
    // How many.
    size_t pass_headers_len;
    // Headers besides, in place of any passed of the same name.
    const struct menlou_kv *headers;
    // How many.
    size_t headers_len;
} menlou_forward;

// What the gateway does for plugins, all of it within the call's tenant. Fields are only ever added at the end: a
// plugin that uses one past ABI 1.0 looks at `struct_size` first.
typedef struct menlou_host {
    // Size of this struct as the gateway has it.
    uint32_t struct_size;
    // `MENLOU_ABI_MAJOR` of the gateway.
    uint16_t abi_major;
    // `MENLOU_ABI_MINOR` of the gateway.
    uint16_t abi_minor;
    // The gateway's own.
    void *context;
    // Any thread. 1 where a line of this level would be kept.
    int32_t (*log_enabled)(const struct menlou_host *host, uint32_t level);
    // Any thread. `call` may be NULL; the line names it where this thread is inside of it. Never log a secret, a code, a token or a phone number.
    void (*log)(const struct menlou_host *host,
                const struct menlou_call *call,
                uint32_t level,
                struct menlou_str message,
                const struct menlou_kv *fields,
                size_t fields_len);
    // Any thread. Unix milliseconds.
    uint64_t (*now_unix_ms)(const struct menlou_host *host);
    // Any thread. Fills `out` with bytes fit for keys. `MENLOU_READY` or an error.
    int32_t (*random)(const struct menlou_host *host, uint8_t *out, size_t len);
    // Any thread. Writes 32 bytes to `out`. `MENLOU_READY` or an error.
    int32_t (*hmac_sha256)(const struct menlou_host *host,
                           struct menlou_str key,
                           struct menlou_str message,
                           uint8_t *out);
    // Inside `configure` only. Tells a fault at a JSON pointer into the settings (RFC 6901; "" is the whole).
    void (*config_error)(struct menlou_setup *setup,
                         struct menlou_str pointer,
                         struct menlou_str msg_zh,
                         struct menlou_str msg_en);
    // A header of the request by its lower-case name, borrowed until the call's `drop`. `MENLOU_READY` or
    // `MENLOU_ERR_NOT_FOUND`; `authorization` is never found.
    int32_t (*header)(struct menlou_call *call, struct menlou_str name, struct menlou_str *out);
    // Asks the platform whose login code this is; the same code again within the window is answered as the first was.
    // Data: `{"openid":str,"unionid"?:str}`.
    struct menlou_op *(*exchange)(struct menlou_call *call, struct menlou_str code, uint32_t replay_window_ms);
    // Takes an openid without a code, where the gateway's config allows that. Data as `exchange`.
    struct menlou_op *(*test_identity)(struct menlou_call *call, struct menlou_str openid);
    // Opens a session for an openid that this call got by `exchange` or `test_identity`.
    // Data: `{"token":str,"expires_in":seconds}`.
    struct menlou_op *(*session_open)(struct menlou_call *call, struct menlou_str openid);
    // The caller's session, with the token that the caller sent. Data as `session_open`.
    struct menlou_op *(*session_current)(struct menlou_call *call);
    // Ends the caller's session. No data.
    struct menlou_op *(*session_end)(struct menlou_call *call);
    // Asks the platform for the phone number behind a phone code. Data: `{"phone":"+8613800138000"}`.
    struct menlou_op *(*phone_number)(struct menlou_call *call, struct menlou_str phone_code);
    // The account that an openid of this tenant is bound to: the caller's, or one that this call got by `exchange`
    // or `test_identity`. Data: `{"id":int,"name":str,"avatar_url":str}`, or `MENLOU_ERR_NOT_FOUND`.
    struct menlou_op *(*user_find)(struct menlou_call *call, struct menlou_str openid);
    // Binds the caller's openid to a new account; where it is bound already, that account as it is. Data as `user_find`.
    struct menlou_op *(*user_bind_new)(struct menlou_call *call, struct menlou_str name, struct menlou_str avatar_url);
    // Binds the caller's openid to the account with this phone number, made if there is none. Data as `user_find`.
    struct menlou_op *(*user_bind_phone)(struct menlou_call *call, struct menlou_str phone);
    // Binds the caller's openid to the account that the tenant's own login service knows by `id`, made if there is
    // none, and brings name and picture up to date. Data as `user_find`.
    struct menlou_op *(*user_bind_external)(struct menlou_call *call,
                                            struct menlou_str id,
                                            struct menlou_str name,
                                            struct menlou_str avatar_url);
    // Checks account and password, attempts being limited per account and per address, and binds the caller's openid
    // to the account. Data as `user_find`.
    struct menlou_op *(*user_bind_password)(struct menlou_call *call,
                                            struct menlou_str account,
                                            struct menlou_str password);
    // Takes the binding of the caller's openid away; the account stays. No data.
    struct menlou_op *(*user_unbind)(struct menlou_call *call);
    // Changes name and picture of the caller's account where given (`{NULL, 0}` leaves as it is). Data as `user_find`.
    struct menlou_op *(*user_update)(struct menlou_call *call, struct menlou_str name, struct menlou_str avatar_url);
    // Sends an HTTP request from the gateway; redirects are not followed.
    struct menlou_op *(*http_send)(struct menlou_call *call, const struct menlou_http_request *request);
    // Waits. No data.
    struct menlou_op *(*sleep_ms)(struct menlou_call *call, uint64_t ms);
    // Inside `poll`. `MENLOU_READY` fills the outcome, each time until `op_drop`; `MENLOU_PENDING` has `poll` called again; `MENLOU_ERR_INVALID`.
    // An `op` is NULL where its arguments were no good; polling that is `MENLOU_ERR_INVALID` too, and so is polling
    // the `op` of another call.
    int32_t (*op_poll)(struct menlou_call *call, struct menlou_op *op, struct menlou_outcome *outcome);
    // Any thread. Frees an operation, and gives up on it if it is running: a write may or may not have happened. Once for
    // each operation, at the latest in the call's `drop`: what is still running then is given up, and told in the log.
    void (*op_drop)(struct menlou_op *op);
    // Answers the call; then `poll` returns `MENLOU_READY`. `MENLOU_READY`, or `MENLOU_ERR_INVALID` for an answer
    // that is no JSON object, a bad word, or a second answer.
    int32_t (*reply)(struct menlou_call *call, const struct menlou_reply *reply);
    // Inside `poll`. A handle to have `poll` called again because of something that the gateway does not know of.
    struct menlou_waker *(*waker_clone)(struct menlou_call *call);
    // Any thread, also after the call's end.
    void (*waker_wake)(const struct menlou_waker *waker);
    // Any thread.
    void (*waker_drop)(struct menlou_waker *waker);
    // Calls the platform with the tenant's access token, which never reaches the plugin. `method` is `GET` or `POST`;
    // `path` is of plain segments (`/wxa/msg_sec_check`), none that gives out credentials; `fields` is a JSON object
    // without `access_token`, the query of a GET and the JSON body of a POST. Data: the answer's fields without
    // errcode 0 and errmsg, or a file with its `content_type`.
    struct menlou_op *(*platform_call)(struct menlou_call *call,
                                       struct menlou_str method,
                                       struct menlou_str path,
                                       struct menlou_str fields);
    // Opens what the platform encrypted for the caller, with the session's key, which never reaches the plugin; refused
    // where it is another mini-program's or older than `max_age_ms`. Data: the JSON object within.
    struct menlou_op *(*decrypt)(struct menlou_call *call,
                                 struct menlou_str encrypted_data,
                                 struct menlou_str iv,
                                 uint64_t max_age_ms);
    // Asks the platform whether the key of the caller's session is still valid; the word `session_expired` where it is
    // not. No data.
    struct menlou_op *(*session_key_check)(struct menlou_call *call);
    // Has the platform give the caller a new key, and keeps it in the session. No data.
    struct menlou_op *(*session_key_reset)(struct menlou_call *call);
    // Inside `configure` only. Makes an upstream for the calls of this action in this tenant, the gateway's until
    // `release`. NULL where the options are no good, which is told as a fault.
    struct menlou_upstream *(*upstream_new)(struct menlou_setup *setup, const struct menlou_upstream_options *options);
    // Answers the call from an upstream. Once it is ready, head and status are there and the call is answered: then
    // `poll` returns `MENLOU_READY` without `reply`, and the gateway moves the bytes. No data.
    struct menlou_op *(*forward)(struct menlou_call *call, const struct menlou_forward *forward);
    // The next piece of the body, with `MENLOU_ACTION_RAW_BODY`. Data: any bytes, at least one; `MENLOU_ERR_NOT_FOUND` at
    // the end. One at a time, and none once it is forwarded.
    struct menlou_op *(*body_read)(struct menlou_call *call);
    // Begins an answer that is written piece by piece, without an envelope: its media type, `text/csv`. The head goes
    // out; then `response_write`, and at last `MENLOU_READY` from `poll` without `reply`. Where `poll` fails instead, the
    // connection is cut, so that the client sees it. `MENLOU_READY`, or `MENLOU_ERR_INVALID` for a second answer.
    int32_t (*response_begin)(struct menlou_call *call, struct menlou_str content_type);
    // Writes a piece of it: ready when the one before has gone to the client's connection. No data.
    struct menlou_op *(*response_write)(struct menlou_call *call, struct menlou_str piece);
} menlou_host;

// One parameter of a request, checked against the action's `params_schema`. Names are unique; none is empty.
typedef struct menlou_param {
    // The parameter's name.
    struct menlou_str name;
    // Its value, as `kind` says.
    struct menlou_str value;
    // `MENLOU_PARAM_…`.
    uint32_t kind;
    // Zero.
    uint32_t reserved;
} menlou_param;

// What was asked. Borrowed until the call's `drop`.
typedef struct menlou_request {
    // Size of this struct as the gateway has it.
    uint32_t struct_size;
    // Zero.
    uint32_t reserved;
    // When the gateway gives up on the call, Unix milliseconds; put off while a body that is not read before goes on coming.
    uint64_t deadline_unix_ms;
    // `POST`.
    struct menlou_str method;
    // The path of the URL.
    struct menlou_str path;
    // The tenant's name, the `f` of the URL.
    struct menlou_str tenant;
    // The action's name in the tenant file, the `a` of the URL.
    struct menlou_str action;
    // What the answer's `X-Request-Id` and the log carry.
    struct menlou_str request_id;
    // The client's address.
    struct menlou_str remote_ip;
    // The caller's language: `zh` or `en`.
    struct menlou_str language;
    // The parameters of query and body.
    const struct menlou_param *params;
    // How many.
    size_t params_len;
    // The body as it came; any bytes. Not given to an action with `MENLOU_ACTION_RAW_BODY`.
    struct menlou_str body;
    // The platform of the caller's session (`wechat`); not given without a session.
    struct menlou_str platform;
    // The openid of the caller's session; not given without a session.
    struct menlou_str openid;
    // The account that the openid is bound to; 0 unless the action needs a user.
    int64_t user_id;
    // Its name.
    struct menlou_str user_name;
    // Its picture.
    struct menlou_str user_avatar_url;
    // The query of the URL as it came, without `f` and `a`. Only with `MENLOU_ACTION_RAW_QUERY`.
    struct menlou_str query;
    // What the URL's path has after the action, from its `/` on, as it came; without `.` and `..` segments. Only with
    // `MENLOU_ACTION_SUBPATHS`.
    struct menlou_str subpath;
} menlou_request;

// One action of a plugin.
typedef struct menlou_action {
    // Size of this struct as the plugin has it.
    uint32_t struct_size;
    // `MENLOU_ACCESS_…`: who is served.
    uint32_t access;
    // `MENLOU_ACTION_…`.
    uint64_t flags;
    // `[a-z0-9][a-z0-9_-]{0,63}`; a tenant file switches it on by this name.
    struct menlou_str name;
    // HTTP methods it serves, comma-separated. Not given: `POST`.
    struct menlou_str methods;
    // A few words in Chinese.
    struct menlou_str title_zh;
    // The same in English.
    struct menlou_str title_en;
    // What it does, in Chinese.
    struct menlou_str description_zh;
    // The same in English.
    struct menlou_str description_en;
    // JSON Schema (2020-12) of the parameters, an object. Not given: any.
    struct menlou_str params_schema;
    // JSON Schema of the answer's `data`, an object. Not given: any. Where the answer may be a file instead, its keyword
    // `x-file` lists the media types: `["image/jpeg"]`, `["image/*"]`, `["*/*"]`.
    struct menlou_str data_schema;
    // JSON Schema of the action's table in the tenant file. Not given: no settings. A text property with
    // `"format": "secret"` may stand in the file as `env:…` or `file:…` and comes resolved. One with `"format": "address"`
    // is where the gateway connects to: a tenant's own admin can't set it.
    struct menlou_str settings_schema;
    // Makes ready the settings of one tenant, once, before any call; may be NULL. `settings` is JSON that fits the
    // schema. `MENLOU_READY`, or an error after telling each fault by `host->config_error`.
    int32_t (*configure)(const struct menlou_host *host,
                         struct menlou_setup *setup,
                         struct menlou_str tenant,
                         struct menlou_str settings,
                         void **out);
    // Frees what `configure` made, after the last call with it; may be NULL.
    void (*release)(void *settings);
    // Begins a call, without blocking. `state` goes to `poll` and `drop`. `MENLOU_READY`, or an error: then neither follows.
    int32_t (*start)(const struct menlou_host *host,
                     struct menlou_call *call,
                     const struct menlou_request *request,
                     const void *settings,
                     void **state);
    // Goes on with it. `MENLOU_PENDING`; `MENLOU_READY` after `reply`; or an error. Not called again after the last two.
    int32_t (*poll)(void *state, struct menlou_call *call);
    // Ends it, whatever it came to; exactly once, not during `poll`. Called early where the client has gone.
    void (*drop)(void *state);
} menlou_action;

// A plugin. Lives as long as the process.
typedef struct menlou_plugin {
    // `MENLOU_MAGIC`.
    uint8_t magic[8];
    // Size of this struct as the plugin has it.
    uint32_t struct_size;
    // `MENLOU_ABI_MAJOR` of the plugin.
    uint16_t abi_major;
    // `MENLOU_ABI_MINOR` of the plugin.
    uint16_t abi_minor;
    // `MENLOU_FLAG_…`.
    uint64_t flags;
    // `MENLOU_SIZES`: tells a plugin that was compiled against another header.
    uint16_t sizes[8];
    // As the file is called, without `.so`.
    struct menlou_str name;
    // The plugin's own version.
    struct menlou_str version;
    // Its actions.
    const struct menlou_action *actions;
    // How many.
    size_t actions_len;
    // Called once, before all else; may be NULL. `MENLOU_READY` or an error.
    int32_t (*init)(const struct menlou_host *host);
} menlou_plugin;

// In the ELF section `.note.menlou`, so that the gateway can read it before it runs any code of the file.
typedef struct menlou_note {
    // 8.
    uint32_t owner_len;
    // Size of what follows `owner`.
    uint32_t desc_len;
    // 1.
    uint32_t kind;
    // `Menlou`.
    uint8_t owner[8];
    // `MENLOU_ABI_MAJOR` of the plugin.
    uint16_t abi_major;
    // `MENLOU_ABI_MINOR` of the plugin.
    uint16_t abi_minor;
    // `MENLOU_SIZES`.
    uint16_t sizes[8];
    // The plugin's name, filled up with NULs.
    uint8_t name[32];
    // The plugin's version, filled up with NULs.
    uint8_t version[16];
} menlou_note;

// The one function that a plugin exports, as `menlou_plugin_v1`. NULL: it can't serve such a gateway.
typedef const struct menlou_plugin *(*menlou_plugin_entry)(uint16_t host_major, uint16_t host_minor);

#endif  /* MENLOU_PLUGIN_H */

/* A literal as menlou_str. */
#define MENLOU_STR(literal) { (const uint8_t *)(literal), sizeof(literal) - 1 }

/* For menlou_plugin.magic. */
#define MENLOU_MAGIC { 'M', 'E', 'N', 'L', 'O', 'U', '\r', '\n' }

/* For menlou_plugin.sizes. */
#define MENLOU_SIZES                                                                                                   \
    { sizeof(menlou_host), sizeof(menlou_plugin), sizeof(menlou_action), sizeof(menlou_request),                       \
      sizeof(menlou_outcome), sizeof(menlou_reply), sizeof(menlou_http_request), sizeof(menlou_param) }

/* Whether a struct is long enough to have a field that came after ABI 1.0. */
#define MENLOU_HAS(pointer, field)                                                                                     \
    ((pointer)->struct_size >= offsetof(__typeof__(*(pointer)), field) + sizeof((pointer)->field))

/* Once per plugin, at the top level: what the gateway reads from the file before it runs any of its code. */
#define MENLOU_PLUGIN_NOTE(NAME, VERSION)                                                                              \
    __attribute__((used, section(".note.menlou"), aligned(4))) static const menlou_note menlou_note_ = {              \
        8, sizeof(menlou_note) - 20, 1, { 'M', 'e', 'n', 'l', 'o', 'u' }, MENLOU_ABI_MAJOR, MENLOU_ABI_MINOR,          \
        MENLOU_SIZES, NAME, VERSION }

/* The one function that a plugin exports. */
#ifdef __cplusplus
extern "C"
#endif
__attribute__((visibility("default"))) const menlou_plugin *menlou_plugin_v1(uint16_t host_major, uint16_t host_minor);
