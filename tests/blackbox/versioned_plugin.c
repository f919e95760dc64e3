/* A plugin with one action, NAME, that replies with its VERSION. The parameter `wait` delays the reply, in
   milliseconds, and logs that the call has started. */
#include "menlou_plugin.h"
#include <stdlib.h>
#include <string.h>

#ifndef SETTINGS
#define SETTINGS "{\"type\":\"object\"}"
#endif
#ifndef CLAIMED_MAJOR
#define CLAIMED_MAJOR MENLOU_ABI_MAJOR
#endif

static const menlou_host *gateway;

struct state {
    menlou_op *sleep;
};

static int32_t init(const menlou_host *host) {
    gateway = host;
    return MENLOU_READY;
}

static int32_t start(const menlou_host *host, menlou_call *call, const menlou_request *request, const void *settings,
                     void **out) {
    (void)settings;
    struct state *state = calloc(1, sizeof *state);
    if (!state) return MENLOU_ERR_FAILED;
    for (size_t i = 0; i < request->params_len; i++) {
        const menlou_param *param = &request->params[i];
        if (param->name.len == 4 && memcmp(param->name.ptr, "wait", 4) == 0) {
            char text[16] = {0};
            size_t len = param->value.len < 15 ? param->value.len : 15;
            memcpy(text, param->value.ptr, len);
            state->sleep = host->sleep_ms(call, strtoull(text, NULL, 10));
            host->log(host, call, MENLOU_LOG_INFO, (menlou_str)MENLOU_STR("a delayed call of version " VERSION " has started"), NULL, 0);
        }
    }
    *out = state;
    return MENLOU_READY;
}

static int32_t poll(void *pointer, menlou_call *call) {
    struct state *state = pointer;
    if (state->sleep) {
        menlou_outcome outcome = {.struct_size = sizeof outcome};
        int32_t polled = gateway->op_poll(call, state->sleep, &outcome);
        if (polled != MENLOU_READY) return polled;
    }
    menlou_reply reply = {.struct_size = sizeof reply, .data = MENLOU_STR("{\"version\":\"" VERSION "\"}")};
    return gateway->reply(call, &reply);
}

static void drop(void *pointer) {
    struct state *state = pointer;
    if (state->sleep) gateway->op_drop(state->sleep);
    free(state);
}

static const menlou_action actions[] = {{
    .struct_size = sizeof(menlou_action),
    .access = MENLOU_ACCESS_ANYONE,
    .name = MENLOU_STR(NAME),
    .settings_schema = MENLOU_STR(SETTINGS),
    .start = start,
    .poll = poll,
    .drop = drop,
}};

static const menlou_plugin plugin = {
    .magic = MENLOU_MAGIC,
    .struct_size = sizeof(menlou_plugin),
    .abi_major = CLAIMED_MAJOR,
    .abi_minor = MENLOU_ABI_MINOR,
    .flags = MENLOU_FLAG_CONTAINS_PANICS,
    .sizes = MENLOU_SIZES,
    .name = MENLOU_STR(NAME),
    .version = MENLOU_STR(VERSION),
    .actions = actions,
    .actions_len = 1,
    .init = init,
};

MENLOU_PLUGIN_NOTE(NAME, VERSION);

const menlou_plugin *menlou_plugin_v1(uint16_t host_major, uint16_t host_minor) {
    (void)host_minor;
    return host_major == MENLOU_ABI_MAJOR ? &plugin : NULL;
}
