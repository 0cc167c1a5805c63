/* tls_names.h - which identity answers to which server name: exact names first, then
 * "*.example.com" for one label, then "example.*", then "*".
 *
 * Thread: filled by one, then immutable and read by any. Memory: references its identities. */
#ifndef NET_TLS_NAMES_H
#define NET_TLS_NAMES_H

#include "base/str.h"

struct tls_identity;
struct tls_names;

int tls_names_create(struct tls_names **ret);    /* 0 or UV_ENOMEM */
void tls_names_destroy(struct tls_names *names); /* NULL is fine */

/* Adds a name, in any case; the last identity of a name is the one that counts. Takes a reference
 * of its own. 0 or UV_ENOMEM. */
int tls_names_add(struct tls_names *names, struct str name, struct tls_identity *identity);

/* NULL when no name fits. The result lives as long as the names. */
struct tls_identity *tls_names_find(const struct tls_names *names, struct str name);

#endif
