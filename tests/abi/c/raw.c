/* A plugin without the SDK: replies that the SDK would not allow, and operations that are polled. */
#include "menlou_plugin.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

MENLOU_PLUGIN_NOTE("raw", "1.0.0");

typedef struct {
    const menlou_host *host;
    const menlou_request *request;
    menlou_op *op;
    int step;
    char openid[65];
} call_state;

/* An operation that one call leaves to another. */
static menlou_op *left_behind;

static menlou_str str(const char *text) {
    return (menlou_str){ (const uint8_t *)text, strlen(text) };
}

static menlou_str param(const menlou_request *request, const char *name) {
    for (size_t i = 0; i < request->params_len; i++) {
        menlou_str key = request->params[i].name;
        if (key.len == strlen(name) && !memcmp(key.ptr, name, key.len))
            return request->params[i].value;
    }
    return (menlou_str){ 0, 0 };
}

static int is(menlou_str text, const char *other) {
    return text.len == strlen(other) && !memcmp(text.ptr, other, text.len);
}

static int32_t start(const menlou_host *host, menlou_call *call, const menlou_request *request, const void *settings,
                     void **out) {
    (void)call, (void)settings;
    if (is(param(request, "how"), "start"))
        return MENLOU_ERR_FAILED;
    call_state *state = calloc(1, sizeof *state);
    state->host = host, state->request = request;
    *out = state;
    return MENLOU_READY;
}

static void drop(void *state) {
    call_state *s = state;
    s->host->op_drop(s->op);
    free(s);
}

static int32_t send_data(call_state *s, menlou_call *call, menlou_str code, menlou_str data) {
    menlou_reply reply = { .struct_size = sizeof reply, .error_code = code, .data = data };
    return s->host->reply(call, &reply);
}

static void send(call_state *s, menlou_call *call, menlou_str code, menlou_str data, menlou_str type, menlou_str body) {
    s->host->reply(call, &(menlou_reply){ .struct_size = sizeof(menlou_reply), .error_code = code, .data = data,
                                          .content_type = type, .body = body });
}

/* Replies as the parameter `how` says. */
static int32_t reply(void *state, menlou_call *call) {
    call_state *s = state;
    menlou_str how = param(s->request, "how"), none = { 0, 0 };
    if (is(how, "garbage"))
        send_data(s, call, none, str("{\"a\":"));
    else if (is(how, "array"))
        send_data(s, call, none, str("[1]"));
    else if (is(how, "invalid_utf8"))
        send_data(s, call, none, str("{\"a\":\"\xff\"}"));
    else if (is(how, "bad_error_code"))
        send_data(s, call, str("Not A Code"), none);
    else if (is(how, "small_struct"))
        s->host->reply(call, &(menlou_reply){ .struct_size = 8 });
    else if (is(how, "null_reply"))
        s->host->reply(call, 0);
    else if (is(how, "bad_type"))
        send(s, call, none, none, str("image"), str("x"));
    else if (is(how, "type_with_newline"))
        send(s, call, none, none, str("image/png\r\nX-Evil: 1"), str("x"));
    else if (is(how, "file_without_type"))
        send(s, call, none, none, none, str("x"));
    else if (is(how, "file_and_error_code"))
        send(s, call, str("error_code"), none, str("image/png"), str("x"));
    else if (is(how, "file_and_data"))
        send(s, call, none, str("{}"), str("image/png"), str("x"));
    else if (is(how, "file"))
        send(s, call, none, none, str("text/plain; charset=utf-8"), str("a file"));
    else if (is(how, "twice")) {
        if (send_data(s, call, none, str("{\"n\":1}")) != MENLOU_READY
            || send_data(s, call, none, str("{\"n\":2}")) != MENLOU_ERR_INVALID)
            return MENLOU_ERR_FAILED;
    } else if (is(how, "error"))
        return MENLOU_ERR_FAILED;
    else if (is(how, "reply_and_error")) {
        send_data(s, call, none, str("{\"n\":1}"));
        return -99;
    } else if (is(how, "error_code"))
        send_data(s, call, str("not_today"), str("{\"left\":3}"));
    else if (is(how, "nothing"))
        send_data(s, call, none, none);
    return MENLOU_READY;
}

/* Calls exchange, session_open and sleep_ms one after another, and replies with the session. */
static int32_t log_in(void *state, menlou_call *call) {
    call_state *s = state;
    menlou_outcome outcome = { .struct_size = sizeof outcome };
    for (;;) {
        if (s->step == 0)
            s->op = s->host->exchange(call, param(s->request, "code"), 1000);
        int32_t polled = s->host->op_poll(call, s->op, &outcome);
        if (polled == MENLOU_PENDING)
            return s->step = s->step ? s->step : 1, MENLOU_PENDING;
        if (polled != MENLOU_READY)
            return polled;
        if (outcome.status != MENLOU_READY) {
            send_data(s, call, outcome.error_code, outcome.data);
            return MENLOU_READY;
        }
        menlou_op *next;
        if (s->step <= 1) {
            const char *from = memmem(outcome.data.ptr, outcome.data.len, "\"openid\":\"", 10);
            snprintf(s->openid, sizeof s->openid, "%.*s", (int)strcspn(from + 10, "\""), from + 10);
            next = s->host->session_open(call, str(s->openid)), s->step = 2;
        } else if (s->step == 2) {
            send_data(s, call, (menlou_str){ 0, 0 }, outcome.data);
            next = s->host->sleep_ms(call, 5), s->step = 3;
        } else
            return MENLOU_READY;
        s->host->op_drop(s->op);
        s->op = next;
    }
}

static void *in_thread(void *op) {
    left_behind = op; /* read after pthread_join */
    return 0;
}

/* Misuses operations. Replies with what the host functions returned. */
static int32_t misuse(void *state, menlou_call *call) {
    call_state *s = state;
    const menlou_host *host = s->host;
    menlou_str how = param(s->request, "how"), none = { 0, 0 };
    menlou_outcome outcome = { .struct_size = sizeof outcome };
    int32_t result = 0;
    if (is(how, "leave")) {
        pthread_t thread;
        menlou_op *op = host->exchange(call, param(s->request, "code"), 1000);
        pthread_create(&thread, 0, in_thread, op);
        pthread_join(thread, 0);
    } else if (is(how, "take")) {
        result = host->op_poll(call, left_behind, &outcome);
        host->op_drop(left_behind);
        left_behind = 0;
    } else if (is(how, "nulls")) {
        menlou_http_request http = { .struct_size = sizeof http, .method = str("GET"), .url = str("http://127.0.0.1:1"),
                                     .headers_len = 3 };
        const uint8_t bad[] = { 0xff };
        result = host->exchange(call, none, 0) == 0 && host->exchange(call, (menlou_str){ bad, 1 }, 0) == 0
            && host->exchange(0, str("x"), 0) == 0 && host->session_open(call, none) == 0
            && host->http_send(call, 0) == 0 && host->http_send(call, &http) == 0
            && host->op_poll(call, 0, &outcome) == MENLOU_ERR_INVALID && host->random(host, 0, 8) == MENLOU_ERR_INVALID
            && host->hmac_sha256(host, none, none, 0) == MENLOU_ERR_INVALID
            && host->header(call, str("host"), 0) == MENLOU_ERR_INVALID && host->reply(call, 0) == MENLOU_ERR_INVALID;
        menlou_op *op = host->sleep_ms(call, 1);
        result = result && host->op_poll(call, op, 0) == MENLOU_ERR_INVALID
            && host->op_poll(0, op, &outcome) == MENLOU_ERR_INVALID;
        outcome.struct_size = 8;
        result = result && host->op_poll(call, op, &outcome) == MENLOU_ERR_INVALID;
        host->op_drop(op);
        host->op_drop(0);
        host->waker_wake(0);
        host->waker_drop(0);
        host->log(host, call, MENLOU_LOG_INFO, none, 0, 5);
        host->log(host, 0, 77, (menlou_str){ bad, 1 }, 0, 0);
        host->config_error(0, none, none, none);
    }
    char json[32];
    snprintf(json, sizeof json, "{\"result\":%d}", result);
    send_data(s, call, none, str(json));
    return MENLOU_READY;
}

#define ACTION(NAME, POLL)                                                                                             \
    { .struct_size = sizeof(menlou_action), .name = MENLOU_STR(NAME), .start = start, .poll = POLL, .drop = drop }

static const menlou_action actions[] = { ACTION("reply", reply), ACTION("log_in", log_in), ACTION("misuse", misuse) };

static const menlou_plugin plugin = {
    .magic = MENLOU_MAGIC,
    .struct_size = sizeof(menlou_plugin),
    .abi_major = MENLOU_ABI_MAJOR,
    .abi_minor = MENLOU_ABI_MINOR,
    .flags = MENLOU_FLAG_CONTAINS_PANICS,
    .sizes = MENLOU_SIZES,
    .name = MENLOU_STR("raw"),
    .version = MENLOU_STR("1.0.0"),
    .actions = actions,
    .actions_len = sizeof actions / sizeof *actions,
};

const menlou_plugin *menlou_plugin_v1(uint16_t host_major, uint16_t host_minor) {
    (void)host_minor;
    return host_major == MENLOU_ABI_MAJOR ? &plugin : 0;
}
