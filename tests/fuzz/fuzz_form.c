/* A body of the Admin API of any bytes, as JSON, a form or a multipart form (the first byte says
 * which): it becomes an object, or is refused with a sentence. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/body.h"
#include "model/entity.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What came is made into each kind of row, or refused. */
static void try_entities(json_t *input)
{
    for (size_t i = 0; entities[i]; i++) {
        json_t *copy = json_deep_copy(input), *row = NULL;
        struct violation violation = {0};
        entity_coerce(entities[i], copy, NULL);
        int rc = entity_make_row(entities[i], copy, ENTITY_INSERT, NULL, NULL, &row, &violation);
        MUST((rc == 0) == (row != NULL) && (rc == 0) == (violation.code == VIOLATION_NONE));
        json_decref(violation.code ? violation_to_body(&violation) : NULL);
        violation_deinit(&violation);
        json_decref(row);
        json_decref(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"application/json", "application/x-www-form-urlencoded",
                                        "multipart/form-data; boundary=b", "application/yaml"};
    if (size == 0)
        return 0;
    struct str type = str_of(types[data[0] % 4]);
    char *bytes = malloc(size); /* which the decoder may change */
    memcpy(bytes, data + 1, size - 1);
    json_t *input = NULL;
    const char *problem = NULL;
    int rc = admin_body_decode(admin_body_type_of(type), type, bytes, size - 1, &input, &problem);
    MUST((rc == 0) == json_is_object(input) && (rc == 0) == (problem == NULL));
    if (rc == 0)
        try_entities(input);
    json_decref(input);
    free(bytes);
    return 0;
}
