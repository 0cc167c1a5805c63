/* config.h - /config: the whole configuration of a node without a database, read and replaced.
 *
 * Thread: control. */
#ifndef ADMIN_CONFIG_H
#define ADMIN_CONFIG_H

#include "admin/request.h"

void admin_config_read(struct admin_request *request);
/* The body is a file's text (YAML), or a form's `config`, or JSON: the file itself, or {"config"}.
 * ?check_hash=1: 304 where that is what the node has been told last. ?flatten_errors=1: what is
 * wrong as a list, an entity an entry. */
void admin_config_replace(struct admin_request *request);

/* Refuses the writing of single entities where there is no database. False: it hasn't. */
bool admin_config_refuse_write(struct admin_request *request);

#endif
