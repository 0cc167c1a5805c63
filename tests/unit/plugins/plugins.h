/* plugins.h - what a plugin sees of a request, made of its bytes. */
#ifndef UNIT_PLUGINS_PLUGINS_H
#define UNIT_PLUGINS_PLUGINS_H

#include <string.h>

#include "http/http1.h"
#include "plugins/plugin.h"
#include "unit/test.h"

struct seen {
    struct arena arena;
    struct http1_parser parser;
    struct http_head head;
    struct uri uri;
    struct random_state random;
    struct plugin_request request;
};

static inline void seen_init(struct seen *seen, const char *bytes)
{
    memset(seen, 0, sizeof(*seen));
    arena_init(&seen->arena, 4096, 1 << 20);
    http1_begin_request(&seen->parser, &seen->head, 4096);
    assert_int_equal(http1_read_head(&seen->parser, bytes, strlen(bytes)), HTTP1_DONE);
    assert_true(uri_parse(http_span_str(&seen->head, seen->head.target), &seen->uri));
    random_init(&seen->random);
    seen->request = (struct plugin_request){
        .head = &seen->head,
        .uri = &seen->uri,
        .path = seen->uri.path,
        .client = STR("192.0.2.1"),
        .random = &seen->random,
        .arena = &seen->arena,
    };
}

static inline void seen_deinit(struct seen *seen)
{
    arena_deinit(&seen->arena);
}

static inline void assert_str(struct str s, const char *wanted)
{
    assert_int_equal(s.len, strlen(wanted));
    assert_memory_equal(s.ptr ? s.ptr : "", wanted, s.len);
}

#endif
