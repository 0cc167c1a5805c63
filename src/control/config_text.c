#include "control/config_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#include "model/yaml_read.h"

#define FIRST_BYTES ((size_t)64 << 10)
#define MAX_PRINTED 100

/* ---- files ---- */

static int read_all(FILE *file, char **ret, size_t *ret_len)
{
    size_t capacity = FIRST_BYTES, len = 0;
    char *text = malloc(capacity + 1);
    while (text && len <= YAML_MAX_BYTES) {
        size_t count = fread(text + len, 1, capacity - len, file);
        len += count;
        if (ferror(file)) {
            int rc = uv_translate_sys_error(errno);
            free(text);
            return rc;
        }
        if (count == 0 && len < capacity)
            break;
        if (len < capacity)
            continue;
        capacity *= 2;
        char *more = realloc(text, capacity + 1);
        if (!more)
            free(text);
        text = more;
    }
    if (!text)
        return UV_ENOMEM;
    text[len] = '\0';
    *ret = text;
    *ret_len = len;
    return 0; /* what is too long is refused by who reads it */
}

int config_text_load(const char *path, char **ret, size_t *ret_len, struct error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    int rc = file ? read_all(file, ret, ret_len) : uv_translate_sys_error(errno);
    if (rc)
        error_set(err, path, "can't be read: %s", uv_strerror(rc));
    if (file && !is_stdin)
        fclose(file);
    return rc;
}

int config_text_read(const char *path, struct declarative **ret, struct error *err)
{
    char *text = NULL;
    size_t len = 0;
    struct declarative_problems problems = {0};
    int rc = config_text_load(path, &text, &len, err);
    if (rc)
        return rc;
    rc = declarative_read(text, len, ret, &problems);
    free(text);
    if (problems.count > 0)
        config_text_report(&problems, path, err);
    declarative_problems_deinit(&problems);
    return rc;
}

/* ---- problems ---- */

static void write_problem(const struct declarative_problem *problem, const char *path,
                          struct error *err)
{
    char place[sizeof(err->field)];
    if (problem->line > 0)
        snprintf(place, sizeof(place), "%.70s:%u", path, problem->line);
    else
        snprintf(place, sizeof(place), "%.90s", path);
    error_set(err, place, "%s%s%s", problem->where ? problem->where : "",
              problem->where ? ": " : "", problem->sentence ? problem->sentence : "");
}

static void print_line(const struct error *err)
{
    fprintf(stderr, "error: %s: ", err->field);
    for (const char *at = err->sentence; *at; at++)
        fputc((unsigned char)*at < ' ' || *at == 0x7f ? ' ' : *at, stderr);
    fputc('\n', stderr);
}

void config_text_report(const struct declarative_problems *problems, const char *path,
                        struct error *err)
{
    for (size_t i = 0; i < problems->count && i < MAX_PRINTED; i++) {
        write_problem(&problems->list[i], path, err);
        if (problems->count > 1)
            print_line(err);
    }
    if (problems->count > 1)
        error_set(err, path, "%zu entities or keys are wrong; nothing was changed",
                  problems->count);
}

/* ---- differences ---- */

static void print_text(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, out);
}

static void print_fields(FILE *out, const json_t *before, const json_t *after)
{
    const char *field, *separator = ": ";
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)after, field, value)
    {
        if (strcmp(field, "updated_at") == 0 || json_equal(value, json_object_get(before, field)))
            continue;
        fprintf(out, "%s%s", separator, field);
        separator = ", ";
    }
}

void config_text_print_change(FILE *out, const struct config *config,
                              const struct config_change *change)
{
    for (size_t i = 0; i < change->count; i++) {
        const struct config_op *op = &change->ops[i];
        const char *id = json_string_value(json_object_get(op->row, "id"));
        const json_t *before = config_get(config, op->entity, str_of(id));
        const char *name = declarative_name(op->entity, op->row);
        bool is_put = op->kind == CONFIG_PUT;
        fprintf(out, "%c %s ", !is_put ? '-' : before ? '~' : '+', op->entity->name);
        print_text(out, name ? name : id);
        if (name && strcmp(name, id) != 0)
            fprintf(out, " (%s)", id);
        if (is_put && before)
            print_fields(out, before, op->row);
        fputc('\n', out);
    }
}
