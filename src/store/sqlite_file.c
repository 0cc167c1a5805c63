#include "store/sqlite_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uv.h> /* error codes only */

#include "base/folder.h"
#include "base/log.h"
#include "store/sqlite_schema.h"

/*   lock the folder --> is there a database? --no--> make one aside, move it into place
 *                                |                                    |
 *                                yes --> ours? sound? not newer?      |
 *                                              |                      |
 *                                              '--> open for writing <'
 *
 * The checks read only, so that a file which fails one is as it was. */

#define DATABASE "weir.db"
#define DATABASE_ASIDE "weir.db.new" /* one that was not finished is made again */
#define BUSY_TIMEOUT_MS 5000         /* somebody looks at the file with the sqlite3 tool */

/* The file's header (https://www.sqlite.org/fileformat.html, section 1.3). */
#define HEADER_BYTES 100
#define HEADER_MAGIC "SQLite format 3"
#define HEADER_APPLICATION_ID_AT 68

/* The lock is on the folder itself, so that it leaves no file behind. */
static int lock_folder(const char *data_dir, int *ret_fd, struct error *err)
{
    int rc = folder_make(data_dir);
    if (rc < 0) {
        error_set(err, data_dir, "can't be made: %s", uv_strerror(rc));
        return rc;
    }
    int fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        rc = -errno;
        error_set(err, data_dir, "can't be opened: %s", uv_strerror(rc));
        return rc;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        rc = errno == EWOULDBLOCK ? UV_EBUSY : -errno;
        if (rc == UV_EBUSY)
            error_set(err, data_dir,
                      "is the data folder of a weir that is running; each node needs its own");
        else
            error_set(err, data_dir, "can't be locked: %s", uv_strerror(rc));
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

/* "/data/weir.db" and `suffix`; NULL when memory is short. */
static char *path_of(const char *data_dir, const char *name)
{
    char *path = NULL;
    char *folder = realpath(data_dir, NULL);
    if (folder && asprintf(&path, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name) < 0)
        path = NULL;
    free(folder);
    return path;
}

static bool exists_at(int dir_fd, const char *name)
{
    struct stat status;
    return fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static int open_database(const char *uri, int flags, const char *path, sqlite3 **ret,
                         struct error *err)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(uri, &db, flags | SQLITE_OPEN_URI, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    if (rc != SQLITE_OK) {
        error_set(err, path, "can't be opened: %s", db ? sqlite3_errmsg(db) : "out of memory");
        sqlite3_close(db);
        return UV_EIO;
    }
    *ret = db;
    return 0;
}

/* The path as a URI, which is the way to tell SQLite that nothing may be written; owned by the
 * caller; NULL when memory is short. */
static char *uri_of(const char *path, const char *query)
{
    static const char hex[] = "0123456789ABCDEF";
    char *uri = malloc(strlen("file://") + 3 * strlen(path) + strlen(query) + 1);
    if (!uri)
        return NULL;
    char *at = stpcpy(uri, "file://");
    for (; *path; path++) {
        unsigned char byte = (unsigned char)*path;
        if (strchr("?#%", byte) || byte <= ' ' || byte > '~') {
            *at++ = '%';
            *at++ = hex[byte >> 4];
            *at++ = hex[byte & 15];
        } else {
            *at++ = (char)byte;
        }
    }
    memcpy(at, query, strlen(query) + 1);
    return uri;
}

/* ---- is what is there ours, and sound? ---- */

static int refuse(const char *path, const char *why, struct error *err)
{
    error_set(err, path,
              "%s; it has been left as it is. Move it away, or choose another data folder", why);
    return UV_EINVAL;
}

static int check_header(int dir_fd, const char *path, struct error *err)
{
    unsigned char header[HEADER_BYTES];
    struct stat status;
    int fd = openat(dir_fd, DATABASE, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int rc = -errno;
        error_set(err, path, "can't be opened: %s", uv_strerror(rc));
        return rc;
    }
    bool is_file = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    ssize_t len = is_file ? pread(fd, header, sizeof(header), 0) : -1;
    close(fd);
    if (!is_file)
        return refuse(path, "is not a file", err);
    if (len < HEADER_BYTES || memcmp(header, HEADER_MAGIC, sizeof(HEADER_MAGIC)) != 0)
        return refuse(path, "is not an SQLite database, or its first page is damaged", err);
    const unsigned char *at = header + HEADER_APPLICATION_ID_AT;
    uint32_t id =
        (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
    if (id != SQLITE_APPLICATION_ID)
        return refuse(path, "is the SQLite database of another program", err);
    return 0;
}

static int check_soundness(sqlite3 *db, const char *path, struct error *err)
{
    char why[256];
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    const char *found = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    bool is_sound = found && strcmp(found, "ok") == 0;
    if (!is_sound)
        snprintf(why, sizeof(why), "is damaged (%s)", found ? found : sqlite3_errmsg(db));
    for (char *at = why; !is_sound && *at; at++)
        *at = (char)(*at == '\n' ? ' ' : *at);
    sqlite3_finalize(statement);
    return is_sound ? 0 : refuse(path, why, err);
}

/* A node that was killed leaves a log of commits, without which the database is not whole: then
 * SQLite must read both. Where there is none nothing else can be needed, and nothing is written. */
static bool has_log(const char *path)
{
    char log_path[PATH_MAX];
    struct stat status;
    snprintf(log_path, sizeof(log_path), "%s-wal", path);
    return stat(log_path, &status) == 0 && status.st_size > 0;
}

static int check_contents(const char *path, struct error *err)
{
    sqlite3 *db = NULL;
    char *uri = uri_of(path, has_log(path) ? "?mode=ro" : "?mode=ro&immutable=1");
    if (!uri)
        return UV_ENOMEM;
    int rc = open_database(uri, SQLITE_OPEN_READONLY, path, &db, err);
    free(uri);
    if (rc < 0)
        return rc;
    rc = check_soundness(db, path, err);
    int version = rc == 0 ? migrate_version(db) : 0;
    if (version > sqlite_migration_count) {
        error_set(err, path, "was written by a newer weir: its shape is %d, this weir knows %d",
                  version, sqlite_migration_count);
        rc = UV_ENOTSUP;
    }
    sqlite3_close(db);
    return rc;
}

/* ---- a new one ---- */

/* Gives it all that makes it ours, in SQLite's rollback mode, which leaves one file when closed. */
static int fill_new(const char *path, struct error *err)
{
    char sql[64];
    sqlite3 *db = NULL;
    int rc = open_database(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, path, &db, err);
    if (rc < 0)
        return rc;
    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d", SQLITE_APPLICATION_ID);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        error_set(err, path, "can't be made: %s", sqlite3_errmsg(db));
        rc = UV_EIO;
    }
    if (rc == 0)
        rc = migrate(db, sqlite_migrations, sqlite_migration_count, path, err);
    sqlite3_close(db);
    return rc;
}

static int make_database(const char *data_dir, int dir_fd, const char *path, struct error *err)
{
    /* SQLite would take these for logs of the new database. */
    if (exists_at(dir_fd, DATABASE "-wal") || exists_at(dir_fd, DATABASE "-journal")) {
        error_set(err, path,
                  "is missing, but its log is there: put it back, or remove the log (%s-wal)",
                  DATABASE);
        return UV_EINVAL;
    }
    int rc = UV_ENOMEM;
    char *aside = path_of(data_dir, DATABASE_ASIDE);
    if (!aside)
        return rc;
    unlinkat(dir_fd, DATABASE_ASIDE, 0);
    unlinkat(dir_fd, DATABASE_ASIDE "-journal", 0);
    /* Made by us, so that only its owner can read it: it will hold credentials. */
    int fd = openat(dir_fd, DATABASE_ASIDE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = -errno;
        error_set(err, path, "can't be made: %s", uv_strerror(rc));
        goto done;
    }
    close(fd);
    rc = fill_new(aside, err);
    if (rc < 0)
        goto done;
    if (renameat(dir_fd, DATABASE_ASIDE, dir_fd, DATABASE) < 0 || fsync(dir_fd) < 0) {
        rc = -errno;
        error_set(err, path, "can't be made: %s", uv_strerror(rc));
        goto done;
    }
    log_info("database created", LOG_CSTR("file", path));
done:
    free(aside);
    return rc;
}

/* ---- for writing ---- */

static int is_wal(void *arg, int count, char **values, char **names)
{
    (void)names;
    *(bool *)arg = count == 1 && values[0] && strcmp(values[0], "wal") == 0;
    return 0;
}

static int open_for_writing(const char *path, sqlite3 **ret, struct error *err)
{
    bool has_wal = false;
    sqlite3 *db = NULL;
    int rc = open_database(path, SQLITE_OPEN_READWRITE, path, &db, err);
    if (rc < 0)
        return rc;
    /* FULL: a commit is on the disk when it is acknowledged. */
    if (sqlite3_exec(db, "PRAGMA journal_mode = WAL", is_wal, &has_wal, NULL) != SQLITE_OK ||
        !has_wal ||
        sqlite3_exec(db, "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF", NULL, NULL,
                     NULL) != SQLITE_OK) {
        error_set(err, path, "can't be written to: %s",
                  has_wal || sqlite3_errcode(db) != SQLITE_OK
                      ? sqlite3_errmsg(db)
                      : "its file system has no shared memory");
        rc = UV_EIO;
    }
    int version = migrate_version(db);
    if (rc == 0)
        rc = migrate(db, sqlite_migrations, sqlite_migration_count, path, err);
    if (rc == 0 && version < sqlite_migration_count)
        log_info("database migrated", LOG_CSTR("file", path), LOG_INT("from", version),
                 LOG_INT("to", sqlite_migration_count));
    /* After the migrations, which may rebuild a table that others refer to. */
    if (rc == 0 && sqlite3_exec(db, "PRAGMA foreign_keys = ON", NULL, NULL, NULL) != SQLITE_OK) {
        error_set(err, path, "can't be opened: %s", sqlite3_errmsg(db));
        rc = UV_EIO;
    }
    if (rc < 0)
        sqlite3_close(db);
    else
        *ret = db;
    return rc;
}

int sqlite_file_open(const char *data_dir, struct sqlite_file *file, struct error *err)
{
    assert(data_dir && file);

    *file = (struct sqlite_file){.dir_fd = -1};
    int rc = lock_folder(data_dir, &file->dir_fd, err);
    if (rc < 0)
        return rc;
    file->path = path_of(data_dir, DATABASE);
    if (!file->path) {
        error_set(err, data_dir, "can't be found: %s", strerror(errno));
        rc = UV_ENOENT;
        goto fail;
    }
    if (exists_at(file->dir_fd, DATABASE)) {
        rc = check_header(file->dir_fd, file->path, err);
        if (rc == 0)
            rc = check_contents(file->path, err);
    } else {
        rc = make_database(data_dir, file->dir_fd, file->path, err);
    }
    if (rc == 0)
        rc = open_for_writing(file->path, &file->db, err);
    if (rc == 0)
        return 0;
fail:
    sqlite_file_close(file);
    return rc;
}

int sqlite_file_version(const char *data_dir, int *ret_version, struct error *err)
{
    int version = 0, rc = 0;
    char *path = NULL;
    int dir_fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 && errno != ENOENT) {
        rc = -errno;
        error_set(err, data_dir, "can't be opened: %s", uv_strerror(rc));
        return rc;
    }
    if (dir_fd >= 0 && exists_at(dir_fd, DATABASE)) {
        sqlite3 *db = NULL;
        path = path_of(data_dir, DATABASE);
        char *uri = path ? uri_of(path, has_log(path) ? "?mode=ro" : "?mode=ro&immutable=1") : NULL;
        rc = uri ? check_header(dir_fd, path, err) : UV_ENOMEM;
        if (rc == 0)
            rc = open_database(uri, SQLITE_OPEN_READONLY, path, &db, err);
        if (rc == 0 && (version = migrate_version(db)) < 0)
            rc = refuse(path, "can't be read", err);
        sqlite3_close(db);
        free(uri);
        free(path);
    }
    if (dir_fd >= 0)
        close(dir_fd);
    if (rc == 0)
        *ret_version = version;
    return rc;
}

int sqlite_file_remove(const char *data_dir, struct error *err)
{
    static const char *const names[] = {DATABASE "-wal", DATABASE "-shm", DATABASE};
    int version, dir_fd;
    int rc = sqlite_file_version(data_dir, &version, err);
    if (rc < 0 || version == 0)
        return rc;
    rc = lock_folder(data_dir, &dir_fd, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < sizeof(names) / sizeof(*names); i++)
        if (unlinkat(dir_fd, names[i], 0) < 0 && errno != ENOENT) {
            rc = -errno;
            error_set(err, data_dir, "%s can't be removed: %s", names[i], uv_strerror(rc));
        }
    close(dir_fd);
    return rc;
}

void sqlite_file_close(struct sqlite_file *file)
{
    sqlite3_close(file->db);
    free(file->path);
    if (file->dir_fd >= 0)
        close(file->dir_fd);
    *file = (struct sqlite_file){.dir_fd = -1};
}
