/* A misbehaving plugin. The parameter `how` says what its action does, `n` times or for `n` ms. */
#include "menlou_plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

MENLOU_PLUGIN_NOTE("rude", "1.0.0");

typedef struct {
    const menlou_request *request;
    menlou_op *op;
    int counted, forget;
} call_state;

static const menlou_host *gateway;
/* Handles that one call keeps beyond its end and another call uses. */
static menlou_call *kept_call;
static menlou_op *kept_op;
static menlou_waker *kept_waker;
/* Number of calls of `never` that were not dropped. */
static int live;

static const menlou_str none = { 0, 0 };

static menlou_str str(const char *text) {
    return (menlou_str){ (const uint8_t *)text, strlen(text) };
}

static menlou_str param(const menlou_request *request, const char *name) {
    for (size_t i = 0; i < request->params_len; i++) {
        menlou_str key = request->params[i].name;
        if (key.len == strlen(name) && !memcmp(key.ptr, name, key.len))
            return request->params[i].value;
    }
    return none;
}

static long number(const menlou_request *request, const char *name) {
    char text[24] = { 0 };
    menlou_str value = param(request, name);
    if (value.len)
        memcpy(text, value.ptr, value.len < 23 ? value.len : 23);
    return atol(text);
}

static int32_t init(const menlou_host *host) {
    gateway = host;
    return MENLOU_READY;
}

static int32_t start(const menlou_host *host, menlou_call *call, const menlou_request *request, const void *settings,
                     void **out) {
    (void)host, (void)call, (void)settings;
    call_state *state = calloc(1, sizeof *state);
    state->request = request;
    *out = state;
    return MENLOU_READY;
}

static void drop(void *state) {
    call_state *s = state;
    if (s->counted)
        __atomic_sub_fetch(&live, 1, __ATOMIC_SEQ_CST);
    if (s->forget)
        return;
    gateway->op_drop(s->op);
    free(s);
}

static int32_t reply(menlou_call *call, menlou_str data) {
    menlou_reply reply = { .struct_size = sizeof reply, .data = data };
    return gateway->reply(call, &reply);
}

static int32_t reply_number(menlou_call *call, long result) {
    char json[32];
    snprintf(json, sizeof json, "{\"n\":%ld}", result);
    return reply(call, str(json));
}

/* A GET of the parameter `url`. */
static menlou_op *get(call_state *s, menlou_call *call) {
    menlou_http_request http = { .struct_size = sizeof http, .timeout_ms = 600000, .method = str("GET"),
                                 .url = param(s->request, "url") };
    return gateway->http_send(call, &http);
}

/* Uses handles of an ended call. Returns how often the gateway rejected them. */
static long use_kept(menlou_call *call) {
    menlou_outcome outcome = { .struct_size = sizeof outcome };
    menlou_str value;
    long refused = 0;
    refused += gateway->op_poll(call, kept_op, &outcome) == MENLOU_ERR_INVALID;
    refused += gateway->op_poll(kept_call, kept_op, &outcome) == MENLOU_ERR_INVALID;
    refused += gateway->sleep_ms(kept_call, 1) == 0;
    refused += gateway->header(kept_call, str("host"), &value) == MENLOU_ERR_INVALID;
    refused += reply(kept_call, str("{\"n\":-1}")) == MENLOU_ERR_INVALID;
    gateway->log(gateway, kept_call, MENLOU_LOG_INFO, str("logged for a call that has ended"), 0, 0);
    gateway->waker_wake(kept_waker);
    gateway->waker_drop(kept_waker);
    gateway->op_drop(kept_op);
    gateway->op_drop(kept_op);
    refused += gateway->op_poll(call, kept_op, &outcome) == MENLOU_ERR_INVALID;
    kept_call = 0, kept_op = 0, kept_waker = 0;
    return refused;
}

/* Starts operations without dropping any. Returns how many were started. */
static long hoard(menlou_call *call, long most) {
    long got = 0;
    while (got < most && gateway->sleep_ms(call, 3600000))
        got++;
    return got;
}

static int32_t poll(void *state, menlou_call *call) {
    call_state *s = state;
    menlou_str how = param(s->request, "how");
    long n = number(s->request, "n");
    menlou_outcome outcome = { .struct_size = sizeof outcome };
#define IS(HOW) (how.len == strlen(HOW) && !memcmp(how.ptr, HOW, how.len))
    if (IS("never")) {
        if (!s->counted)
            s->counted = 1, s->op = gateway->sleep_ms(call, 3600000), __atomic_add_fetch(&live, 1, __ATOMIC_SEQ_CST);
        gateway->op_poll(call, s->op, &outcome);
        return MENLOU_PENDING;
    }
    if (IS("live"))
        return reply_number(call, __atomic_load_n(&live, __ATOMIC_SEQ_CST));
    if (IS("leak")) { /* the state and a pending operation */
        s->forget = 1, s->op = get(s, call);
        for (long i = 0; !i || i < n; i++)
            if (gateway->op_poll(call, s->op, &outcome) != MENLOU_PENDING)
                return MENLOU_ERR_FAILED;
        /* The operation never completes, so the call is not polled again and ends at its deadline. */
        return param(s->request, "wait").len ? MENLOU_PENDING : reply_number(call, 1);
    }
    if (IS("keep")) {
        s->forget = 1, kept_call = call, kept_op = gateway->sleep_ms(call, 1), kept_waker = gateway->waker_clone(call);
        gateway->op_poll(call, kept_op, &outcome);
        return reply_number(call, 0);
    }
    if (IS("use_kept"))
        return reply_number(call, use_kept(call));
    if (IS("hoard"))
        return reply_number(call, hoard(call, n));
    if (IS("churn")) { /* drops each operation, some of them twice */
        for (long i = 0; i < n; i++) {
            menlou_op *op = gateway->sleep_ms(call, 1);
            gateway->op_drop(op);
            if (!op || (i % 7 == 0 && gateway->op_poll(call, op, &outcome) != MENLOU_ERR_INVALID))
                return MENLOU_ERR_FAILED;
            gateway->op_drop(op);
        }
        return reply_number(call, n);
    }
    if (IS("block")) {
        nanosleep(&(struct timespec){ n / 1000, n % 1000 * 1000000 }, 0);
        return reply_number(call, n);
    }
    if (IS("flood")) {
        for (long i = 0; i < n; i++)
            gateway->log(gateway, call, MENLOU_LOG_WARN, str("a flood of the rude plugin"), 0, 0);
        return reply_number(call, n);
    }
    if (IS("trace")) { /* lines below the log level */
        for (long i = 0; i < n; i++)
            gateway->log(gateway, call, MENLOU_LOG_TRACE, str("a trace line of the rude plugin"), 0, 0);
        gateway->log(gateway, call, MENLOU_LOG_WARN, str("a warning of the rude plugin"), 0, 0);
        return reply_number(call, n);
    }
    if (IS("long")) { /* a line of 32 fields of n bytes */
        char *text = malloc(n);
        menlou_kv fields[32];
        memset(text, 'x', n);
        for (int i = 0; i < 32; i++)
            fields[i] = (menlou_kv){ str("field"), { (uint8_t *)text, n } };
        gateway->log(gateway, call, MENLOU_LOG_WARN, str("a long line of the rude plugin"), fields, 32);
        free(text);
        return reply_number(call, n);
    }
    if (IS("large")) { /* valid JSON of n bytes */
        char *json = malloc(n + 1);
        memset(json, ' ', n), json[0] = '{', json[n - 1] = '}';
        int32_t result = reply(call, (menlou_str){ (uint8_t *)json, n });
        free(json);
        return result == MENLOU_ERR_INVALID ? MENLOU_READY : result;
    }
    if (IS("twice"))
        return reply_number(call, 1), reply_number(call, 2), MENLOU_READY;
    if (IS("twice_returned")) /* returns the result of the second reply */
        return reply_number(call, 1), reply_number(call, 2);
    if (IS("hang"))
        for (;;)
            pause();
    if (IS("exit"))
        exit((int)n);
    if (IS("fork")) { /* a child that outlives the gateway, for a minute at most */
        pid_t child = fork();
        if (!child) {
            sleep(60);
            _exit(0);
        }
        return reply_number(call, child);
    }
    if (IS("garbage"))
        return reply(call, str("{\"n\":")), MENLOU_READY;
    if (IS("invalid_utf8"))
        return reply(call, str("{\"text\":\"\xff\xfe\"}")), MENLOU_READY;
    if (IS("nothing"))
        return MENLOU_READY;
    if (IS("fail"))
        return MENLOU_ERR_FAILED;
    return reply_number(call, 0);
}

static const menlou_action actions[] = {
    { .struct_size = sizeof(menlou_action), .name = MENLOU_STR("rude"), .start = start, .poll = poll, .drop = drop }
};

static const menlou_plugin plugin = {
    .magic = MENLOU_MAGIC,
    .struct_size = sizeof(menlou_plugin),
    .abi_major = MENLOU_ABI_MAJOR,
    .abi_minor = MENLOU_ABI_MINOR,
    .flags = MENLOU_FLAG_CONTAINS_PANICS,
    .sizes = MENLOU_SIZES,
    .name = MENLOU_STR("rude"),
    .version = MENLOU_STR("1.0.0"),
    .actions = actions,
    .actions_len = sizeof actions / sizeof *actions,
    .init = init,
};

const menlou_plugin *menlou_plugin_v1(uint16_t host_major, uint16_t host_minor) {
    (void)host_minor;
    return host_major == MENLOU_ABI_MAJOR ? &plugin : 0;
}
