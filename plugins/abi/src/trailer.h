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
