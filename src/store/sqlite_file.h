/* sqlite_file.h - the embedded database as a file: found, checked and locked before anything is
 * written, or made.
 *
 * Thread: any, one at a time. */
#ifndef STORE_SQLITE_FILE_H
#define STORE_SQLITE_FILE_H

#include <sqlite3.h>

#include "base/error.h"

struct sqlite_file {
    sqlite3 *db; /* ready for writing, with all migrations */
    char *path;  /* of the database; owned */
    int dir_fd;  /* the data folder, locked for this node; -1: none */
};

/* Opens the database of a data folder; makes both where they are missing. Blocks. 0, or a negative
 * UV_E… with *err:
 *   UV_EBUSY     another node uses the folder
 *   UV_EINVAL    the file is not a database of ours, or corrupt; it has not been touched, and
 *                nothing was put beside it
 *   UV_ENOTSUP   a newer weir wrote it; not touched either
 *   others       the system's */
int sqlite_file_open(const char *data_dir, struct sqlite_file *file, struct error *err);
/* The shape of the database (migrate.h); 0: there is none. Same errors; makes and changes nothing,
 * and may be asked while a node runs. */
int sqlite_file_version(const char *data_dir, int *ret_version, struct error *err);
/* Removes the database, if it is ours and no node uses it; 0 when there is none, too. */
int sqlite_file_remove(const char *data_dir, struct error *err);
/* Takes what half an open left, too. */
void sqlite_file_close(struct sqlite_file *file);

#endif
