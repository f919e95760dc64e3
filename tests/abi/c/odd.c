/* A plugin with one action that replies {"n":1}. Tests define macros to make it invalid. */
#include "menlou_plugin.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
#ifndef CONFIGURE
#define CONFIGURE 0
#endif
#ifndef RELEASE
#define RELEASE 0
#endif
#ifndef ENTRY
#define ENTRY &plugin
#endif
/* Statements that a constructor and the entry function run. */
#ifndef CONSTRUCTOR
#define CONSTRUCTOR
#endif
#ifndef BEFORE_ENTRY
#define BEFORE_ENTRY
#endif

MENLOU_PLUGIN_NOTE(NAME, "1.0.0");

static const menlou_host *gateway;
/* The constructors that have run, in their order. */
static char constructed[8];

/* Never returns. */
static inline void hang(void) {
    for (;;)
        pause();
}

static void note_constructor(char which) {
    size_t len = strlen(constructed);
    if (len + 1 < sizeof constructed)
        constructed[len] = which;
}

/* The first constructor of the library, if it is linked with -Wl,-init=odd_init. */
void odd_init(void) {
    note_constructor('i');
}

__attribute__((constructor(101))) static void construct_first(int argc, char **argv, char **environment) {
    note_constructor(argc > 0 && argv[0] && !argv[argc] && environment == environ ? '1' : '?');
}

__attribute__((constructor)) static void construct_last(void) {
    CONSTRUCTOR;
    note_constructor('2');
}

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

static inline int32_t init_hangs(const menlou_host *host) {
    (void)host;
    hang();
    return MENLOU_READY;
}

/* Succeeds if all constructors have run once, in the order of the loader. */
static inline int32_t init_checks_constructors(const menlou_host *host) {
    (void)host;
    return strcmp(constructed, "i12") ? -7 : MENLOU_READY;
}

static inline int32_t configures(const menlou_host *host, menlou_setup *setup, menlou_str tenant, menlou_str settings,
                                 void **out) {
    (void)host, (void)setup, (void)tenant, (void)settings;
    *out = &constructed;
    return MENLOU_READY;
}

static inline int32_t configure_hangs(const menlou_host *host, menlou_setup *setup, menlou_str tenant,
                                      menlou_str settings, void **out) {
    (void)host, (void)setup, (void)tenant, (void)settings, (void)out;
    hang();
    return MENLOU_READY;
}

static inline void release_hangs(void *settings) {
    (void)settings;
    hang();
}

#define ONE                                                                                                            \
    { .struct_size = sizeof(menlou_action), .access = ACCESS, .name = ACTION, .methods = METHODS, .title_en = TITLE,   \
      .params_schema = PARAMS, .data_schema = DATA, .settings_schema = SETTINGS, .configure = CONFIGURE,            \
      .release = RELEASE, .start = START, .poll = poll, .drop = drop }

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
    BEFORE_ENTRY;
    return ENTRY;
}
#endif
