/* A plugin with one action that returns the request body chunk by chunk. Each chunk is read after the previous one is written. */
#include "menlou_plugin.h"
#include <stdlib.h>

static const menlou_host *gateway;

struct state {
    menlou_op *reading, *writing;
};

static int32_t init(const menlou_host *host) {
    gateway = host;
    return MENLOU_READY;
}

static int32_t start(const menlou_host *host, menlou_call *call, const menlou_request *request, const void *settings,
                     void **out) {
    (void)request, (void)settings;
    struct state *state = calloc(1, sizeof *state);
    if (!state) return MENLOU_ERR_FAILED;
    if (host->response_begin(call, (menlou_str)MENLOU_STR("application/octet-stream")) != MENLOU_READY) {
        free(state);
        return MENLOU_ERR_FAILED;
    }
    *out = state;
    return MENLOU_READY;
}

static int32_t poll(void *pointer, menlou_call *call) {
    struct state *state = pointer;
    for (;;) {
        menlou_outcome outcome = {.struct_size = sizeof outcome};
        if (!state->reading) state->reading = gateway->body_read(call);
        int32_t polled = gateway->op_poll(call, state->reading, &outcome);
        if (polled != MENLOU_READY) return polled;
        if (outcome.status == MENLOU_ERR_NOT_FOUND) return MENLOU_READY; /* end of the body */
        if (outcome.status != MENLOU_READY) return outcome.status;
        if (!state->writing) state->writing = gateway->response_write(call, outcome.data);
        menlou_outcome written = {.struct_size = sizeof written};
        polled = gateway->op_poll(call, state->writing, &written);
        if (polled != MENLOU_READY) return polled;
        gateway->op_drop(state->writing);
        gateway->op_drop(state->reading);
        state->writing = state->reading = NULL;
    }
}

static void drop(void *pointer) {
    struct state *state = pointer;
    if (state->writing) gateway->op_drop(state->writing);
    if (state->reading) gateway->op_drop(state->reading);
    free(state);
}

static const menlou_action actions[] = {{
    .struct_size = sizeof(menlou_action),
    .access = MENLOU_ACCESS_ANYONE,
    .flags = MENLOU_ACTION_RAW_BODY,
    .name = MENLOU_STR("streams"),
    .start = start,
    .poll = poll,
    .drop = drop,
}};

static const menlou_plugin plugin = {
    .magic = MENLOU_MAGIC,
    .struct_size = sizeof(menlou_plugin),
    .abi_major = MENLOU_ABI_MAJOR,
    .abi_minor = MENLOU_ABI_MINOR,
    .flags = MENLOU_FLAG_CONTAINS_PANICS,
    .sizes = MENLOU_SIZES,
    .name = MENLOU_STR("streams"),
    .version = MENLOU_STR("1.0.0"),
    .actions = actions,
    .actions_len = 1,
    .init = init,
};

MENLOU_PLUGIN_NOTE("streams", "1.0.0");

const menlou_plugin *menlou_plugin_v1(uint16_t host_major, uint16_t host_minor) {
    (void)host_minor;
    return host_major == MENLOU_ABI_MAJOR ? &plugin : NULL;
}
