/* client_hello.h - the first message of a TLS client (RFC 8446, section 4.1.2), read without taking
 * part in the handshake: which server name it asks for (RFC 6066, section 3).
 *
 * The message may be cut into records and segments anywhere. Whoever decides by the name must not
 * see another one than the server behind it will: what two readers could understand differently is
 * refused. Bytes in, no sockets.
 *
 * Thread: any. Memory: the caller's. */
#ifndef NET_CLIENT_HELLO_H
#define NET_CLIENT_HELLO_H

#include <stddef.h>

#include "base/str.h"

/* The longest message that is taken, with its records' heads. With keys that quantum computers
 * don't break, they have about 2,000 bytes. */
#define CLIENT_HELLO_MAX_BYTES 16384
#define CLIENT_HELLO_NAME_BYTES 255

enum client_hello_result {
    CLIENT_HELLO_MORE = 0, /* all so far may be the start of one */
    CLIENT_HELLO_DONE,
    CLIENT_HELLO_REFUSED,
};

struct client_hello {
    size_t name_len; /* 0: it names no server */
    char name[CLIENT_HELLO_NAME_BYTES];
    const char *why; /* of a refusal: a constant */
};

/* Reads the message that `bytes` begin with. On DONE the name is set, in lower case; on REFUSED
 * `why` is. */
enum client_hello_result client_hello_read(const char *bytes, size_t len, struct client_hello *ret);

static inline struct str client_hello_name(const struct client_hello *hello)
{
    return str_make(hello->name, hello->name_len);
}

#endif
