#include "store/sqlite_write.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    PUT_ROW,
    REMOVE_ROW,
    HAS_ROW,
    FORGET_KEYS,
    FORGET_REFS,
    ADD_KEY,
    ADD_REF,
    ADD_CHANGE,
    FORGET_CHANGES,
    STATEMENT_COUNT, /* keep last */
};

#define TEXT(number) #number
#define NUMBER(macro) TEXT(macro)

static const char *const sql_of[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [PUT_ROW] = "INSERT INTO rows (kind, id, body) VALUES (?1, ?2, ?3)"
                " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
    [REMOVE_ROW] = "DELETE FROM rows WHERE kind = ?1 AND id = ?2",
    [HAS_ROW] = "SELECT 1 FROM rows WHERE kind = ?1 AND id = ?2",
    [FORGET_KEYS] = "DELETE FROM unique_keys WHERE kind = ?1 AND id = ?2",
    [FORGET_REFS] = "DELETE FROM refs WHERE kind = ?1 AND id = ?2",
    [ADD_KEY] = "INSERT INTO unique_keys (kind, id, field, value) VALUES (?1, ?2, ?3, ?4)",
    [ADD_REF] = "INSERT INTO refs (kind, id, field, ref_kind, ref_id) VALUES (?1, ?2, ?3, ?4, ?5)",
    [ADD_CHANGE] = "INSERT INTO changes (kind, id, op, at) VALUES (?1, ?2, ?3, unixepoch())",
    [FORGET_CHANGES] =
        "DELETE FROM changes"
        " WHERE seq <= (SELECT max(seq) FROM changes) - " NUMBER(SQLITE_CHANGES_KEPT),
};

struct sqlite_writer {
    sqlite3 *db; /* borrowed */
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

int sqlite_writer_create(sqlite3 *db, const char *file, struct sqlite_writer **ret,
                         struct error *err)
{
    assert(db && file && ret);

    struct sqlite_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return UV_ENOMEM;
    writer->db = db;
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        if (sqlite3_prepare_v3(db, sql_of[i], -1, SQLITE_PREPARE_PERSISTENT, &writer->statements[i],
                               NULL) != SQLITE_OK) {
            error_set(err, file, "can't be used: %s", sqlite3_errmsg(db));
            sqlite_writer_destroy(writer);
            return UV_EIO;
        }
    }
    *ret = writer;
    return 0;
}

void sqlite_writer_destroy(struct sqlite_writer *writer)
{
    for (int i = 0; writer && i < STATEMENT_COUNT; i++)
        sqlite3_finalize(writer->statements[i]);
    free(writer);
}

/* Runs a statement with these texts as ?1, ?2, …; SQLITE_DONE, SQLITE_ROW when there is one, or an
 * error. Texts are borrowed until it returns. */
static int run_with(struct sqlite_writer *writer, enum statement which, const char *const *texts,
                    int count)
{
    sqlite3_stmt *statement = writer->statements[which];
    int rc = SQLITE_OK;
    for (int i = 0; rc == SQLITE_OK && i < count; i++)
        rc = sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return rc;
}

#define RUN(writer, which, ...)                                                                    \
    run_with(writer, which, (const char *const[]){__VA_ARGS__},                                    \
             (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)))

static int forget_claims(struct sqlite_writer *writer, const struct store_op *op)
{
    int rc = RUN(writer, FORGET_KEYS, op->kind, op->id);
    return rc == SQLITE_DONE ? RUN(writer, FORGET_REFS, op->kind, op->id) : rc;
}

static int add_claims(struct sqlite_writer *writer, const struct store_op *op)
{
    int rc = SQLITE_DONE;
    for (size_t i = 0; rc == SQLITE_DONE && i < op->key_count; i++)
        rc = RUN(writer, ADD_KEY, op->kind, op->id, op->keys[i].field, op->keys[i].value);
    for (size_t i = 0; rc == SQLITE_DONE && i < op->ref_count; i++)
        rc = RUN(writer, ADD_REF, op->kind, op->id, op->refs[i].field, op->refs[i].kind,
                 op->refs[i].id);
    return rc;
}

static int carry_out(struct sqlite_writer *writer, const struct store_op *op)
{
    bool is_put = op->op == STORE_PUT;
    int rc = is_put ? RUN(writer, PUT_ROW, op->kind, op->id, op->body)
                    : RUN(writer, REMOVE_ROW, op->kind, op->id);
    if (rc == SQLITE_DONE) /* again, for one commit may name a row twice */
        rc = forget_claims(writer, op);
    if (rc == SQLITE_DONE && is_put)
        rc = add_claims(writer, op);
    if (rc == SQLITE_DONE)
        rc = RUN(writer, ADD_CHANGE, op->kind, op->id, is_put ? "put" : "remove");
    return rc;
}

/* First all rows give up their unique values and references: so two rows may swap a name, in
 * whatever order they come. */
static int carry_out_all(struct sqlite_writer *writer, const struct store_op *ops, size_t count)
{
    int rc = run_with(writer, BEGIN, NULL, 0);
    for (size_t i = 0; rc == SQLITE_DONE && i < count; i++)
        rc = forget_claims(writer, &ops[i]);
    for (size_t i = 0; rc == SQLITE_DONE && i < count; i++)
        rc = carry_out(writer, &ops[i]);
    if (rc == SQLITE_DONE)
        rc = run_with(writer, FORGET_CHANGES, NULL, 0);
    return rc == SQLITE_DONE ? run_with(writer, COMMIT, NULL, 0) : rc;
}

/* SQLite says at the end only that some reference leads nowhere. The transaction is still open:
 * either one of the ops refers to what is not there, or a row that it removed is referred to. */
static int broken_reference(struct sqlite_writer *writer, const struct store_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; ops[i].op == STORE_PUT && j < ops[i].ref_count; j++)
            if (RUN(writer, HAS_ROW, ops[i].refs[j].kind, ops[i].refs[j].id) != SQLITE_ROW)
                return UV_ENOENT;
    return UV_EBUSY;
}

static int error_of(struct sqlite_writer *writer, const struct store_op *ops, size_t count)
{
    switch (sqlite3_extended_errcode(writer->db)) {
    case SQLITE_CONSTRAINT_PRIMARYKEY: /* of unique_keys; rows are upserted */
        return UV_EEXIST;
    case SQLITE_CONSTRAINT_FOREIGNKEY:
        return broken_reference(writer, ops, count);
    }
    switch (sqlite3_errcode(writer->db)) {
    case SQLITE_NOMEM:
        return UV_ENOMEM;
    case SQLITE_FULL:
        return UV_ENOSPC;
    case SQLITE_TOOBIG:
        return UV_E2BIG;
    default:
        return UV_EIO;
    }
}

int sqlite_writer_commit(struct sqlite_writer *writer, const struct store_op *ops, size_t count,
                         char *why, size_t why_size)
{
    if (carry_out_all(writer, ops, count) == SQLITE_DONE)
        return 0;
    snprintf(why, why_size, "%s", sqlite3_errmsg(writer->db));
    int rc = error_of(writer, ops, count);
    if (!sqlite3_get_autocommit(writer->db)) /* some errors have rolled back already */
        run_with(writer, ROLLBACK, NULL, 0);
    return rc;
}
