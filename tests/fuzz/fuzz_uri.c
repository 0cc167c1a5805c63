/* A request target of any bytes: split, normalised and escaped, it stays within its bounds, and a
 * normal path has nothing left to resolve. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/uri.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has(struct str s, const char *text)
{
    return s.len > 0 && memmem(s.ptr, s.len, text, strlen(text)) != NULL;
}

static void check_escaped(struct str path)
{
    size_t size = path.len * 3;
    char *out = malloc(size + 1);
    size_t len = uri_escape_path(path, out, size);
    MUST(len >= path.len && len <= size);
    for (size_t i = 0; i < len; i++)
        MUST(out[i] > ' ' && out[i] < 0x7f);
    free(out);
}

static void check_path(struct str path)
{
    char *out = malloc(path.len + 1), *again = malloc(path.len + 1);
    struct str normal, twice;
    if (uri_normalise(path, out, &normal)) {
        MUST(normal.len > 0 && normal.len <= path.len && normal.ptr[0] == '/');
        MUST(!has(normal, "//") && !has(normal, "/./") && !has(normal, "/../"));
        MUST(!str_ends_with(normal, STR("/.")) && !str_ends_with(normal, STR("/..")));
        MUST(!memchr(normal.ptr, '\0', normal.len));
        MUST(uri_normalise(normal, again, &twice) && str_equal(normal, twice));
        check_escaped(normal);
    }
    free(out);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str target = {(const char *)data, size};
    struct str host;
    struct uri uri;
    uint16_t port;

    if (uri_split_host(target, &host, &port))
        MUST(host.len > 0 && host.len <= size && !has(host, " ") && !has(host, "/"));
    if (!uri_parse(target, &uri))
        return 0;
    MUST(uri.path.len > 0 && (uri.path.ptr[0] == '/' || str_equal(uri.path, STR("*"))));
    MUST(!memchr(uri.path.ptr, '?', uri.path.len));
    if (uri.path.ptr[0] == '/')
        check_path(uri.path);
    return 0;
}
