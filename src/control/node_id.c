#include "control/node_id.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <uv.h> /* error texts only */

#include "base/folder.h"
#include "base/log.h"
#include "model/entity.h"

#define FILE_NAME "node_id"

static int open_file(const char *data_dir, int *ret)
{
    int rc = folder_make(data_dir);
    if (rc < 0)
        return rc;
    int folder = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return -errno;
    *ret = openat(folder, FILE_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    rc = *ret < 0 ? -errno : 0;
    close(folder);
    return rc;
}

/* 0 and the file's id; UV_ENOENT: it holds none. */
static int read_id(int fd, char text[UUID_TEXT_BYTES])
{
    char bytes[UUID_TEXT_BYTES] = "";
    ssize_t len = pread(fd, bytes, UUID_TEXT_BYTES - 1, 0);
    if (len < 0)
        return -errno;
    if (len < UUID_TEXT_BYTES - 1 || !entity_is_uuid(str_make(bytes, (size_t)len)))
        return UV_ENOENT;
    memcpy(text, bytes, UUID_TEXT_BYTES);
    for (char *at = text; *at; at++)
        *at = str_lower_char(*at);
    return 0;
}

static int write_id(int fd, const char *text)
{
    char line[UUID_TEXT_BYTES + 1];
    int len = snprintf(line, sizeof(line), "%s\n", text);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, line, (size_t)len, 0) != len || fsync(fd) < 0)
        return errno ? -errno : UV_EIO;
    return 0;
}

/* Takes the id of the file, which is locked, or gives it ours. */
static int keep(struct node_id *id)
{
    int rc = read_id(id->fd, id->text);
    if (rc == UV_ENOENT)
        rc = write_id(id->fd, id->text);
    id->is_kept = rc == 0;
    return rc;
}

static int try_lock(const struct node_id *id)
{
    return flock(id->fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

void node_id_init(struct node_id *id, const char *data_dir)
{
    *id = (struct node_id){.fd = -1};
    random_uuid(id->text);
    int rc = open_file(data_dir, &id->fd);
    if (rc == 0)
        rc = try_lock(id);
    if (rc == UV_EAGAIN) {
        log_info("another process uses the data folder; this one has an id of its own meanwhile",
                 LOG_CSTR("folder", data_dir), LOG_CSTR("node_id", id->text));
        return;
    }
    if (rc == 0)
        rc = keep(id);
    if (rc == 0)
        return;
    log_warn("the node's id is not kept: the next start has another", LOG_CSTR("folder", data_dir),
             LOG_CSTR("why", uv_strerror(rc)));
    node_id_deinit(id);
}

bool node_id_claim(struct node_id *id)
{
    if (id->is_kept || id->fd < 0 || try_lock(id) < 0)
        return false;
    int rc = keep(id);
    if (rc < 0) {
        log_warn("the node's id is not kept", LOG_CSTR("why", uv_strerror(rc)));
        node_id_deinit(id);
        return false;
    }
    log_info("this is the only process of its data folder now; it has the kept id",
             LOG_CSTR("node_id", id->text));
    return true;
}

void node_id_deinit(struct node_id *id)
{
    if (id->fd >= 0)
        close(id->fd);
    id->fd = -1;
    id->is_kept = false;
}
