/* config_lend.h - rows as JSON objects for those who look at them: made when they are asked for,
 * kept until they are taken back. The configuration's own; callers know config_lent() and
 * config_take_back() (config.h).
 *
 * Thread: control. */
#ifndef MODEL_CONFIG_LEND_H
#define MODEL_CONFIG_LEND_H

#include "model/config.h"
#include "model/packed_row.h"

struct lending;

int lending_create(struct lending **ret);
void lending_destroy(struct lending *lending); /* NULL is fine */

/* The row, borrowed from `config` until it is taken back; of NULL, NULL. */
const json_t *config_lend(const struct config *config, const struct packed_row *row);

#endif
