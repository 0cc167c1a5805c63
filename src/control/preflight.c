#include "control/preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <uv.h> /* error codes only */

#include "control/options.h"

/* Workers share their ports by SO_REUSEPORT, and so would a second node of the same user,
 * unnoticed: that nobody listens yet is asked here, once. */
static int check_listeners(const char *setting, const struct listener_spec *specs, unsigned count,
                           struct error *err)
{
    struct error cause;
    for (unsigned i = 0; i < count; i++) {
        int rc = listener_check_free(&specs[i], &cause);
        if (rc) {
            error_set(err, setting, "%s %s", cause.field, cause.sentence);
            return rc;
        }
    }
    return 0;
}

/* The same port of the same address, or of all addresses, cannot serve both. */
static bool overlap(const struct listener_spec *a, const struct listener_spec *b)
{
    if (a->port != b->port || a->port == 0)
        return false;
    struct str one = str_of(a->text), other = str_of(b->text);
    return str_equal(one, other) || str_starts_with(one, STR("0.0.0.0:")) ||
           str_starts_with(other, STR("0.0.0.0:")) || str_starts_with(one, STR("[::]:")) ||
           str_starts_with(other, STR("[::]:"));
}

static int check_overlap(const struct listener_spec *some, unsigned some_count, const char *name,
                         const struct listener_spec *others, unsigned other_count,
                         const char *other_name, struct error *err)
{
    for (unsigned i = 0; i < some_count; i++)
        for (unsigned j = 0; j < other_count; j++)
            if (overlap(&some[i], &others[j])) {
                error_set(err, other_name, "%s is also %s's", others[j].text, name);
                return UV_EADDRINUSE;
            }
    return 0;
}

/* All that a node listens on. */
struct listeners {
    const char *setting;
    const struct listener_spec *specs;
    unsigned count;
};
#define LISTENERS_COUNT 4

static void list_listeners(const struct options *options, struct listeners list[LISTENERS_COUNT])
{
    list[0] = (struct listeners){"WEIR_PROXY_LISTEN", options->proxy_listeners,
                                 options->proxy_listener_count};
    list[1] = (struct listeners){"WEIR_STREAM_LISTEN", options->stream_listeners,
                                 options->stream_listener_count};
    list[2] = (struct listeners){"WEIR_ADMIN_LISTEN", options->admin_listeners,
                                 options->admin_listener_count};
    list[3] = (struct listeners){"WEIR_STATUS_LISTEN", options->status_listeners,
                                 options->status_listener_count};
}

static int check_overlaps(const struct listeners list[LISTENERS_COUNT], struct error *err)
{
    int rc = 0;
    for (int i = 0; i < LISTENERS_COUNT; i++)
        for (int j = i + 1; rc == 0 && j < LISTENERS_COUNT; j++)
            rc = check_overlap(list[i].specs, list[i].count, list[i].setting, list[j].specs,
                               list[j].count, list[j].setting, err);
    return rc;
}

static int check_access_log(const char *path, struct error *err)
{
    if (!path)
        return 0;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
    bool is_own = strcmp(path, "/dev/stdout") == 0 || strcmp(path, "/dev/stderr") == 0;
    if (fd < 0 && !is_own) { /* ours may be a socket, which cannot be opened and need not be */
        int rc = uv_translate_sys_error(errno);
        error_set(err, "WEIR_ACCESS_LOG", "%s cannot be opened: %s", path, uv_strerror(rc));
        return rc;
    }
    if (fd >= 0)
        close(fd);
    return 0;
}

int preflight_check(const struct options *options, struct error *err)
{
    struct listeners list[LISTENERS_COUNT];
    list_listeners(options, list);
    int rc = check_overlaps(list, err);
    for (int i = 0; rc == 0 && i < LISTENERS_COUNT; i++)
        rc = check_listeners(list[i].setting, list[i].specs, list[i].count, err);
    return rc ? rc : check_access_log(options->access_log_path, err);
}
