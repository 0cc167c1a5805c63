#include "store/sqlite_schema.h"

/* Foreign keys are deferred: only a whole commit has to be consistent, whatever the order of its
 * ops. A row's own keys and references go with it in the same commit (sqlite_write.c). */
const struct migration sqlite_migrations[] = {
    {"rows, what is unique, what refers to what, changes",
     "CREATE TABLE rows ("
     " kind TEXT NOT NULL,"
     " id TEXT NOT NULL,"
     " body TEXT NOT NULL,"
     " PRIMARY KEY (kind, id)) STRICT, WITHOUT ROWID;"

     "CREATE TABLE unique_keys ("
     " kind TEXT NOT NULL,"
     " field TEXT NOT NULL,"
     " value TEXT NOT NULL,"
     " id TEXT NOT NULL,"
     " PRIMARY KEY (kind, field, value),"
     " FOREIGN KEY (kind, id) REFERENCES rows (kind, id) DEFERRABLE INITIALLY DEFERRED"
     ") STRICT, WITHOUT ROWID;"
     "CREATE INDEX unique_keys_of_row ON unique_keys (kind, id);"

     "CREATE TABLE refs ("
     " kind TEXT NOT NULL,"
     " id TEXT NOT NULL,"
     " field TEXT NOT NULL,"
     " ref_kind TEXT NOT NULL,"
     " ref_id TEXT NOT NULL,"
     " PRIMARY KEY (kind, id, field),"
     " FOREIGN KEY (kind, id) REFERENCES rows (kind, id) DEFERRABLE INITIALLY DEFERRED,"
     " FOREIGN KEY (ref_kind, ref_id) REFERENCES rows (kind, id) DEFERRABLE INITIALLY DEFERRED"
     ") STRICT, WITHOUT ROWID;"
     "CREATE INDEX refs_to_row ON refs (ref_kind, ref_id);"

     "CREATE TABLE changes ("
     " seq INTEGER PRIMARY KEY AUTOINCREMENT,"
     " kind TEXT NOT NULL,"
     " id TEXT NOT NULL,"
     " op TEXT NOT NULL CHECK (op IN ('put', 'remove')),"
     " at INTEGER NOT NULL) STRICT;"}, /* seconds since 1970 */
};

const int sqlite_migration_count = sizeof(sqlite_migrations) / sizeof(sqlite_migrations[0]);
