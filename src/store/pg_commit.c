#include "store/pg_commit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "store/op_copy.h"
#include "store/pg_statements.h"

#define ARRAY_MAX_BYTES ((size_t)1 << 20) /* of one row's unique values, or references */
#define ROWS_MAX_BYTES ((size_t)64 << 20) /* of all rows' kinds, or ids */

int pg_commit_create(const struct store_op *ops, size_t count, uint64_t planned,
                     struct pg_commit **ret)
{
    struct pg_commit *commit = calloc(1, sizeof(*commit));
    if (!commit)
        return UV_ENOMEM;
    arena_init(&commit->arena, OP_COPY_BLOCK_BYTES, OP_COPY_MAX_BYTES);
    commit->count = count;
    snprintf(commit->planned, sizeof(commit->planned), "%llu", (unsigned long long)planned);
    commit->ops = op_copy(&commit->arena, ops, count);
    if (!commit->ops) {
        pg_commit_destroy(commit);
        return UV_ENOMEM;
    }
    *ret = commit;
    return 0;
}

void pg_commit_destroy(struct pg_commit *commit)
{
    if (!commit)
        return;
    PQclear(commit->before);
    arena_deinit(&commit->arena);
    free(commit);
}

/* ---- what is sent ---- */

/* Arrays as PostgreSQL reads them: {"a","b\"c"}. */
struct arrays {
    struct buf texts[5];
};

enum { KEY_FIELDS, KEY_VALUES, REF_FIELDS, REF_KINDS, REF_IDS };

static bool add_element(struct buf *array, const char *text)
{
    int rc = buf_append(array, buf_len(array) ? ",\"" : "{\"", 2);
    for (; rc == 0 && *text; text++) {
        if (*text == '"' || *text == '\\')
            rc = buf_append(array, "\\", 1);
        if (rc == 0)
            rc = buf_append(array, text, 1);
    }
    return rc == 0 && buf_append(array, "\"", 1) == 0;
}

static bool finish_array(struct buf *array)
{
    return buf_append(array, buf_len(array) ? "}" : "{}", buf_len(array) ? 2 : 3) == 0;
}

static bool fill_arrays(struct arrays *arrays, const struct store_op *op)
{
    bool is_good = true;
    for (size_t i = 0; is_good && i < op->key_count; i++)
        is_good = add_element(&arrays->texts[KEY_FIELDS], op->keys[i].field) &&
                  add_element(&arrays->texts[KEY_VALUES], op->keys[i].value);
    for (size_t i = 0; is_good && i < op->ref_count; i++)
        is_good = add_element(&arrays->texts[REF_FIELDS], op->refs[i].field) &&
                  add_element(&arrays->texts[REF_KINDS], op->refs[i].kind) &&
                  add_element(&arrays->texts[REF_IDS], op->refs[i].id);
    for (size_t i = 0; is_good && i < 5; i++)
        is_good = finish_array(&arrays->texts[i]);
    return is_good;
}

static bool send_put(PGconn *conn, const struct store_op *op)
{
    struct arrays arrays;
    for (size_t i = 0; i < 5; i++)
        buf_init(&arrays.texts[i], ARRAY_MAX_BYTES);
    bool is_sent =
        fill_arrays(&arrays, op) &&
        PG_SEND(conn, PG_PUT, op->kind, op->id, op->body, buf_str(&arrays.texts[KEY_FIELDS]).ptr,
                buf_str(&arrays.texts[KEY_VALUES]).ptr, buf_str(&arrays.texts[REF_FIELDS]).ptr,
                buf_str(&arrays.texts[REF_KINDS]).ptr, buf_str(&arrays.texts[REF_IDS]).ptr);
    for (size_t i = 0; i < 5; i++)
        buf_deinit(&arrays.texts[i]);
    return is_sent;
}

/* First all rows give up their unique values and references: so two rows may swap a name, in
 * whatever order they come; and again before each, for one commit may name a row twice. */
static bool send_ops(const struct pg_commit *commit, PGconn *conn)
{
    const struct store_op *ops = commit->ops;
    bool is_sent = true;
    for (size_t i = 0; is_sent && commit->count > 1 && i < commit->count; i++)
        is_sent = PG_SEND(conn, PG_FORGET, ops[i].kind, ops[i].id);
    for (size_t i = 0; is_sent && i < commit->count; i++)
        is_sent = PG_SEND(conn, PG_FORGET, ops[i].kind, ops[i].id) &&
                  (ops[i].op == STORE_PUT ? send_put(conn, &ops[i])
                                          : PG_SEND(conn, PG_REMOVE, ops[i].kind, ops[i].id));
    return is_sent;
}

/* Nothing is written over what others have changed since the ops were made. */
static bool send_current(const struct pg_commit *commit, PGconn *conn)
{
    struct buf kinds, ids;
    bool is_good = true;
    buf_init(&kinds, ROWS_MAX_BYTES);
    buf_init(&ids, ROWS_MAX_BYTES);
    for (size_t i = 0; is_good && i < commit->count; i++)
        is_good = add_element(&kinds, commit->ops[i].kind) && add_element(&ids, commit->ops[i].id);
    is_good = is_good && finish_array(&kinds) && finish_array(&ids) &&
              PG_SEND(conn, PG_CURRENT, commit->planned, commit->origin, buf_str(&kinds).ptr,
                      buf_str(&ids).ptr);
    buf_deinit(&kinds);
    buf_deinit(&ids);
    return is_good;
}

static bool send_turn(const struct pg_commit *commit, PGconn *conn)
{
    return pg_send(conn, PG_BEGIN, NULL, 0) &&
           PG_SEND(conn, PG_LOCK, commit->schema, commit->origin) &&
           pg_send(conn, PG_SAVEPOINT, NULL, 0);
}

static bool send_writing(struct pg_job *job, PGconn *conn)
{
    struct pg_commit *commit = (struct pg_commit *)(void *)job;
    return (commit->has_turn || send_turn(commit, conn)) &&
           PG_SEND(conn, PG_READ, commit->since, commit->origin, "f") &&
           send_current(commit, conn) && PG_SEND(conn, PG_TOKEN, commit->token) &&
           send_ops(commit, conn) && PG_SEND(conn, PG_DANGLING, commit->origin, commit->since) &&
           pg_send(conn, PG_TRIM, NULL, 0) && PG_SEND(conn, PG_SEAL, commit->token) &&
           pg_send(conn, PG_COMMIT, NULL, 0);
}

static bool send_asking(struct pg_job *job, PGconn *conn)
{
    struct pg_commit *commit = (struct pg_commit *)(void *)job;
    return PG_SEND(conn, PG_BAR, commit->token) && PG_SEND(conn, PG_OUTCOME, commit->token) &&
           PG_SEND(conn, PG_READ, commit->since, commit->origin, "t");
}

static bool send_step_back(struct pg_job *job, PGconn *conn)
{
    (void)job;
    return pg_send(conn, PG_ROLLBACK_TO, NULL, 0);
}

static bool send_rollback(struct pg_job *job, PGconn *conn)
{
    (void)job;
    return pg_send(conn, PG_ROLLBACK, NULL, 0);
}

/* ---- what comes back ---- */

static void note_error(struct pg_commit *commit, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *words = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    if (commit->state[0]) /* the first tells */
        return;
    snprintf(commit->state, sizeof(commit->state), "%s", state ? state : "?????");
    snprintf(commit->constraint, sizeof(commit->constraint), "%s", constraint ? constraint : "");
    pg_one_line(words ? words : PQresultErrorMessage(result), commit->why, sizeof(commit->why));
}

static void take_rows(struct pg_commit *commit, const PGresult *result)
{
    const char *what = PQfname(result, 0);
    if (strcmp(what, "is_behind") == 0) {
        commit->is_behind = PQgetvalue(result, 0, PG_READ_IS_BEHIND)[0] == 't';
        /* Asked after a commit of ours that is there, only what came before it is told. */
        commit->last =
            PQgetisnull(result, 0, PG_READ_OWN) ? pg_number_at(result, 0, PG_READ_LAST) : 0;
        if (!PQgetisnull(result, 0, PG_READ_SEQ))
            commit->before = PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    } else if (strcmp(what, "dangling") == 0) {
        commit->is_dangling = PQgetvalue(result, 0, 0)[0] == 't';
    } else if (strcmp(what, "sealed") == 0 && PQntuples(result) == 1) {
        commit->sequence = pg_number_at(result, 0, 0);
    } else if (strcmp(what, "outcome") == 0 && PQntuples(result) == 1) {
        commit->is_asked = true;
        commit->is_committed = !PQgetisnull(result, 0, 0);
        commit->sequence = pg_number_at(result, 0, 0);
    }
}

static void on_result(struct pg_job *job, const PGresult *result)
{
    struct pg_commit *commit = (struct pg_commit *)(void *)job;
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
        take_rows(commit, result);
        break;
    case PGRES_COMMAND_OK: /* after an error, COMMIT's tag would be "ROLLBACK" */
        if (commit->phase == PG_COMMIT_WRITING &&
            strcmp(PQcmdStatus((PGresult *)(uintptr_t)result), "COMMIT") == 0)
            commit->is_committed = true;
        break;
    case PGRES_PIPELINE_ABORTED: /* not run, as one before it failed */
        break;
    default:
        if (commit->phase == PG_COMMIT_WRITING || commit->phase == PG_COMMIT_ASKING)
            note_error(commit, result);
    }
}

/* ---- attempts ---- */

static void begin(struct pg_commit *commit, enum pg_commit_phase phase, uint64_t since)
{
    PQclear(commit->before);
    commit->before = NULL;
    commit->phase = phase;
    commit->is_committed = commit->is_behind = commit->is_dangling = commit->is_asked = false;
    commit->sequence = commit->last = 0;
    commit->state[0] = commit->constraint[0] = commit->why[0] = '\0';
    snprintf(commit->since, sizeof(commit->since), "%llu", (unsigned long long)since);
    commit->job.result = on_result;
}

void pg_commit_write(struct pg_commit *commit, uint64_t since, bool has_turn)
{
    begin(commit, PG_COMMIT_WRITING, since);
    commit->has_turn = has_turn;
    random_uuid(commit->token);
    commit->attempts++;
    commit->job.send = send_writing;
}

void pg_commit_ask(struct pg_commit *commit, uint64_t since)
{
    begin(commit, PG_COMMIT_ASKING, since);
    commit->job.send = send_asking;
}

void pg_commit_roll_back(struct pg_commit *commit)
{
    commit->phase = PG_COMMIT_ROLLING_BACK;
    commit->job.send = send_rollback;
}

void pg_commit_step_back(struct pg_commit *commit)
{
    commit->phase = PG_COMMIT_STEPPING_BACK;
    commit->job.send = send_step_back;
}

bool pg_commit_is_outdated(const struct pg_commit *commit)
{
    return strcmp(commit->state, PG_STALE_STATE) == 0;
}

int pg_commit_error(const struct pg_commit *commit)
{
    static const struct {
        const char *state;
        int rc;
    } meanings[] = {
        {"23505", UV_EEXIST}, {"40001", UV_EAGAIN}, {"40P01", UV_EAGAIN},
        {"25006", UV_EROFS},  {"57014", UV_EAGAIN}, {"53100", UV_ENOSPC},
        {"53200", UV_ENOMEM}, {"54000", UV_E2BIG},  {"22P02", UV_EINVAL},
    };
    if (strcmp(commit->state, "23503") == 0)
        return commit->is_dangling ? UV_ENOENT : UV_EBUSY;
    if (strcmp(commit->state, "23505") == 0 && strncmp(commit->constraint, "unique_keys", 11) != 0)
        return UV_EIO;
    for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
        if (strcmp(commit->state, meanings[i].state) == 0)
            return meanings[i].rc;
    return UV_EIO;
}
