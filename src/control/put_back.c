#include "control/put_back.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "base/str.h"
#include "model/packed_row.h"

struct put_back {
    struct config_write write; /* first: a write is its put_back */
    put_back_cb done;
    void *arg;
};

static int count_row(void *arg, const char *kind, const struct packed_row *row)
{
    (void)kind, (void)row;
    ++*(size_t *)arg;
    return 0;
}

static int add_row(void *arg, const char *kind, const struct packed_row *row)
{
    struct config_change *change = arg;
    const struct entity *entity = entity_find(str_of(kind));
    json_t *copy = packed_row_unpack(row);
    if (!entity || !copy) {
        json_decref(copy);
        return UV_ENOMEM;
    }
    change->ops[change->count++] = (struct config_op){CONFIG_PUT, entity, copy};
    return 0;
}

/* Again, when another node was first with its own: what that one has put back is in `config` by
 * now, and is written once more as it is. */
static int plan(struct config_write *write, const struct config *config)
{
    size_t count = 0;
    config_change_deinit(&write->change);
    config_each(config, count_row, &count);
    write->change.ops = calloc(count ? count : 1, sizeof(*write->change.ops));
    return write->change.ops ? config_each(config, add_row, &write->change) : UV_ENOMEM;
}

static void on_done(struct config_write *write, int rc)
{
    struct put_back *put_back = (struct put_back *)(void *)write;
    put_back->done(put_back->arg, rc);
    config_change_deinit(&write->change);
    free(put_back);
}

struct config_write *put_back_create(put_back_cb done, void *arg)
{
    struct put_back *put_back = calloc(1, sizeof(*put_back));
    if (!put_back)
        return NULL;
    put_back->write.plan = plan;
    put_back->write.done = on_done;
    put_back->done = done;
    put_back->arg = arg;
    return &put_back->write;
}
