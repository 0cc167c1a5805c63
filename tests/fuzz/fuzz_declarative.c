/* A declarative file of any bytes: it is read and planned, or refused with a problem that is told;
 * what is planned is exported as a file that means the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/declarative.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take(struct config *config, const char *text, size_t len,
                struct declarative_counts *counts)
{
    struct declarative *file = NULL;
    struct config_change change = {0};
    struct declarative_problems problems = {0};
    int rc = declarative_read(text, len, &file, &problems);
    if (rc == 0)
        rc = declarative_plan(file, config, true, &change, counts, &problems);
    MUST((rc != 0) == (problems.count > 0));
    json_t *body = declarative_problems_to_body(&problems, true);
    MUST(json_is_object(body));
    json_decref(body);
    if (rc == 0)
        config_apply(config, &change);
    config_change_deinit(&change);
    declarative_problems_deinit(&problems);
    declarative_destroy(file);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = NULL;
    struct declarative_counts counts;
    MUST(config_create(&config) == 0);
    if (take(config, (const char *)data, size, &counts) == 0) {
        json_t *exported = declarative_export(config);
        char *text = declarative_to_yaml(exported);
        MUST(text);
        MUST(take(config, text, strlen(text), &counts) == 0);
        MUST(counts.created == 0 && counts.removed == 0);
        free(text);
        json_decref(exported);
    }
    config_destroy(config);
    return 0;
}
