/* a=hello: returns a greeting. menlou_plugin.h documents the rules and all functions of the gateway. */
#include "menlou_plugin.h"
#include <stdlib.h>
#include <string.h>

MENLOU_PLUGIN_NOTE("hello", "0.1.0");

/* The state of one call: what poll needs from start. */
typedef struct {
    const menlou_host *host;
    const menlou_request *request;
} call_state;

static menlou_str param(const menlou_request *request, const char *name) {
    for (size_t i = 0; i < request->params_len; i++) {
        menlou_str key = request->params[i].name;
        if (key.len == strlen(name) && !memcmp(key.ptr, name, key.len))
            return request->params[i].value;
    }
    return (menlou_str){ 0, 0 };
}

/* Appends text to a JSON string: at most 6 bytes for each byte of text. */
static char *escape(char *out, menlou_str text) {
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c < 0x20) {
            memcpy(out, "\\u00", 4), out += 4;
            *out++ = hex[c >> 4], *out++ = hex[c & 15];
            continue;
        }
        if (c == '"' || c == '\\')
            *out++ = '\\';
        *out++ = (char)c;
    }
    return out;
}

static int32_t start(const menlou_host *host, menlou_call *call, const menlou_request *request, const void *settings,
                     void **state) {
    (void)call, (void)settings;
    call_state *s = malloc(sizeof *s);
    if (!s)
        return MENLOU_ERR_FAILED;
    *s = (call_state){ host, request };
    *state = s;
    return MENLOU_READY;
}

/* Replies {"text":"你好 NAME"}. Operations of the gateway (host->exchange, host->http_send, …) are polled here too. */
static int32_t poll(void *state, menlou_call *call) {
    static const char before[] = "{\"text\":\"你好 ", after[] = "\"}";
    call_state *s = state;
    menlou_str name = param(s->request, "name");
    char *json = malloc(sizeof before + 6 * name.len + sizeof after);
    if (!json)
        return MENLOU_ERR_FAILED;
    memcpy(json, before, sizeof before - 1);
    char *end = escape(json + sizeof before - 1, name);
    memcpy(end, after, sizeof after - 1), end += sizeof after - 1;
    menlou_reply reply = { .struct_size = sizeof reply, .data = { (const uint8_t *)json, (size_t)(end - json) } };
    int32_t status = s->host->reply(call, &reply);
    free(json);
    return status;
}

static const menlou_action actions[] = { {
    .struct_size = sizeof(menlou_action),
    .access = MENLOU_ACCESS_ANYONE,
    .name = MENLOU_STR("hello"),
    .title_zh = MENLOU_STR("问候"),
    .title_en = MENLOU_STR("Greet"),
    .params_schema = MENLOU_STR("{\"type\":\"object\",\"required\":[\"name\"],\"properties\":{\"name\":{"
                                "\"type\":\"string\",\"minLength\":1,\"maxLength\":64,"
                                "\"description\":\"问候的对象。The name to greet.\"}}}"),
    .data_schema = MENLOU_STR("{\"type\":\"object\",\"required\":[\"text\"],\"properties\":{\"text\":{"
                              "\"type\":\"string\",\"description\":\"完整的问候语。The complete greeting.\"}}}"),
    .start = start,
    .poll = poll,
    .drop = free,
} };

static const menlou_plugin plugin = {
    .magic = MENLOU_MAGIC,
    .struct_size = sizeof(menlou_plugin),
    .abi_major = MENLOU_ABI_MAJOR,
    .abi_minor = MENLOU_ABI_MINOR,
    .flags = MENLOU_FLAG_CONTAINS_PANICS,
    .sizes = MENLOU_SIZES,
    .name = MENLOU_STR("hello"),
    .version = MENLOU_STR("0.1.0"),
    .actions = actions,
    .actions_len = sizeof actions / sizeof *actions,
};

const menlou_plugin *menlou_plugin_v1(uint16_t host_major, uint16_t host_minor) {
    (void)host_minor;
    return host_major == MENLOU_ABI_MAJOR ? &plugin : 0;
}
