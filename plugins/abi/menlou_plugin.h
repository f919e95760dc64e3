/*
 * The plugin ABI: the C types and functions that the gateway and a plugin use to call each other.
 *
 * menlou_plugin.h is generated from this file, and a test keeps both equal. Names and comments therefore follow C.
 *
 * Trust. A plugin is native code in the gateway's process, with all of its rights. The ABI contains mistakes, not
 * malice: a panic fails one call, and an unsuitable file is rejected. Nothing in a process can contain abort, an
 * invalid pointer, or a function that never returns.
 *
 * Rules
 * 1. Text is UTF-8 with a length, without a terminating NUL. {NULL, 0} means "not given". Numbers are plain integers,
 *    never enums.
 * 2. The side that allocates an object frees it. Arguments of a plugin are copied before the function returns. Data of
 *    the gateway is borrowed: a request until drop, an outcome until op_drop, the host table until the process ends.
 * 3. A plugin never blocks. It starts operations, polls them, and returns MENLOU_PENDING while one is pending. The
 *    gateway logs a warning if a function keeps its thread for 100 ms or longer.
 * 4. start, poll and drop of one call never run at the same time, but may run on different threads.
 * 5. No exception, panic or longjmp leaves a function of this ABI: the process would abort.
 * 6. Structs grow only at their end and carry their size. Constants are added, never changed. Any other change needs a
 *    new major version.
 * 7. A function marked "any thread" may be called anywhere. Any other function may be called only inside start and
 *    poll, with that call. Elsewhere, and with a call or an operation that has ended, a function has no effect and
 *    returns NULL or MENLOU_ERR_INVALID.
 * 8. A library is never unmapped: its statics and the host table live as long as the process.
 */

#ifndef MENLOU_PLUGIN_H
#define MENLOU_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

// Major version. A gateway and a plugin with different major versions do not work together.
#define MENLOU_ABI_MAJOR 1

// Minor version. A plugin may use functions of a later minor version if the gateway's table is long enough.
#define MENLOU_ABI_MINOR 0

// The operation or the call is not done yet: poll again when woken.
#define MENLOU_PENDING 0

// Done.
#define MENLOU_READY 1

// The plugin panicked, and its SDK caught the panic.
#define MENLOU_ERR_PANIC -1

// Failed. Only the log has the reason.
#define MENLOU_ERR_FAILED -2

// Not found: no such user, no such header.
#define MENLOU_ERR_NOT_FOUND -3

// The gateway rejected the operation or could not complete it; the outcome's `error_code` has the reason.
#define MENLOU_ERR_CODE -4

// An argument is invalid, or the function must not be called here: a bug in the plugin.
#define MENLOU_ERR_INVALID -5

// Log level: something failed.
#define MENLOU_LOG_ERROR 1

// Log level: something that an operator should look into.
#define MENLOU_LOG_WARN 2

// Log level: a notable event.
#define MENLOU_LOG_INFO 3

// Log level: details for debugging.
#define MENLOU_LOG_DEBUG 4

// Log level: everything.
#define MENLOU_LOG_TRACE 5

// Any caller is allowed.
#define MENLOU_ACCESS_ANYONE 0

// A session is required: `menlou_request.openid` is given.
#define MENLOU_ACCESS_SESSION 1

// A session whose openid is bound to an account is required: `menlou_request.user_id` is given.
#define MENLOU_ACCESS_USER 2

// The setting `auth` of the action decides in each tenant. `session` (the default) requires a session, `required` a
// user as `MENLOU_ACCESS_USER` does. `optional` allows any caller: the request has an `openid` if it carried a token,
// and is rejected if that token is invalid.
#define MENLOU_ACCESS_BY_SETTING 3

// `menlou_param.value` is text.
#define MENLOU_PARAM_TEXT 0

// `menlou_param.value` is JSON: a number, a boolean, an array or an object.
#define MENLOU_PARAM_JSON 1

// The body is not read before the call, so it may have any media type and size. The action reads it with `body_read`
// or forwards it with `forward`. Parameters come from the query only.
#define MENLOU_ACTION_RAW_BODY 1

// The query is not parsed and gives no parameters; the action reads `menlou_request.query`.
#define MENLOU_ACTION_RAW_QUERY 2

// The action also serves the URLs below its own: `/srv/<tenant>/<action>/…`.
#define MENLOU_ACTION_SUBPATHS 4

// Addresses in `Location`, `Content-Location` and `Refresh` of the response stay as the upstream wrote them. Without this
// flag, those of the upstream become public paths.
#define MENLOU_FORWARD_KEEP_LOCATION 1

// A panic unwinds no further than the plugin's guard (Rust: panic=unwind), or the language has no panics.
#define MENLOU_FLAG_CONTAINS_PANICS 1

// A handle of one call in flight, owned by the gateway. It is not an address and must not be dereferenced.
typedef struct menlou_call menlou_call;

// A handle of one operation that a call started. The plugin releases it with `op_drop`. It is not an address and must
// not be dereferenced. A call may hold at most 10,000 unreleased operations.
typedef struct menlou_op menlou_op;

// A handle of settings that are being configured, for reporting errors. Owned by the gateway, valid inside `configure`.
typedef struct menlou_setup menlou_setup;

// A handle of the servers that calls are forwarded to. Owned by the gateway, valid from `upstream_new` until `release`.
typedef struct menlou_upstream menlou_upstream;

// A handle that wakes one call from any thread. The plugin releases it with `waker_drop`.
typedef struct menlou_waker menlou_waker;

// Borrowed bytes: UTF-8 text unless stated otherwise. `{NULL, 0}` means "not given".
typedef struct menlou_str {
    // First byte; may be NULL if `len` is 0.
    const uint8_t *ptr;
    // Number of bytes.
    size_t len;
} menlou_str;

// A name and a value.
typedef struct menlou_kv {
    // The name.
    struct menlou_str key;
    // The value.
    struct menlou_str value;
} menlou_kv;

// An HTTP request that the gateway sends for a plugin.
typedef struct menlou_http_request {
    // Size of this struct in the plugin.
    uint32_t struct_size;
    // Timeout of the complete exchange in milliseconds; 0: the gateway's default. The call's deadline applies too.
    uint32_t timeout_ms;
    // `GET`, `POST`, …
    struct menlou_str method;
    // `http://` or `https://`.
    struct menlou_str url;
    // The headers.
    const struct menlou_kv *headers;
    // Number of headers.
    size_t headers_len;
    // The body; any bytes.
    struct menlou_str body;
} menlou_http_request;

// The outcome of an operation. The plugin sets `struct_size`; all texts are borrowed until `op_drop`.
typedef struct menlou_outcome {
    // Size of this struct in the plugin.
    uint32_t struct_size;
    // `MENLOU_READY` or `MENLOU_ERR_…`.
    int32_t status;
    // HTTP status of the response, for `http_send` and `forward`.
    uint32_t http_status;
    // Zero.
    uint32_t reserved;
    // The error code, with `MENLOU_ERR_CODE`.
    struct menlou_str error_code;
    // JSON, as each operation documents; any bytes for the body of `http_send`, a file, and `body_read`.
    struct menlou_str data;
    // Media type of the response of `platform_call`, if it is a file.
    struct menlou_str content_type;
} menlou_outcome;

// The response to a call.
typedef struct menlou_reply {
    // Size of this struct in the plugin.
    uint32_t struct_size;
    // Zero.
    uint32_t reserved;
    // Not given: success. Otherwise the error code, `[a-z0-9_]{1,64}`: one of the gateway's, or the plugin's own.
    struct menlou_str error_code;
    // The message for users in Chinese. Not given: the gateway's message for the error code. With an error code of the
    // gateway that is for developers, such as `missing_parameter`, the text becomes `data.detail` of the response.
    struct menlou_str msg_zh;
    // The message for users in English.
    struct menlou_str msg_en;
    // The `data` of the response, a JSON object. Not given: `{}`.
    struct menlou_str data;
    // Media type of a file that is sent instead of the envelope: `image/jpeg`. Neither `error_code` nor `data` may be
    // given then.
    struct menlou_str content_type;
    // Bytes of the file.
    struct menlou_str body;
} menlou_reply;

// The servers of an upstream. A forwarded call goes to the server with the fewest requests in flight.
typedef struct menlou_upstream_options {
    // Size of this struct in the plugin.
    uint32_t struct_size;
    // Number of consecutive failures that open the circuit of a server; 0: never.
    uint32_t break_after;
    // Time for which the circuit stays open, in milliseconds. Then one call probes the server.
    uint32_t break_for_ms;
    // Interval of health checks in milliseconds; only with `health_path`.
    uint32_t health_interval_ms;
    // `http://` or `https://` URLs; a path of a URL precedes each target.
    const struct menlou_str *servers;
    // Number of servers, at least 1.
    size_t servers_len;
    // Path of health checks, requested with GET: 2xx and 3xx are healthy. Not given: no health checks.
    struct menlou_str health_path;
    // JSON pointer into the settings (`/upstream`), for errors in `servers`.
    struct menlou_str servers_pointer;
    // JSON pointer into the settings, for errors in `health_path`.
    struct menlou_str health_pointer;
} menlou_upstream_options;

// A call that is forwarded to an upstream with its method and body, and with the headers given here.
typedef struct menlou_forward {
    // Size of this struct in the plugin.
    uint32_t struct_size;
    // Timeout in milliseconds from the last byte of the body to the response headers, and for each pause within the
    // response body; 0: the gateway's default. The call's deadline bounds the former.
    uint32_t timeout_ms;
    // Number of retries if a server is unreachable or closes the connection. A request that the server may have
    // received is retried only if its method is idempotent.
    uint32_t retries;
    // `MENLOU_FORWARD_…`.
    uint32_t flags;
    // Maximum size of the body in bytes; 0: unlimited.
    uint64_t max_body;
    // The upstream, which the same action created for the same tenant.
    const struct menlou_upstream *upstream;
    // Path and query, beginning with `/`.
    struct menlou_str target;
    // Names of request headers to pass on. Never passed on: `authorization`, hop-by-hop headers, `x-menlou-*`,
    // `x-forwarded-for`, and headers that a CGI-like server could take for one of these or of `headers`.
    const struct menlou_str *pass_headers;
    // Number of names.
    size_t pass_headers_len;
    // Additional headers. They replace passed headers of the same name.
    const struct menlou_kv *headers;
    // Number of additional headers.
    size_t headers_len;
} menlou_forward;

// The functions of the gateway, scoped to the call's tenant. Fields are only added at the end: check `struct_size`
// before you use a function that is newer than ABI 1.0.
typedef struct menlou_host {
    // Size of this struct in the gateway.
    uint32_t struct_size;
    // `MENLOU_ABI_MAJOR` of the gateway.
    uint16_t abi_major;
    // `MENLOU_ABI_MINOR` of the gateway.
    uint16_t abi_minor;
    // Private data of the gateway.
    void *context;
    // Any thread. Returns 1 if lines of this level are logged, else 0.
    int32_t (*log_enabled)(const struct menlou_host *host, uint32_t level);
    // Any thread. Logs one line. `call` may be NULL; otherwise it is the call that this thread is inside of, and the
    // line carries its request id. Never log a secret, a code, a token or a phone number.
    void (*log)(const struct menlou_host *host,
                const struct menlou_call *call,
                uint32_t level,
                struct menlou_str message,
                const struct menlou_kv *fields,
                size_t fields_len);
    // Any thread. Returns the Unix time in milliseconds.
    uint64_t (*now_unix_ms)(const struct menlou_host *host);
    // Any thread. Fills `out` with random bytes that are fit for keys. Returns `MENLOU_READY` or an error.
    int32_t (*random)(const struct menlou_host *host, uint8_t *out, size_t len);
    // Any thread. Writes the 32 bytes of an HMAC-SHA256 to `out`. Returns `MENLOU_READY` or an error.
    int32_t (*hmac_sha256)(const struct menlou_host *host,
                           struct menlou_str key,
                           struct menlou_str message,
                           uint8_t *out);
    // Inside `configure` only. Reports an error at a JSON pointer into the settings (RFC 6901; "" is all of them).
    void (*config_error)(struct menlou_setup *setup,
                         struct menlou_str pointer,
                         struct menlou_str msg_zh,
                         struct menlou_str msg_en);
    // Reads a request header by its lower-case name. The value is borrowed until the call's `drop`. Returns
    // `MENLOU_READY` or `MENLOU_ERR_NOT_FOUND`; `authorization` is never found.
    int32_t (*header)(struct menlou_call *call, struct menlou_str name, struct menlou_str *out);
    // Exchanges a login code with the platform. The same code within the replay window gets the first result again.
    // Data: `{"openid":str,"unionid"?:str}`.
    struct menlou_op *(*exchange)(struct menlou_call *call, struct menlou_str code, uint32_t replay_window_ms);
    // Accepts an openid without a code, if the gateway's config allows test openids. Data: as of `exchange`.
    struct menlou_op *(*test_identity)(struct menlou_call *call, struct menlou_str openid);
    // Opens a session for an openid that this call got from `exchange` or `test_identity`.
    // Data: `{"token":str,"expires_in":seconds}`.
    struct menlou_op *(*session_open)(struct menlou_call *call, struct menlou_str openid);
    // Reads the caller's session, with the token that the caller sent. Data: as of `session_open`.
    struct menlou_op *(*session_current)(struct menlou_call *call);
    // Ends the caller's session. No data.
    struct menlou_op *(*session_end)(struct menlou_call *call);
    // Exchanges a phone code for a phone number with the platform. A code that another person than the caller obtained is
    // rejected with `invalid_code`, if the platform can check that. Data: `{"phone":"+8613800138000"}`.
    struct menlou_op *(*phone_number)(struct menlou_call *call, struct menlou_str phone_code);
    // Finds the account that an openid is bound to: the caller's openid, or one that this call got from `exchange` or
    // `test_identity`. Data: `{"id":int,"name":str,"avatar_url":str}`, or `MENLOU_ERR_NOT_FOUND`.
    struct menlou_op *(*user_find)(struct menlou_call *call, struct menlou_str openid);
    // Binds the caller's openid to a new account. If it is bound already, returns that account unchanged. Data: as of
    // `user_find`.
    struct menlou_op *(*user_bind_new)(struct menlou_call *call, struct menlou_str name, struct menlou_str avatar_url);
    // Binds the caller's openid to the account with this phone number, which is created if necessary. Data: as of
    // `user_find`.
    struct menlou_op *(*user_bind_phone)(struct menlou_call *call, struct menlou_str phone);
    // Binds the caller's openid to the account with this `id` in the tenant's own login service. The account is created
    // if necessary; its name and avatar URL are updated. Data: as of `user_find`.
    struct menlou_op *(*user_bind_external)(struct menlou_call *call,
                                            struct menlou_str id,
                                            struct menlou_str name,
                                            struct menlou_str avatar_url);
    // Checks an account name and a password and binds the caller's openid to the account. Attempts are limited per
    // account, per openid and per client address. Data: as of `user_find`.
    struct menlou_op *(*user_bind_password)(struct menlou_call *call,
                                            struct menlou_str account,
                                            struct menlou_str password);
    // Removes the binding of the caller's openid; the account stays. No data.
    struct menlou_op *(*user_unbind)(struct menlou_call *call);
    // Updates name and avatar URL of the caller's account; `{NULL, 0}` leaves a value unchanged. Data: as of
    // `user_find`.
    struct menlou_op *(*user_update)(struct menlou_call *call, struct menlou_str name, struct menlou_str avatar_url);
    // Sends an HTTP request from the gateway. Redirects are not followed.
    struct menlou_op *(*http_send)(struct menlou_call *call, const struct menlou_http_request *request);
    // Completes after this time. No data.
    struct menlou_op *(*sleep_ms)(struct menlou_call *call, uint64_t ms);
    // Inside `poll`. Returns `MENLOU_READY` and fills the outcome, each time until `op_drop`; `MENLOU_PENDING`, and
    // arranges for the next `poll`; or `MENLOU_ERR_INVALID` for NULL (an operation whose arguments were invalid) and for
    // an operation of another call.
    int32_t (*op_poll)(struct menlou_call *call, struct menlou_op *op, struct menlou_outcome *outcome);
    // Any thread. Releases an operation. A pending operation is cancelled; a write may or may not have happened. Call it
    // once for each operation, at the latest in the call's `drop`. Operations that remain after `drop` are cancelled,
    // and a warning is logged.
    void (*op_drop)(struct menlou_op *op);
    // Sets the response of the call; `poll` then returns `MENLOU_READY`. Returns `MENLOU_READY`, or `MENLOU_ERR_INVALID`
    // if the data is no JSON object, the error code is malformed, or the call has a response already.
    int32_t (*reply)(struct menlou_call *call, const struct menlou_reply *reply);
    // Inside `poll`. Returns a handle that has `poll` called again, for an event that the gateway does not know of.
    struct menlou_waker *(*waker_clone)(struct menlou_call *call);
    // Any thread, also after the call's end. Has `poll` called again.
    void (*waker_wake)(const struct menlou_waker *waker);
    // Any thread, also after the call's end. Releases the handle.
    void (*waker_drop)(struct menlou_waker *waker);
    // Sends a request to the platform with the tenant's access token, which the plugin never sees. `method` is `GET` or
    // `POST`. `path` has plain segments (`/wxa/msg_sec_check`) and is none that returns credentials. `fields` is a JSON
    // object without `access_token`: the query of a GET, the JSON body of a POST. Data: the fields of the response
    // without errcode 0 and errmsg, or a file with its `content_type`.
    struct menlou_op *(*platform_call)(struct menlou_call *call,
                                       struct menlou_str method,
                                       struct menlou_str path,
                                       struct menlou_str fields);
    // Decrypts data that the platform encrypted for the caller, with the session key, which the plugin never sees.
    // Rejected if the data is of another mini-program or older than `max_age_ms`. Data: the decrypted JSON object.
    struct menlou_op *(*decrypt)(struct menlou_call *call,
                                 struct menlou_str encrypted_data,
                                 struct menlou_str iv,
                                 uint64_t max_age_ms);
    // Asks the platform whether the key of the caller's session is still valid. If not, the error code is
    // `session_expired`. No data.
    struct menlou_op *(*session_key_check)(struct menlou_call *call);
    // Has the platform issue a new key for the caller, and stores it in the session. No data.
    struct menlou_op *(*session_key_reset)(struct menlou_call *call);
    // Inside `configure` only. Creates an upstream for the calls of this action in this tenant; the gateway keeps it
    // until `release`. Returns NULL for invalid options, which the gateway reports as errors of the settings.
    struct menlou_upstream *(*upstream_new)(struct menlou_setup *setup, const struct menlou_upstream_options *options);
    // Forwards the call to an upstream and its response to the client. The operation is ready when the response headers
    // have been received. Then return `MENLOU_READY` from `poll` without `reply`; the gateway moves the bytes. No data.
    struct menlou_op *(*forward)(struct menlou_call *call, const struct menlou_forward *forward);
    // Reads the next chunk of the body, with `MENLOU_ACTION_RAW_BODY`. Data: at least one byte; `MENLOU_ERR_NOT_FOUND`
    // at the end. One read at a time, and none after `forward`.
    struct menlou_op *(*body_read)(struct menlou_call *call);
    // Starts a response that is written in chunks, without an envelope, and sends its headers. `content_type` is a media
    // type such as `text/csv`. Then call `response_write`, and at last return `MENLOU_READY` from `poll` without `reply`.
    // If `poll` fails instead, the connection is closed, so that the client notices. Returns `MENLOU_READY`, or
    // `MENLOU_ERR_INVALID` if the call has a response already.
    int32_t (*response_begin)(struct menlou_call *call, struct menlou_str content_type);
    // Writes a chunk of the response. Ready when the chunk before has been passed to the client's connection. No data.
    struct menlou_op *(*response_write)(struct menlou_call *call, struct menlou_str chunk);
    // Counts an attempt to log in to an account whose credentials the action checks by itself. Call it before the check.
    // Attempts are limited as those of `user_bind_password` are: beyond a limit the error code is `too_many_attempts`.
    // `account` is what the client sent, at most 4096 bytes; not given, only openid and address are counted. The action
    // must require a session. No data.
    struct menlou_op *(*attempt_record)(struct menlou_call *call, struct menlou_str account);
    // Reports that the credentials of the attempt were right. `account` is that of `attempt_record`. No data.
    struct menlou_op *(*attempt_succeed)(struct menlou_call *call, struct menlou_str account);
    // Reads the rest of the body, with `MENLOU_ACTION_RAW_BODY`, and keeps it: `forward` and `body_read` still pass it on. Use it
    // to sign or check a body before it is forwarded. A body of more than `max_len` bytes fails with `body_too_large`; at most
    // 16 MiB are kept. Data: the body; `MENLOU_ERR_NOT_FOUND` if it is empty.
    struct menlou_op *(*body_buffer)(struct menlou_call *call, uint64_t max_len);
} menlou_host;

// One parameter of a request, validated by the action's `params_schema`. Names are unique and not empty.
typedef struct menlou_param {
    // The name.
    struct menlou_str name;
    // The value, in the form that `kind` names.
    struct menlou_str value;
    // `MENLOU_PARAM_…`.
    uint32_t kind;
    // Zero.
    uint32_t reserved;
} menlou_param;

// The client's request. Borrowed until the call's `drop`.
typedef struct menlou_request {
    // Size of this struct in the gateway.
    uint32_t struct_size;
    // Zero.
    uint32_t reserved;
    // Deadline of the call, Unix milliseconds. It moves while a body of `MENLOU_ACTION_RAW_BODY` is being received.
    uint64_t deadline_unix_ms;
    // HTTP method: `POST`.
    struct menlou_str method;
    // Path of the URL.
    struct menlou_str path;
    // Name of the tenant, the `f` of the URL.
    struct menlou_str tenant;
    // Name of the action in the tenant file, the `a` of the URL.
    struct menlou_str action;
    // The request id, as in the response's `X-Request-Id` and in the log.
    struct menlou_str request_id;
    // IP address of the client.
    struct menlou_str remote_ip;
    // Language of the caller: `zh` or `en`.
    struct menlou_str language;
    // The parameters of query and body.
    const struct menlou_param *params;
    // Number of parameters.
    size_t params_len;
    // The raw body, any bytes. Not given to an action with `MENLOU_ACTION_RAW_BODY`.
    struct menlou_str body;
    // Platform of the caller's session (`wechat`); not given without a session.
    struct menlou_str platform;
    // Openid of the caller's session; not given without a session.
    struct menlou_str openid;
    // Id of the account that the openid is bound to; 0 unless the action requires a user.
    int64_t user_id;
    // Name of that account.
    struct menlou_str user_name;
    // Avatar URL of that account.
    struct menlou_str user_avatar_url;
    // The raw query of the URL without `f` and `a`. Only with `MENLOU_ACTION_RAW_QUERY`.
    struct menlou_str query;
    // The raw path below the action, beginning with `/`, without `.` and `..` segments. Only with
    // `MENLOU_ACTION_SUBPATHS`.
    struct menlou_str subpath;
} menlou_request;

// One action of a plugin.
typedef struct menlou_action {
    // Size of this struct in the plugin.
    uint32_t struct_size;
    // `MENLOU_ACCESS_…`: which callers are allowed.
    uint32_t access;
    // `MENLOU_ACTION_…`.
    uint64_t flags;
    // `[a-z0-9][a-z0-9_-]{0,63}`; a tenant file enables the action by this name.
    struct menlou_str name;
    // HTTP methods, comma-separated. Not given: `POST`.
    struct menlou_str methods;
    // Title in Chinese, a few words.
    struct menlou_str title_zh;
    // Title in English.
    struct menlou_str title_en;
    // Description in Chinese.
    struct menlou_str description_zh;
    // Description in English.
    struct menlou_str description_en;
    // JSON Schema (2020-12) of the parameters, an object. Not given: any parameters.
    struct menlou_str params_schema;
    // JSON Schema of the response's `data`, an object. Not given: any data. If the action may send a file instead, the
    // keyword `x-file` lists its media types: `["image/jpeg"]`, `["image/*"]`, `["*/*"]`.
    struct menlou_str data_schema;
    // JSON Schema of the action's table in the tenant file. Not given: no settings. A text property with
    // `"format": "secret"` may be written as `env:…` or `file:…` and is passed resolved. A property with
    // `"format": "address"` is an address that the gateway connects to; a tenant's own admin cannot set it.
    struct menlou_str settings_schema;
    // Prepares the settings of one tenant, once, before any call; may be NULL. `settings` is JSON that matches the
    // schema. Returns `MENLOU_READY`, or an error after reporting each error with `host->config_error`.
    int32_t (*configure)(const struct menlou_host *host,
                         struct menlou_setup *setup,
                         struct menlou_str tenant,
                         struct menlou_str settings,
                         void **out);
    // Frees what `configure` returned, after the last call that uses it; may be NULL.
    void (*release)(void *settings);
    // Starts a call without blocking. `state` is passed to `poll` and `drop`. Returns `MENLOU_READY`, or an error: then
    // neither `poll` nor `drop` is called.
    int32_t (*start)(const struct menlou_host *host,
                     struct menlou_call *call,
                     const struct menlou_request *request,
                     const void *settings,
                     void **state);
    // Continues a call. Returns `MENLOU_PENDING`; `MENLOU_READY` after `reply`; or an error. After the last two, `poll` is
    // not called again.
    int32_t (*poll)(void *state, struct menlou_call *call);
    // Ends a call and frees its state: exactly once, never during `poll`. Called early if the client disconnects.
    void (*drop)(void *state);
} menlou_action;

// The descriptor of a plugin. It lives as long as the process.
typedef struct menlou_plugin {
    // `MENLOU_MAGIC`.
    uint8_t magic[8];
    // Size of this struct in the plugin.
    uint32_t struct_size;
    // `MENLOU_ABI_MAJOR` of the plugin.
    uint16_t abi_major;
    // `MENLOU_ABI_MINOR` of the plugin.
    uint16_t abi_minor;
    // `MENLOU_FLAG_…`.
    uint64_t flags;
    // `MENLOU_SIZES`: detects a plugin that was compiled with another header.
    uint16_t sizes[8];
    // The file name without `.so`.
    struct menlou_str name;
    // Version of the plugin.
    struct menlou_str version;
    // The actions.
    const struct menlou_action *actions;
    // Number of actions.
    size_t actions_len;
    // Called once, before any other function; may be NULL. Returns `MENLOU_READY` or an error.
    int32_t (*init)(const struct menlou_host *host);
} menlou_plugin;

// The contents of the ELF section `.note.menlou`. The gateway reads it before it runs any code of the file.
typedef struct menlou_note {
    // 8.
    uint32_t owner_len;
    // Size of the fields after `owner`.
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
    // Name of the plugin, padded with NULs.
    uint8_t name[32];
    // Version of the plugin, padded with NULs.
    uint8_t version[16];
} menlou_note;

// The type of the exported function, `menlou_plugin_v1`. It returns NULL if the plugin does not support this gateway.
typedef const struct menlou_plugin *(*menlou_plugin_entry)(uint16_t host_major, uint16_t host_minor);

#endif  /* MENLOU_PLUGIN_H */

/* A menlou_str of a string literal. */
#define MENLOU_STR(literal) { (const uint8_t *)(literal), sizeof(literal) - 1 }

/* The value of menlou_plugin.magic. */
#define MENLOU_MAGIC { 'M', 'E', 'N', 'L', 'O', 'U', '\r', '\n' }

/* The value of menlou_plugin.sizes. */
#define MENLOU_SIZES                                                                                                   \
    { sizeof(menlou_host), sizeof(menlou_plugin), sizeof(menlou_action), sizeof(menlou_request),                       \
      sizeof(menlou_outcome), sizeof(menlou_reply), sizeof(menlou_http_request), sizeof(menlou_param) }

/* True if a struct of the other side is long enough to have this field. Check it for fields newer than ABI 1.0. */
#define MENLOU_HAS(pointer, field)                                                                                     \
    ((pointer)->struct_size >= offsetof(__typeof__(*(pointer)), field) + sizeof((pointer)->field))

/* Defines the note of the plugin. Use it once per plugin, at file scope. */
#define MENLOU_PLUGIN_NOTE(NAME, VERSION)                                                                              \
    __attribute__((used, section(".note.menlou"), aligned(4))) static const menlou_note menlou_note_ = {              \
        8, sizeof(menlou_note) - 20, 1, { 'M', 'e', 'n', 'l', 'o', 'u' }, MENLOU_ABI_MAJOR, MENLOU_ABI_MINOR,          \
        MENLOU_SIZES, NAME, VERSION }

/* The function that a plugin exports. */
#ifdef __cplusplus
extern "C"
#endif
__attribute__((visibility("default"))) const menlou_plugin *menlou_plugin_v1(uint16_t host_major, uint16_t host_minor);
