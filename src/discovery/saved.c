#include "discovery/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "discovery/route_claims.h"
#include "model/row.h"

#define WRITE_DELAY_MS 1000 /* many changes at once are one */
#define MAX_AGE_S 604800    /* a week: older targets are no better than none */
#define RENEW_MS 3600000    /* where nothing changes, what is known does not grow old in the file */
#define FORMAT 1
/* What was known of a source that nobody uses any more: */
#define KEPT_S 21600 /* six hours: a rollback, or a sync that takes away and puts back */
#define KEPT_MAX 10000
#define KEPT_MAX_BYTES ((size_t)16 * 1024 * 1024)

/* {"format": 1, "sources": {key: {"at": <seconds>, "targets": [{…}, …]}}} */
struct saved {
    uv_loop_t *loop;
    char *path, *new_path; /* owned */
    json_t *sources;       /* owned; as read at the start */
    json_t *kept;          /* owned; {key: [<until>, <entry as text>]}, the oldest first */
    size_t kept_bytes;
    saved_collect_cb collect;
    void *owner;
    uv_timer_t timer;
    uint64_t renew_ms;
    bool is_due; /* something has changed */
    uv_work_t work;
    bool is_writing;
    struct buf writing; /* the pool thread's while is_writing */
    struct buf next;    /* to be written after that; empty: nothing */
    int put_error;      /* of the sources put into `next` */
    int write_error;    /* of the last write, an errno; 0: it went well */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* --- reading --- */

static void read_file(struct saved *saved)
{
    json_error_t wrong;
    json_t *root = json_load_file(saved->path, 0, &wrong);
    json_t *sources = json_object_get(root, "sources");
    if (json_integer_value(json_object_get(root, "format")) == FORMAT && json_is_object(sources))
        json_object_update(saved->sources, sources);
    else if (root || access(saved->path, F_OK) == 0)
        log_warn("saved targets not used", LOG_CSTR("path", saved->path),
                 LOG_CSTR("why", root ? "it is no file of targets" : wrong.text));
    json_decref(root);
}

/* Within [0, max]; else 0. */
static uint32_t number_of(const json_t *object, const char *key, json_int_t max)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value >= 0 && value <= max ? (uint32_t)value : 0;
}

static struct str routes_of(const json_t *target)
{
    struct str routes = row_text(target, "routes");
    return route_claims_are_sound(routes) ? routes : STR_EMPTY;
}

static int read_targets(const json_t *targets, struct discovered_list *list)
{
    size_t i;
    const json_t *target;
    json_array_foreach(targets, i, target)
    {
        const struct discovered item = {
            .host = row_text(target, "host"),
            .port = (uint16_t)number_of(target, "port", UINT16_MAX),
            .instance = row_text(target, "instance"),
            .node = row_text(target, "node"),
            .datacenter = row_text(target, "datacenter"),
            .weight = number_of(target, "weight", UINT16_MAX),
            .weight_warning = number_of(target, "weight_warning", UINT16_MAX),
            .status = (enum discovered_status)number_of(target, "status", DISCOVERED_MAINTENANCE),
            .zone = row_text(target, "zone"),
            .routes = routes_of(target),
            .why = row_text(target, "why"),
        };
        if (item.host.len > 0 && discovered_list_add(list, &item))
            return UV_ENOMEM;
    }
    discovered_list_seal(list);
    return 0;
}

static bool is_too_old(const json_t *entry)
{
    return time(NULL) - json_integer_value(json_object_get(entry, "at")) > MAX_AGE_S;
}

static bool is_claiming(const json_t *entry)
{
    size_t i;
    const json_t *target;
    json_array_foreach(json_object_get(entry, "targets"), i, target)
    {
        if (routes_of(target).len > 0)
            return true;
    }
    return false;
}

void saved_each_claiming(const struct saved *saved, void (*on_key)(void *arg, struct str key),
                         void *arg)
{
    const char *key;
    const json_t *entry;
    json_object_foreach(saved->sources, key, entry)
    {
        if (!is_too_old(entry) && is_claiming(entry))
            on_key(arg, str_of(key));
    }
}

/* --- of sources that nobody uses --- */

static const char *kept_text(const json_t *kept)
{
    return json_string_value(json_array_get(kept, 1));
}

static size_t kept_size(const char *key, const json_t *kept)
{
    return strlen(key) + json_string_length(json_array_get(kept, 1));
}

static void forget(struct saved *saved, const char *key)
{
    const json_t *kept = json_object_get(saved->kept, key);
    if (!kept)
        return;
    saved->kept_bytes -= kept_size(key, kept);
    json_object_del(saved->kept, key);
}

static bool is_over(const json_t *kept)
{
    return json_integer_value(json_array_get(kept, 0)) < time(NULL);
}

/* An object's keys are in the order in which they came. */
static void forget_oldest(struct saved *saved)
{
    void *oldest;
    while ((oldest = json_object_iter(saved->kept)) &&
           (json_object_size(saved->kept) > KEPT_MAX || saved->kept_bytes > KEPT_MAX_BYTES ||
            is_over(json_object_iter_value(oldest)))) {
        char *key = strdup(json_object_iter_key(oldest)); /* the object's own is freed with it */
        if (!key)
            return;
        forget(saved, key);
        free(key);
    }
}

static void keep(struct saved *saved, const char *key, struct str text)
{
    forget(saved, key);
    json_t *kept = json_pack("[I, s%]", (json_int_t)(time(NULL) + KEPT_S), text.ptr, text.len);
    if (!kept || json_object_set_new(saved->kept, key, kept))
        return; /* it takes `kept` over even so */
    saved->kept_bytes += kept_size(key, kept);
    forget_oldest(saved);
}

/* What was read at the start, or kept since. Owned; NULL: nothing. */
static json_t *find_entry(const struct saved *saved, struct str key)
{
    char *name = str_dup(key);
    json_t *entry = name ? json_incref(json_object_get(saved->sources, name)) : NULL;
    const json_t *kept = name ? json_object_get(saved->kept, name) : NULL;
    if (!entry && kept && !is_over(kept))
        entry = json_loads(kept_text(kept), 0, NULL);
    free(name);
    return entry;
}

/* From now on it is like what was read at the start: there until the source tells by itself. */
static void hold(struct saved *saved, struct str key, json_t *entry)
{
    char *name = str_dup(key);
    if (name && !json_object_set(saved->sources, name, entry))
        forget(saved, name);
    free(name);
}

struct discovered_list *saved_find(struct saved *saved, struct str key)
{
    json_t *entry = find_entry(saved, key);
    struct discovered_list *list = NULL;
    if (entry && !is_too_old(entry) && !discovered_list_create(&list) &&
        (read_targets(json_object_get(entry, "targets"), list) || list->count == 0)) {
        discovered_list_destroy(list);
        list = NULL;
    }
    if (list)
        hold(saved, key, entry);
    json_decref(entry);
    return list;
}

/* --- writing --- */

static json_t *string_or_empty(struct str s)
{
    json_t *string = json_stringn(s.len ? s.ptr : "", s.len);
    return string ? string : json_string(""); /* no UTF-8 */
}

static json_t *target_to_json(const struct discovered *item)
{
    json_t *target = json_pack("{s:o, s:i, s:o, s:o, s:o, s:i, s:i, s:i, s:o}", "host",
                               string_or_empty(item->host), "port", item->port, "instance",
                               string_or_empty(item->instance), "node", string_or_empty(item->node),
                               "datacenter", string_or_empty(item->datacenter), "weight",
                               (int)item->weight, "weight_warning", (int)item->weight_warning,
                               "status", (int)item->status, "why", string_or_empty(item->why));
    if (target && item->zone.len > 0)
        json_object_set_new(target, "zone", string_or_empty(item->zone));
    if (target && item->routes.len > 0)
        json_object_set_new(target, "routes", string_or_empty(item->routes));
    return target;
}

/* When Consul spoke of it last, by the wall clock. */
static time_t heard_at(const struct saved *saved, const struct source *source)
{
    uint64_t now_ms = uv_now(saved->loop), then_ms = source->account.answered_ms;
    return time(NULL) - (then_ms > 0 && then_ms < now_ms ? (time_t)((now_ms - then_ms) / 1000) : 0);
}

static int on_json(const char *bytes, size_t len, void *arg)
{
    return buf_append(arg, bytes, len) ? -1 : 0;
}

/* Takes `value` over. */
static int put_json(struct buf *text, json_t *value)
{
    int rc = json_dump_callback(value, on_json, text, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    return rc;
}

static int put_targets(struct buf *text, const struct saved *saved, const struct source *source)
{
    int rc = buf_printf(text, "{\"at\":%lld,\"targets\":[", (long long)heard_at(saved, source));
    for (uint32_t i = 0; !rc && i < source->last->count; i++) {
        rc = i > 0 ? buf_append(text, ",", 1) : 0;
        if (!rc)
            rc = put_json(text, target_to_json(&source->last->items[i]));
    }
    return rc ? rc : buf_append(text, "]}", 2);
}

static bool is_heard(const struct source *source)
{
    return source->last && !source->is_saved;
}

void saved_put(struct saved *saved, const struct source *source)
{
    struct buf *text = &saved->next;
    json_t *old = find_entry(saved, str_of(source->key));
    if (saved->put_error || (!is_heard(source) && !old)) {
        json_decref(old);
        return;
    }
    int rc = 0;
    if (text->data[text->end - 1] != '{')
        rc = buf_append(text, ",", 1);
    if (!rc)
        rc = put_json(text, json_string(source->key));
    if (!rc)
        rc = buf_append(text, ":", 1);
    if (!rc)
        rc = is_heard(source) ? put_targets(text, saved, source)
                              : put_json(text, json_incref(old)); /* its age stays */
    json_decref(old);
    if (is_heard(source)) { /* it tells by itself, until it is released */
        json_object_del(saved->sources, source->key);
        forget(saved, source->key);
    }
    saved->put_error = rc;
}

void saved_keep(struct saved *saved, const struct source *source)
{
    json_t *read = source->is_saved ? json_object_get(saved->sources, source->key) : NULL;
    if (!is_heard(source) && !read)
        return;
    struct buf text;
    buf_init(&text, KEPT_MAX_BYTES);
    int rc = read ? put_json(&text, json_incref(read)) : put_targets(&text, saved, source);
    json_object_del(saved->sources, source->key);
    forget(saved, source->key);
    if (!rc && source->last->count > 0)
        keep(saved, source->key, buf_str(&text));
    buf_deinit(&text);
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, bytes, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        bytes += written;
        len -= (size_t)written;
    }
    return fsync(fd) < 0 ? errno : 0;
}

/* On a thread of the pool. */
static void on_work(uv_work_t *work)
{
    struct saved *saved = work->data;
    struct str text = buf_str(&saved->writing);
    int fd = open(saved->new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    saved->write_error = fd < 0 ? errno : write_all(fd, text.ptr, text.len);
    if (fd >= 0)
        close(fd);
    if (!saved->write_error && rename(saved->new_path, saved->path) < 0)
        saved->write_error = errno;
}

static void write_next(struct saved *saved);

static void on_timer_closed(uv_handle_t *handle)
{
    struct saved *saved = handle->data;
    void (*closed)(void *) = saved->closed;
    void *arg = saved->closed_arg;
    json_decref(saved->sources);
    json_decref(saved->kept);
    buf_deinit(&saved->next);
    free(saved->path);
    free(saved->new_path);
    free(saved);
    closed(arg);
}

static void on_written(uv_work_t *work, int status)
{
    (void)status;
    struct saved *saved = work->data;
    saved->is_writing = false;
    buf_deinit(&saved->writing);
    if (saved->write_error)
        log_warn("targets not saved", LOG_CSTR("path", saved->path),
                 LOG_CSTR("why", strerror(saved->write_error)));
    write_next(saved);
    if (saved->closed && !saved->is_writing)
        uv_close((uv_handle_t *)&saved->timer, on_timer_closed);
}

static void write_next(struct saved *saved)
{
    if (saved->is_writing || buf_len(&saved->next) == 0)
        return;
    saved->writing = saved->next;
    buf_init(&saved->next, SIZE_MAX);
    saved->work.data = saved;
    saved->is_writing = uv_queue_work(saved->loop, &saved->work, on_work, on_written) == 0;
}

static void collect(struct saved *saved)
{
    buf_clear(&saved->next);
    saved->put_error = buf_printf(&saved->next, "{\"format\":%d,\"sources\":{", FORMAT);
    if (!saved->put_error)
        saved->collect(saved->owner);
    forget_oldest(saved);
    if (saved->put_error || buf_append(&saved->next, "}}", 2))
        buf_deinit(&saved->next); /* without memory; the file stays as it is */
    write_next(saved);
}

static void on_timer(uv_timer_t *timer)
{
    struct saved *saved = timer->data;
    saved->is_due = false;
    uv_timer_start(timer, on_timer, saved->renew_ms, 0);
    collect(saved);
}

void saved_touch(struct saved *saved)
{
    if (saved->is_due)
        return;
    saved->is_due = true;
    uv_timer_start(&saved->timer, on_timer, WRITE_DELAY_MS, 0);
}

void saved_flush(struct saved *saved)
{
    if (saved->is_due)
        on_timer(&saved->timer);
}

int saved_create(uv_loop_t *loop, const char *data_dir, saved_collect_cb collect_cb, void *owner,
                 uint64_t renew_ms, struct saved **ret)
{
    struct saved *saved = calloc(1, sizeof(*saved));
    if (!saved)
        return UV_ENOMEM;
    if (asprintf(&saved->path, "%s/discovery.json", data_dir) < 0)
        saved->path = NULL;
    saved->sources = json_object();
    saved->kept = json_object();
    if (!saved->path || !saved->sources || !saved->kept ||
        asprintf(&saved->new_path, "%s.new", saved->path) < 0) {
        json_decref(saved->sources);
        json_decref(saved->kept);
        free(saved->path);
        free(saved);
        return UV_ENOMEM;
    }
    saved->loop = loop;
    saved->collect = collect_cb;
    saved->owner = owner;
    buf_init(&saved->next, SIZE_MAX);
    read_file(saved);
    uv_timer_init(loop, &saved->timer);
    saved->timer.data = saved;
    saved->renew_ms = renew_ms ? renew_ms : RENEW_MS;
    uv_timer_start(&saved->timer, on_timer, saved->renew_ms, 0);
    *ret = saved;
    return 0;
}

void saved_close(struct saved *saved, void (*closed)(void *arg), void *arg)
{
    saved->closed = closed;
    saved->closed_arg = arg;
    uv_timer_stop(&saved->timer);
    if (!saved->is_writing)
        uv_close((uv_handle_t *)&saved->timer, on_timer_closed);
}
