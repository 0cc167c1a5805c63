#include "store/pg_beat.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "store/pg_statements.h"

static void beat_destroy(struct pg_beat *beat)
{
    if (!beat)
        return;
    free(beat->id);
    free(beat->host);
    free(beat->version);
    free(beat->state);
    free(beat);
}

int pg_beat_create(const struct store_node *self, store_nodes_cb done, void *arg,
                   struct pg_beat **ret)
{
    struct pg_beat *beat = calloc(1, sizeof(*beat));
    if (beat) {
        beat->id = strdup(self->id);
        beat->host = strdup(self->host ? self->host : "");
        beat->version = strdup(self->version ? self->version : "");
        beat->state = self->state ? strdup(self->state) : NULL;
    }
    if (!beat || !beat->id || !beat->host || !beat->version || (self->state && !beat->state)) {
        beat_destroy(beat);
        return UV_ENOMEM;
    }
    snprintf(beat->sequence, sizeof(beat->sequence), "%" PRIu64, self->sequence);
    snprintf(beat->started_at, sizeof(beat->started_at), "%" PRId64, self->started_at_ms);
    beat->done = done;
    beat->arg = arg;
    *ret = beat;
    return 0;
}

bool pg_beat_send(const struct pg_beat *beat, PGconn *conn)
{
    return (beat->state ? PG_SEND(conn, PG_BEAT, beat->id, beat->host, beat->version, beat->state,
                                  beat->sequence, beat->started_at)
                        : PG_SEND(conn, PG_LEAVE, beat->id)) &&
           pg_send(conn, PG_NODES, NULL, 0);
}

static void finish_beat(struct pg_beat *beat, int rc, const struct store_node *nodes, size_t count)
{
    if (beat->done)
        beat->done(beat->arg, rc, nodes, count);
    beat_destroy(beat);
}

void pg_beat_answer(struct pg_beat *beat, const PGresult *result)
{
    int rows = PQntuples(result);
    struct store_node *nodes = calloc((size_t)rows + 1, sizeof(*nodes));
    for (int row = 0; nodes && row < rows; row++)
        nodes[row] = (struct store_node){
            .id = PQgetvalue(result, row, PG_NODE_ID),
            .host = PQgetvalue(result, row, PG_NODE_HOST),
            .version = PQgetvalue(result, row, PG_NODE_VERSION),
            .state = PQgetvalue(result, row, PG_NODE_STATE),
            .sequence = pg_number_at(result, row, PG_NODE_SEQ),
            .started_at_ms = (int64_t)pg_number_at(result, row, PG_NODE_STARTED_AT),
            .age_ms = pg_number_at(result, row, PG_NODE_AGE),
        };
    finish_beat(beat, nodes ? 0 : UV_ENOMEM, nodes, nodes ? (size_t)rows : 0);
    free(nodes);
}

void pg_beat_fail(struct pg_beat *beat, int rc)
{
    finish_beat(beat, rc, NULL, 0);
}
