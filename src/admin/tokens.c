#include "admin/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <uv.h> /* error codes only */

#include "base/log.h"

#define SETTING "WEIR_ADMIN_TOKENS_FILE"
#define MAX_FILE_BYTES ((size_t)1 << 20)
#define MAX_TOKEN_LEN 512 /* what is longer is not kept of a head */

/* ---- a line ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct str cut_word(struct str *rest)
{
    while (rest->len > 0 && is_space(*rest->ptr))
        *rest = str_make(rest->ptr + 1, rest->len - 1);
    size_t len = 0;
    while (len < rest->len && !is_space(rest->ptr[len]))
        len++;
    struct str word = str_make(rest->ptr, len);
    *rest = str_make(rest->ptr + len, rest->len - len);
    return word;
}

static bool is_visible(struct str word)
{
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] <= ' ' || word.ptr[i] == 0x7f)
            return false;
    return word.len > 0;
}

static int digest_of(struct str text, uint8_t digest[TOKENS_DIGEST_BYTES])
{
    unsigned len = 0;
    return EVP_Digest(text.ptr, text.len, digest, &len, EVP_sha256(), NULL) == 1 ? 0 : UV_ENOMEM;
}

static bool read_digest(struct str hex, uint8_t digest[TOKENS_DIGEST_BYTES])
{
    if (hex.len != 2 * TOKENS_DIGEST_BYTES)
        return false;
    for (size_t i = 0; i < TOKENS_DIGEST_BYTES; i++) {
        uint64_t byte;
        if (!str_hex_to_u64(str_make(hex.ptr + 2 * i, 2), &byte))
            return false;
        digest[i] = (uint8_t)byte;
    }
    return true;
}

/* What is wrong with the line; NULL: nothing. */
static const char *read_line(struct str line, struct token *token)
{
    static const struct str mark = {"sha256:", 7};
    struct str role = cut_word(&line), name = cut_word(&line), secret = cut_word(&line);
    if (str_equal(role, STR("operator")))
        token->role = ADMIN_OPERATOR;
    else if (str_equal(role, STR("read-only")))
        token->role = ADMIN_READ_ONLY;
    else
        return "the role must be read-only or operator";
    if (!is_visible(name) || name.len >= TOKENS_NAME_BYTES)
        return "a name of at most 63 characters must follow the role";
    memcpy(token->name, name.ptr, name.len);
    token->name[name.len] = '\0';
    if (cut_word(&line).len > 0)
        return "nothing may follow the token";
    if (str_starts_with(secret, mark))
        return read_digest(str_make(secret.ptr + mark.len, secret.len - mark.len), token->digest)
                   ? NULL
                   : "64 hexadecimal digits must follow sha256:";
    if (!is_visible(secret) || secret.len < TOKENS_MIN_LEN || secret.len > MAX_TOKEN_LEN)
        return "a token of 16 to 512 visible ASCII characters must follow the name";
    return digest_of(secret, token->digest) ? "out of memory" : NULL;
}

static bool is_known(const struct token *table, size_t count, const struct token *token)
{
    for (size_t i = 0; i < count; i++)
        if (CRYPTO_memcmp(table[i].digest, token->digest, TOKENS_DIGEST_BYTES) == 0)
            return true;
    return false;
}

/* ---- the file ---- */

int tokens_parse(struct str text, struct token **ret, size_t *ret_count, struct error *err)
{
    struct token *table = calloc(TOKENS_MAX, sizeof(*table));
    const char *wrong = NULL;
    size_t count = 0;
    if (!table)
        return UV_ENOMEM;
    unsigned number = 0;
    while (text.ptr && !wrong) {
        struct str line = str_cut(&text, '\n'), rest = line;
        number++;
        struct str first = cut_word(&rest);
        if (first.len == 0 || first.ptr[0] == '#')
            continue;
        if (count == TOKENS_MAX)
            wrong = "there are more than 1000 tokens";
        else
            wrong = read_line(line, &table[count]);
        if (!wrong && is_known(table, count, &table[count]))
            wrong = "the token stands in a line before, too";
        count++;
    }
    if (wrong) {
        OPENSSL_cleanse(table, TOKENS_MAX * sizeof(*table));
        free(table);
        error_set(err, SETTING, "line %u: %s", number, wrong);
        return UV_EINVAL;
    }
    *ret = table;
    *ret_count = count;
    return 0;
}

static int read_text(const char *path, char **ret, size_t *ret_len, struct stat *ret_stat)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return uv_translate_sys_error(errno);
    char *text = malloc(MAX_FILE_BYTES + 1);
    size_t len =
        text && fstat(fileno(file), ret_stat) == 0 ? fread(text, 1, MAX_FILE_BYTES + 1, file) : 0;
    int rc = !text                  ? UV_ENOMEM
             : ferror(file)         ? uv_translate_sys_error(errno)
             : len > MAX_FILE_BYTES ? UV_EFBIG
                                    : 0;
    fclose(file);
    if (rc) {
        if (text)
            OPENSSL_cleanse(text, len);
        free(text);
        return rc;
    }
    *ret = text;
    *ret_len = len;
    return 0;
}

/* Takes the file's tokens in place of those that are there, or leaves them. */
static int take_file(struct tokens *tokens, struct error *err)
{
    char *text = NULL;
    size_t len = 0, count;
    struct token *table;
    struct stat read;
    int rc = read_text(tokens->path, &text, &len, &read);
    if (rc) {
        error_set(err, SETTING, "%s cannot be read: %s", tokens->path, uv_strerror(rc));
        return rc;
    }
    tokens->read = read; /* a bad file is read, and told of, once */
    rc = tokens_parse(str_make(text, len), &table, &count, err);
    OPENSSL_cleanse(text, len);
    free(text);
    if (rc)
        return rc;
    if (read.st_mode & (S_IRWXO | S_IWGRP))
        log_warn("others may read or change the file of the Admin API's tokens",
                 LOG_CSTR("file", tokens->path));
    free(tokens->table);
    tokens->table = table;
    tokens->count = count;
    return 0;
}

int tokens_open(struct tokens *tokens, const char *path, struct error *err)
{
    *tokens = (struct tokens){.path = path};
    return take_file(tokens, err);
}

void tokens_deinit(struct tokens *tokens)
{
    free(tokens->table);
    *tokens = (struct tokens){0};
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

void tokens_follow(struct tokens *tokens)
{
    struct stat now;
    struct error err = {.sentence = "memory is short"};
    if (stat(tokens->path, &now) != 0) {
        if (!tokens->is_lost)
            log_error("the file of the Admin API's tokens is gone; those from before stay",
                      LOG_CSTR("file", tokens->path), LOG_CSTR("error", strerror(errno)));
        tokens->is_lost = true;
        return;
    }
    if (is_same(&now, &tokens->read) && !tokens->is_lost)
        return;
    bool was_lost = tokens->is_lost;
    int rc = take_file(tokens, &err);
    tokens->is_lost = rc && !is_same(&now, &tokens->read);
    if (!rc)
        log_notice("the Admin API's tokens were read anew", LOG_CSTR("file", tokens->path),
                   LOG_INT("tokens", tokens->count));
    else if (!was_lost || !tokens->is_lost)
        log_error("the Admin API's tokens cannot be read anew; those from before stay",
                  LOG_CSTR("file", tokens->path), LOG_CSTR("why", err.sentence));
}

const struct token *tokens_find(const struct tokens *tokens, struct str text)
{
    uint8_t digest[TOKENS_DIGEST_BYTES];
    const struct token *found = NULL;
    if (text.len == 0 || digest_of(text, digest))
        return NULL;
    for (size_t i = 0; i < tokens->count; i++)
        if (CRYPTO_memcmp(tokens->table[i].digest, digest, sizeof(digest)) == 0)
            found = &tokens->table[i];
    return found;
}
