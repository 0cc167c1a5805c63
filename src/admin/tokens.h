/* tokens.h - who may use the Admin API: the tokens of a file, and what each is good for.
 *
 *     # role     name    token, or sha256: and its digest in hexadecimal
 *     operator   ci      3f0c9d1e7b5a4c28
 *     read-only  grafana sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
 *
 * Tokens are kept as their digests, and all of them are compared whichever fits: what an answer
 * takes tells nothing of them.
 *
 * Thread: control. Memory: embedded; owns its table. */
#ifndef ADMIN_TOKENS_H
#define ADMIN_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/str.h"

#define TOKENS_MAX 1000
#define TOKENS_NAME_BYTES 64 /* with its terminator */
#define TOKENS_DIGEST_BYTES 32
#define TOKENS_MIN_LEN 16 /* of a token: what is shorter can be guessed */

enum admin_role { ADMIN_NOBODY = 0, ADMIN_READ_ONLY, ADMIN_OPERATOR };

struct token {
    uint8_t digest[TOKENS_DIGEST_BYTES];
    enum admin_role role;
    char name[TOKENS_NAME_BYTES];
};

struct tokens {
    struct token *table;
    size_t count;
    const char *path; /* borrowed */
    struct stat read; /* the file that the table is of */
    bool is_lost;     /* the file can't be read; that has been logged */
};

/* Reads a file's text. 0 and a table in *ret (owned by the caller) of *ret_count; UV_EINVAL with
 * *err, which names the line and never a token; UV_ENOMEM. */
int tokens_parse(struct str text, struct token **ret, size_t *ret_count, struct error *err);

/* Reads the file. 0, or a negative UV_E… with *err, whose field is WEIR_ADMIN_TOKENS_FILE. */
int tokens_open(struct tokens *tokens, const char *path, struct error *err);
void tokens_deinit(struct tokens *tokens); /* zeroed is fine */

/* Takes the file as it is now, if it has changed since: a system call. A file that can't be used is
 * logged, and the tokens from before stay. */
void tokens_follow(struct tokens *tokens);

/* The token's entry, borrowed until the next tokens_follow; NULL: it is none. */
const struct token *tokens_find(const struct tokens *tokens, struct str text);

#endif
