/* A plugin with one action that replies {"n":1}. Tests define macros to make it invalid. */
#include "menlou_plugin.h"

#ifndef NAME
#define NAME "odd"
#endif
#ifndef MAGIC
#define MAGIC MENLOU_MAGIC
#endif
#ifndef MAJOR
#define MAJOR MENLOU_ABI_MAJOR
#endif
#ifndef SIZES
#define SIZES MENLOU_SIZES
#endif
#ifndef FLAGS
#define FLAGS MENLOU_FLAG_CONTAINS_PANICS
#endif
#ifndef ACTION
#define ACTION MENLOU_STR("odd")
#endif
#ifndef ACTIONS_LEN
#define ACTIONS_LEN 1
#endif
#ifndef ACCESS
#define ACCESS MENLOU_ACCESS_ANYONE
#endif
#ifndef METHODS
#define METHODS MENLOU_STR("POST")
#endif
#ifndef TITLE
#define TITLE MENLOU_STR("Odd")
#endif
#ifndef DATA
#define DATA { 0, 0 }
#endif
#ifndef SETTINGS
#define SETTINGS { 0, 0 }
#endif
#ifndef PARAMS
#define PARAMS MENLOU_STR("{\"type\":\"object\"}")
#endif
#ifndef START
#define START start
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef ENTRY
#define ENTRY &plugin
#endif

MENLOU_PLUGIN_NOTE(NAME, "1.0.0");

static const menlou_host *gateway;

int32_t undefined_symbol(const menlou_host *, menlou_call *, const menlou_request *, const void *, void **);

static inline int32_t start(const menlou_host *host, menlou_call *call, const menlou_request *request,
                            const void *settings, void **state) {
    (void)call, (void)request, (void)settings;
    gateway = host;
    *state = 0; /* NULL is a valid state */
    return MENLOU_READY;
}

static int32_t poll(void *state, menlou_call *call) {
    (void)state;
    menlou_reply reply = { .struct_size = sizeof reply, .data = MENLOU_STR("{\"n\":1}") };
    return gateway->reply(call, &reply);
}

static void drop(void *state) {
    (void)state;
}

static inline int32_t fails(const menlou_host *host) {
    (void)host;
    return -7;
}

#define ONE                                                                                                            \
    { .struct_size = sizeof(menlou_action), .access = ACCESS, .name = ACTION, .methods = METHODS, .title_en = TITLE,   \
      .params_schema = PARAMS, .data_schema = DATA, .settings_schema = SETTINGS, .start = START, .poll = poll, .drop = drop }

static const menlou_action actions[2] = { ONE, ONE };

__attribute__((unused)) static const menlou_plugin plugin = {
    .magic = MAGIC,
    .struct_size = sizeof(menlou_plugin),
    .abi_major = MAJOR,
    .abi_minor = MENLOU_ABI_MINOR,
    .flags = FLAGS,
    .sizes = SIZES,
    .name = MENLOU_STR(NAME),
    .version = MENLOU_STR("1.0.0"),
    .actions = actions,
    .actions_len = ACTIONS_LEN,
    .init = INIT,
};

#ifndef NO_ENTRY
const menlou_plugin *menlou_plugin_v1(uint16_t host_major, uint16_t host_minor) {
    (void)host_major, (void)host_minor;
    return ENTRY;
}
#endif
