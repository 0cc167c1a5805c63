#include "discovery/consul_path.h"

#include <uv.h> /* error codes only */

#include "base/buf.h"
#include "discovery/consul_watch.h"

static int append_escaped(struct buf *path, CURL *easy, const char *before, struct str text)
{
    if (text.len == 0)
        return 0;
    char *escaped = curl_easy_escape(easy, text.ptr, (int)text.len);
    int rc = escaped ? buf_printf(path, "%s%s", before, escaped) : UV_ENOMEM;
    curl_free(escaped);
    return rc;
}

char *consul_path_of_all(CURL *easy, const struct consul_service *service)
{
    struct buf path;
    buf_init(&path, CONSUL_PATH_MAX_BYTES);
    const struct {
        const char *key;
        struct str value;
    } arguments[] = {{"dc=", service->datacenter},
                     {"ns=", service->namespace},
                     {"partition=", service->partition},
                     {"peer=", service->peer}};
    int rc = buf_printf(&path, "/v1/catalog/services?");
    for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]) && !rc; i++)
        if (arguments[i].value.len &&
            !(rc = append_escaped(&path, easy, arguments[i].key, arguments[i].value)))
            rc = buf_append(&path, "&", 1);
    char *text = rc ? NULL : str_dup(buf_str(&path));
    buf_deinit(&path);
    return text;
}

char *consul_path_of(CURL *easy, const struct consul_service *service)
{
    struct buf path;
    buf_init(&path, CONSUL_PATH_MAX_BYTES);
    char *text = NULL;
    if (append_escaped(&path, easy, "/v1/health/service/", service->name) ||
        buf_append(&path, "?", 1))
        goto done;
    const struct {
        const char *key;
        struct str value;
    } arguments[] = {
        {"dc=", service->datacenter},       {"ns=", service->namespace},
        {"partition=", service->partition}, {"peer=", service->peer},
        {"filter=", service->filter},
    };
    for (size_t i = 0; i < sizeof(arguments) / sizeof(arguments[0]); i++)
        if (arguments[i].value.len &&
            (append_escaped(&path, easy, arguments[i].key, arguments[i].value) ||
             buf_append(&path, "&", 1)))
            goto done;
    for (size_t i = 0; i < service->tag_count; i++)
        if (append_escaped(&path, easy, "tag=", service->tags[i]) || buf_append(&path, "&", 1))
            goto done;
    text = str_dup(buf_str(&path));
done:
    buf_deinit(&path);
    return text;
}
