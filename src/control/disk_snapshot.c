#include "control/disk_snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/log.h"
#include "base/str.h"
#include "model/config.h"
#include "model/packed_row.h"

/*   clean --touch--> settling --SETTLE_MS--> writing --done--> clean
 *                       ^                       |
 *                       '------- touched -------'                   */

#define FILE_NAME "snapshot"
#define FILE_ASIDE "snapshot.new" /* one that was not finished is written again */
#define HEADER "weir snapshot 1"
#define SETTLE_MS 500 /* many changes in a row make one file */

struct kept_row {
    const char *kind;       /* constant */
    struct packed_row *row; /* a reference; rows never change, so that the pool may read them */
};

struct disk_snapshot {
    uv_loop_t *loop;
    char *data_dir;
    const struct config *config; /* borrowed */
    uv_timer_t timer;
    uv_work_t work;
    uint64_t sequence;
    bool is_touched; /* since the last write began */
    bool is_writing;
    bool is_stopped;
    bool is_failing; /* the last write; says so once */

    /* What is being written: the pool's meanwhile. */
    struct kept_row *rows;
    size_t row_count;
    size_t capacity;
    uint64_t rows_sequence;
    int rc;
};

/* ---- writing, in the pool ---- */

static int write_rows(const struct disk_snapshot *snapshot, FILE *file)
{
    int rc = 0;
    fprintf(file, HEADER " %llu %zu\n", (unsigned long long)snapshot->rows_sequence,
            snapshot->row_count);
    for (size_t i = 0; i < snapshot->row_count; i++) {
        const struct kept_row *row = &snapshot->rows[i];
        json_t *json = packed_row_unpack(row->row);
        char *body = json ? json_dumps(json, JSON_COMPACT) : NULL; /* which escapes newlines */
        json_decref(json);
        if (!body)
            return UV_ENOMEM;
        if (fprintf(file, "%s\t%s\t%s\n", row->kind, packed_row_id(row->row), body) < 0)
            rc = -errno;
        free(body);
    }
    return rc;
}

/* Takes the descriptor over. */
static int write_file(const struct disk_snapshot *snapshot, int fd)
{
    FILE *file = fdopen(fd, "w");
    if (!file) {
        close(fd);
        return UV_ENOMEM;
    }
    int rc = write_rows(snapshot, file);
    if (rc == 0 && (fflush(file) != 0 || fsync(fd) != 0))
        rc = -errno;
    if (fclose(file) != 0 && rc == 0)
        rc = -errno;
    return rc;
}

static int replace_file(const struct disk_snapshot *snapshot)
{
    int rc = folder_make(snapshot->data_dir);
    if (rc < 0)
        return rc;
    int folder = open(snapshot->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    int fd = openat(folder, FILE_ASIDE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    rc = fd < 0 ? -errno : write_file(snapshot, fd);
    if (rc == 0 && (renameat(folder, FILE_ASIDE, folder, FILE_NAME) < 0 || fsync(folder) < 0))
        rc = -errno;
    close(folder);
    return rc;
}

static void on_write(uv_work_t *work)
{
    struct disk_snapshot *snapshot = work->data;
    snapshot->rc = replace_file(snapshot);
    for (size_t i = 0; i < snapshot->row_count; i++)
        packed_row_unref(snapshot->rows[i].row);
    free(snapshot->rows);
    snapshot->rows = NULL;
}

/* ---- on the loop ---- */

static int keep_row(void *arg, const char *kind, const struct packed_row *row)
{
    struct disk_snapshot *snapshot = arg;
    if (snapshot->row_count == snapshot->capacity) {
        size_t capacity = snapshot->capacity ? snapshot->capacity * 2 : 256;
        struct kept_row *rows = realloc(snapshot->rows, capacity * sizeof(*rows));
        if (!rows)
            return UV_ENOMEM;
        snapshot->rows = rows;
        snapshot->capacity = capacity;
    }
    snapshot->rows[snapshot->row_count++] = (struct kept_row){kind, packed_row_ref(row)};
    return 0;
}

static void start_writing(struct disk_snapshot *snapshot);

static void on_written(uv_work_t *work, int status)
{
    struct disk_snapshot *snapshot = work->data;
    (void)status; /* nobody cancels it */
    snapshot->is_writing = false;
    if (snapshot->rc < 0 && !snapshot->is_failing)
        log_error("the configuration's snapshot cannot be written",
                  LOG_CSTR("folder", snapshot->data_dir),
                  LOG_CSTR("error", uv_strerror(snapshot->rc)));
    else if (snapshot->rc == 0)
        log_debug("snapshot written to disk", LOG_INT("rows", snapshot->row_count),
                  LOG_INT("sequence", snapshot->rows_sequence));
    snapshot->is_failing = snapshot->rc < 0;
    if (snapshot->is_touched && snapshot->is_stopped)
        start_writing(snapshot);
    else if (snapshot->is_touched)
        disk_snapshot_touch(snapshot, snapshot->sequence);
}

static void start_writing(struct disk_snapshot *snapshot)
{
    snapshot->is_touched = false;
    snapshot->rows = NULL;
    snapshot->row_count = snapshot->capacity = 0;
    snapshot->rows_sequence = snapshot->sequence;
    if (config_each(snapshot->config, keep_row, snapshot)) {
        log_error("memory is short");
        for (size_t i = 0; i < snapshot->row_count; i++)
            packed_row_unref(snapshot->rows[i].row);
        free(snapshot->rows);
        return;
    }
    snapshot->is_writing = true;
    snapshot->work.data = snapshot;
    uv_queue_work(snapshot->loop, &snapshot->work, on_write, on_written);
}

static void on_settled(uv_timer_t *timer)
{
    start_writing(timer->data);
}

void disk_snapshot_touch(struct disk_snapshot *snapshot, uint64_t sequence)
{
    if (!snapshot || snapshot->is_stopped)
        return;
    snapshot->sequence = sequence;
    snapshot->is_touched = true;
    if (!snapshot->is_writing && !uv_is_active((uv_handle_t *)&snapshot->timer))
        uv_timer_start(&snapshot->timer, on_settled, SETTLE_MS, 0);
}

/* ---- life ---- */

int disk_snapshot_create(uv_loop_t *loop, const char *data_dir, const struct config *config,
                         struct disk_snapshot **ret)
{
    int rc = UV_ENOMEM;
    struct disk_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot || !(snapshot->data_dir = strdup(data_dir)))
        goto fail;
    snapshot->loop = loop;
    snapshot->config = config;
    rc = uv_timer_init(loop, &snapshot->timer);
    if (rc)
        goto fail;
    snapshot->timer.data = snapshot;
    *ret = snapshot;
    return 0;
fail:
    disk_snapshot_destroy(snapshot);
    return rc;
}

void disk_snapshot_stop(struct disk_snapshot *snapshot)
{
    if (!snapshot || snapshot->is_stopped)
        return;
    snapshot->is_stopped = true;
    uv_close((uv_handle_t *)&snapshot->timer, NULL);
    if (snapshot->is_touched && !snapshot->is_writing)
        start_writing(snapshot);
}

void disk_snapshot_destroy(struct disk_snapshot *snapshot)
{
    if (!snapshot)
        return;
    free(snapshot->data_dir);
    free(snapshot);
}

/* ---- loading ---- */

static int refuse(const char *path, const char *why, struct error *err)
{
    error_set(err, path, "%s", why);
    return UV_EINVAL;
}

static int load_line(char *line, int (*row)(void *, const char *, const char *, const char *),
                     void *arg)
{
    char *id = strchr(line, '\t');
    char *body = id ? strchr(id + 1, '\t') : NULL;
    if (!body)
        return UV_EINVAL;
    *id = *body = '\0';
    return row(arg, line, id + 1, body + 1);
}

static int load_lines(FILE *file, const char *path,
                      int (*row)(void *, const char *, const char *, const char *), void *arg,
                      struct error *err)
{
    int rc = 0;
    char *line = NULL;
    size_t size = 0, wanted = 0, count = 0;
    unsigned long long sequence;
    ssize_t len = getline(&line, &size, file);
    if (len < 0 || sscanf(line, HEADER " %llu %zu\n", &sequence, &wanted) != 2)
        rc = refuse(path, "is no snapshot that this version of weir can read", err);
    while (rc == 0 && (len = getline(&line, &size, file)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        rc = load_line(line, row, arg);
        if (rc == UV_EINVAL)
            refuse(path, "is damaged", err);
        count++;
    }
    if (rc == 0 && count != wanted)
        rc = refuse(path, "is not whole", err);
    free(line);
    return rc;
}

int disk_snapshot_load(const char *data_dir,
                       int (*row)(void *arg, const char *kind, const char *id, const char *body),
                       void *arg, struct error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/" FILE_NAME, data_dir);
    FILE *file = fopen(path, "re");
    if (!file) {
        int rc = -errno;
        error_set(err, path, "cannot be read: %s", uv_strerror(rc));
        return rc;
    }
    int rc = load_lines(file, path, row, arg, err);
    fclose(file);
    return rc;
}
