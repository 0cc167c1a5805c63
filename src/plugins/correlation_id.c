/* correlation_id.c - gives each request an id that the upstream sees, and the client where asked.
 * An id that a request brings stays, unless it is for its connection alone (Connection: …). */
#include "plugins/registry.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <uv.h> /* error codes only */

#include "model/row.h"

#define ID_BYTES 128

enum generator { GENERATOR_UUID, GENERATOR_COUNTER, GENERATOR_TRACKER };

struct correlation_id {
    struct str header;
    enum generator generator;
    bool echoes;
    char prefix[UUID_TEXT_BYTES]; /* of uuid#counter */
    _Atomic uint64_t *counter;
};

static int compile(const json_t *row, const json_t *config, struct arena *arena, const void **ret)
{
    (void)row;
    struct correlation_id *made = arena_alloc(arena, sizeof(*made));
    _Atomic uint64_t *counter = arena_alloc(arena, sizeof(*counter));
    struct str header = row_text(config, "header_name");
    struct str generator = row_text(config, "generator");
    if (!made || !counter)
        return UV_ENOMEM;
    atomic_init(counter, 0);
    *made = (struct correlation_id){
        .header = arena_copy(arena, header.len > 0 ? header : STR("Kong-Request-ID")),
        .generator = str_equal(generator, STR("uuid"))      ? GENERATOR_UUID
                     : str_equal(generator, STR("tracker")) ? GENERATOR_TRACKER
                                                            : GENERATOR_COUNTER,
        .echoes = json_is_true(json_object_get(config, "echo_downstream")),
        .counter = counter,
    };
    random_uuid(made->prefix);
    *ret = made;
    return made->header.ptr ? 0 : UV_ENOMEM;
}

/* A version 4 UUID from the worker's own generator: an id is no secret, and the kernel's would be a
 * system call a request. */
static int write_uuid(char *out, size_t size, struct random_state *random)
{
    uint64_t a = random_next(random);
    uint64_t b = random_next(random);
    return snprintf(out, size, "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(a >> 32),
                    (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff,
                    0x8000 | ((unsigned)(b >> 48) & 0x3fff),
                    (unsigned long long)(b & 0xffffffffffffull));
}

static struct str make_id(const struct correlation_id *own, const struct plugin_request *request)
{
    char *text = arena_alloc(request->arena, ID_BYTES);
    int len = 0;
    if (!text)
        return STR_EMPTY;
    if (own->generator == GENERATOR_UUID) {
        len = write_uuid(text, ID_BYTES, request->random);
    } else {
        uint64_t count = atomic_fetch_add_explicit(own->counter, 1, memory_order_relaxed) + 1;
        if (own->generator == GENERATOR_COUNTER) {
            len = snprintf(text, ID_BYTES, "%s#%llu", own->prefix, (unsigned long long)count);
        } else {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            len = snprintf(text, ID_BYTES, "%.*s-%u-%d-%llu-1-%lld.%03ld", STR_ARG(request->client),
                           request->listener_port, (int)getpid(), (unsigned long long)count,
                           (long long)now.tv_sec, now.tv_nsec / 1000000);
        }
    }
    return len > 0 && len < ID_BYTES ? str_make(text, (size_t)len) : STR_EMPTY;
}

static void on_access(const void *config, const struct plugin_request *request,
                      struct plugin_effect *effect)
{
    const struct correlation_id *own = config;
    if (plugin_is_reserved(own->header))
        return;
    struct str id = plugin_find(request->head, effect->request_lines, own->header);
    if (id.len == 0) {
        id = make_id(own, request);
        if (id.len > 0)
            plugin_add_line(request->arena, &effect->request_lines, own->header, id);
    }
    if (own->echoes && id.len > 0)
        plugin_add_line(request->arena, &effect->response_lines, own->header, id);
}

static const char *const lacking[] = {
    "config.header_name: one that frames a message or that weir writes itself", NULL};

static const char *lacks(const json_t *config)
{
    return plugin_is_reserved(row_text(config, "header_name")) ? lacking[0] : NULL;
}

const struct plugin correlation_id_step = {.name = "correlation-id",
                                           .compile = compile,
                                           .access = on_access,
                                           .lacks = lacks,
                                           .lacking = lacking};
