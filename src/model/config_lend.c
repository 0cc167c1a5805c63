#include "model/config_lend.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "model/config_table.h"

#define FIRST_CAPACITY 16
#define MAX_CAPACITY_KEPT 1024
#define LOOKED_BACK 4 /* one request asks for the same few rows again and again */

struct lent {
    struct packed_row *row; /* a reference */
    json_t *json;           /* owned */
};

struct lending {
    struct lent *rows; /* in the order in which they were lent */
    size_t count, capacity;
};

int lending_create(struct lending **ret)
{
    struct lending *lending = calloc(1, sizeof(*lending));
    if (!lending)
        return UV_ENOMEM;
    *ret = lending;
    return 0;
}

static void take_back(struct lending *lending, size_t count)
{
    while (lending->count > count) {
        struct lent *last = &lending->rows[--lending->count];
        json_decref(last->json);
        packed_row_unref(last->row);
    }
}

void lending_destroy(struct lending *lending)
{
    if (!lending)
        return;
    take_back(lending, 0);
    free(lending->rows);
    free(lending);
}

static struct lent *push(struct lending *lending)
{
    if (lending->count == lending->capacity) {
        size_t capacity = lending->capacity ? lending->capacity * 2 : FIRST_CAPACITY;
        struct lent *more = realloc(lending->rows, capacity * sizeof(*more));
        if (!more)
            return NULL;
        lending->rows = more;
        lending->capacity = capacity;
    }
    return &lending->rows[lending->count++];
}

const json_t *config_lend(const struct config *config, const struct packed_row *row)
{
    struct lending *lending = config->lending;
    if (!row)
        return NULL;
    for (size_t i = 1; i <= LOOKED_BACK && i <= lending->count; i++)
        if (lending->rows[lending->count - i].row == row)
            return lending->rows[lending->count - i].json;
    json_t *json = packed_row_unpack(row);
    struct lent *lent = json ? push(lending) : NULL;
    if (!lent)
        abort(); /* "there is no such row" would be a lie that others act on */
    *lent = (struct lent){packed_row_ref(row), json};
    return json;
}

size_t config_lent(const struct config *config)
{
    return config->lending->count;
}

void config_take_back(const struct config *config, size_t lent)
{
    struct lending *lending = config->lending;
    take_back(lending, lent);
    if (lent > 0 || lending->capacity <= MAX_CAPACITY_KEPT)
        return;
    free(lending->rows);
    *lending = (struct lending){0};
}
