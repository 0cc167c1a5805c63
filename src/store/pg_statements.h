/* pg_statements.h - the statements that weir's connections to PostgreSQL prepare once and run by
 * number.
 *
 * Thread: any. Memory: constants. */
#ifndef STORE_PG_STATEMENTS_H
#define STORE_PG_STATEMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

/* How many of the last changes are kept for nodes that were away. */
#define PG_CHANGES_KEPT 20000

/* The SQLSTATE by which PG_CURRENT ends a transaction: no other statement of ours divides. */
#define PG_STALE_STATE "22012"

enum pg_statement {
    PG_BEGIN,
    PG_COMMIT,
    PG_ROLLBACK,
    PG_LOCK,        /* 1 schema: waits for its turn to write */
    PG_SAVEPOINT,   /* after the lock: back to here the turn is kept */
    PG_ROLLBACK_TO, /* undoes what came after it */
    PG_CURRENT, /* 1 since, 2 origin, 3 kinds, 4 ids: fails with PG_STALE_STATE unless nobody else
                   has changed these rows since */
    PG_TOKEN,   /* 1 token */
    PG_READ,    /* 1 since, 2 origin, 3 stop before our own changes; columns: enum pg_read_column */
    PG_FORGET,  /* 1 kind, 2 id: what the row claims */
    PG_PUT,     /* 1 kind, 2 id, 3 body, 4 and 5 keys, 6 to 8 references */
    PG_REMOVE,  /* 1 kind, 2 id */
    PG_DANGLING, /* 1 origin, 2 since: whether what was put refers to what isn't there; "dangling"
                  */
    PG_TRIM,     /* forgets old changes */
    PG_SEAL,     /* 1 token: the number of the commit's last change; "sealed" */
    PG_BAR,      /* 1 token: bars the commit unless it is done */
    PG_OUTCOME,  /* 1 token: "outcome": NULL, or as PG_SEAL said */
    PG_LOAD,     /* 1 since, 2 origin: all rows; columns: enum pg_read_column */
    PG_BEAT,     /* 1 id, 2 host, 3 version, 4 state, 5 sequence, 6 started at, ms */
    PG_LEAVE,    /* 1 id */
    PG_NODES,    /* columns: enum pg_node_column */
    PG_STATEMENT_COUNT, /* keep last */
};

/* The first three are the same in each row, of which there is always one. */
enum pg_read_column {
    PG_READ_IS_BEHIND, /* 't': the log doesn't reach back to `since` */
    PG_READ_LAST,      /* the last number that there is */
    PG_READ_OWN,       /* the last of our own after `since`; or NULL */
    PG_READ_SEQ,       /* NULL: nothing has changed (or, PG_LOAD, there are no rows) */
    PG_READ_KIND,
    PG_READ_ID,
    PG_READ_BODY,   /* NULL: it is gone */
    PG_READ_IS_NEW, /* PG_LOAD's alone: 't': nothing has ever been written */
};

enum pg_node_column {
    PG_NODE_ID,
    PG_NODE_HOST,
    PG_NODE_VERSION,
    PG_NODE_STATE,
    PG_NODE_SEQ,
    PG_NODE_STARTED_AT,
    PG_NODE_AGE,
};

/* Queue them; false: memory is short. */
bool pg_prepare_all(PGconn *conn);
bool pg_send(PGconn *conn, enum pg_statement statement, const char *const *texts, int count);

#define PG_SEND(conn, statement, ...)                                                              \
    pg_send(conn, statement, (const char *const[]){__VA_ARGS__},                                   \
            (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)))

/* What a cell holds, a number that is never negative; 0 for NULL. */
uint64_t pg_number_at(const PGresult *result, int row, int column);

#endif
