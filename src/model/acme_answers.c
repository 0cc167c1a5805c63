#include "model/acme_answers.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#define MAX_ANSWERS 64 /* one order is under way at a time: what is more was left behind */

struct entry {
    char *host, *token, *answer; /* owned */
};

struct acme_answers {
    unsigned count;
    struct entry entries[MAX_ANSWERS];
};

int acme_answers_create(struct acme_answers **ret)
{
    struct acme_answers *answers = calloc(1, sizeof(*answers));
    if (!answers)
        return UV_ENOMEM;
    *ret = answers;
    return 0;
}

void acme_answers_destroy(struct acme_answers *answers)
{
    for (unsigned i = 0; answers && i < answers->count; i++) {
        free(answers->entries[i].host);
        free(answers->entries[i].token);
        free(answers->entries[i].answer);
    }
    free(answers);
}

int acme_answers_add(struct acme_answers *answers, struct str host, struct str token,
                     struct str answer)
{
    if (answers->count == MAX_ANSWERS)
        return UV_E2BIG;
    struct entry *entry = &answers->entries[answers->count++];
    entry->host = str_dup(host);
    entry->token = str_dup(token);
    entry->answer = str_dup(answer);
    return entry->host && entry->token && entry->answer ? 0 : UV_ENOMEM;
}

struct str acme_answers_find(const struct acme_answers *answers, struct str host, struct str path)
{
    const struct str prefix = STR(ACME_CHALLENGE_PATH);
    if (!str_starts_with(path, prefix))
        return STR_EMPTY;
    struct str token = str_make(path.ptr + prefix.len, path.len - prefix.len);
    for (unsigned i = 0; i < answers->count; i++) {
        const struct entry *entry = &answers->entries[i];
        if (str_equal(str_of(entry->token), token) && str_equal_nocase(str_of(entry->host), host))
            return str_of(entry->answer);
    }
    return STR_EMPTY;
}
