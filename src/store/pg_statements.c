#include "store/pg_statements.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT(number) #number
#define NUMBER(macro) TEXT(macro)

/* Where the log stands, seen from $1, for the connection $2. */
#define HEAD                                                                                       \
    "SELECT (SELECT trimmed_through FROM log) > $1::bigint OR x.last < $1::bigint AS is_behind,"   \
    " x.last, (SELECT max(seq) FROM changes WHERE origin = $2::uuid AND seq > $1::bigint) AS own"  \
    " FROM (SELECT greatest((SELECT max(seq) FROM changes), (SELECT trimmed_through FROM log))"    \
    " AS last) x"

static const char *const sql_of[PG_STATEMENT_COUNT] = {
    [PG_BEGIN] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    [PG_COMMIT] = "COMMIT",
    [PG_ROLLBACK] = "ROLLBACK",
    [PG_LOCK] = "SELECT pg_advisory_xact_lock(2003134834, hashtext($1::text)),"
                " set_config('weir.origin', $2::text, true)",
    [PG_SAVEPOINT] = "SAVEPOINT turn",
    [PG_ROLLBACK_TO] = "ROLLBACK TO SAVEPOINT turn",
    /* The whole transaction is on its way already, so that only an error can stop it. */
    [PG_CURRENT] =
        "SELECT 1 / (NOT EXISTS (SELECT FROM changes c"
        "  JOIN unnest($3::text[], $4::uuid[]) AS o (kind, id) USING (kind, id)"
        "  WHERE c.seq > $1::bigint AND c.origin IS DISTINCT FROM $2::uuid)"
        " AND (SELECT trimmed_through <= $1::bigint AND $1::bigint <= greatest(trimmed_through,"
        "  (SELECT max(seq) FROM changes)) FROM log))::int AS current",
    [PG_TOKEN] = "INSERT INTO commits (token) VALUES ($1::uuid)",
    [PG_READ] = "SELECT h.is_behind, h.last, h.own, c.seq, c.kind, c.id, r.body FROM (" HEAD ") h"
                " LEFT JOIN (SELECT DISTINCT ON (kind, id) seq, kind, id FROM changes"
                "  WHERE seq > $1::bigint AND (NOT $3::boolean OR seq < coalesce("
                "   (SELECT min(seq) FROM changes WHERE origin = $2::uuid AND seq > $1::bigint),"
                "   9223372036854775807))"
                "  ORDER BY kind, id, seq DESC) c ON NOT h.is_behind"
                " LEFT JOIN rows r ON r.kind = c.kind AND r.id = c.id ORDER BY c.seq",
    [PG_FORGET] = "WITH k AS (DELETE FROM unique_keys WHERE kind = $1::text AND id = $2::uuid)"
                  " DELETE FROM refs WHERE kind = $1::text AND id = $2::uuid",
    [PG_PUT] = "WITH r AS (INSERT INTO rows (kind, id, body)"
               "  VALUES ($1::text, $2::uuid, $3::json)"
               "  ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body),"
               " k AS (INSERT INTO unique_keys (kind, id, field, value)"
               "  SELECT $1::text, $2::uuid, u.field, u.value"
               "  FROM unnest($4::text[], $5::text[]) AS u (field, value))"
               " INSERT INTO refs (kind, id, field, ref_kind, ref_id)"
               " SELECT $1::text, $2::uuid, u.field, u.kind, u.id"
               " FROM unnest($6::text[], $7::text[], $8::uuid[]) AS u (field, kind, id)",
    [PG_REMOVE] = "DELETE FROM rows WHERE kind = $1::text AND id = $2::uuid",
    [PG_DANGLING] = "SELECT EXISTS (SELECT FROM changes c JOIN refs f USING (kind, id)"
                    " WHERE c.origin = $1::uuid AND c.seq > $2::bigint AND NOT EXISTS"
                    " (SELECT FROM rows r WHERE r.kind = f.ref_kind AND r.id = f.ref_id))"
                    " AS dangling",
    [PG_TRIM] =
        "WITH c AS (DELETE FROM commits WHERE at < now() - interval '1 day'),"
        " t AS (DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes)"
        "  - " NUMBER(
            PG_CHANGES_KEPT) " RETURNING seq)"
                             " UPDATE log SET trimmed_through = x.seq"
                             " FROM (SELECT max(seq) AS seq FROM t) x WHERE x.seq IS NOT NULL",
    [PG_SEAL] =
        "UPDATE commits SET seq = greatest((SELECT max(seq) FROM changes),"
        " (SELECT trimmed_through FROM log)) WHERE token = $1::uuid RETURNING seq AS sealed",
    [PG_BAR] = "INSERT INTO commits (token) VALUES ($1::uuid) ON CONFLICT (token) DO NOTHING",
    [PG_OUTCOME] = "SELECT seq AS outcome FROM commits WHERE token = $1::uuid",
    [PG_LOAD] = "SELECT h.is_behind, h.last, h.own, h.last AS seq, r.kind, r.id, r.body,"
                " NOT EXISTS (SELECT FROM changes) AS is_new"
                " FROM (" HEAD ") h LEFT JOIN rows r ON true ORDER BY r.kind COLLATE \"C\", r.id",
    [PG_BEAT] =
        "WITH old AS (DELETE FROM nodes WHERE seen_at < now() - interval '1 day' AND id <> "
        "$1::uuid)"
        " INSERT INTO nodes (id, host, version, state, seq, started_at, seen_at) VALUES ($1::uuid,"
        " $2::text, $3::text, $4::text, $5::bigint,"
        " to_timestamp($6::bigint / 1000.0), clock_timestamp())"
        " ON CONFLICT (id) DO UPDATE SET host = excluded.host, version = excluded.version,"
        " state = excluded.state, seq = excluded.seq, started_at = excluded.started_at,"
        " seen_at = excluded.seen_at",
    [PG_LEAVE] = "DELETE FROM nodes WHERE id = $1::uuid",
    [PG_NODES] = "SELECT id, host, version, state, seq,"
                 " round(extract(epoch FROM started_at) * 1000)::bigint,"
                 " greatest(0, (extract(epoch FROM clock_timestamp() - seen_at) * 1000)::bigint)"
                 " FROM nodes ORDER BY started_at, id",
};

static void name_of(enum pg_statement statement, char name[8])
{
    snprintf(name, 8, "w%u", (unsigned)statement % 1000);
}

bool pg_prepare_all(PGconn *conn)
{
    char name[8];
    for (unsigned i = 0; i < PG_STATEMENT_COUNT; i++) {
        name_of(i, name);
        if (!PQsendPrepare(conn, name, sql_of[i], 0, NULL))
            return false;
    }
    return true;
}

bool pg_send(PGconn *conn, enum pg_statement statement, const char *const *texts, int count)
{
    char name[8];
    name_of(statement, name);
    return PQsendQueryPrepared(conn, name, count, texts, NULL, NULL, 0);
}

uint64_t pg_number_at(const PGresult *result, int row, int column)
{
    return strtoull(PQgetvalue(result, row, column), NULL, 10);
}
