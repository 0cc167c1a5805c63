#include "store/op_copy.h"

#include <stdbool.h>

static const char *copy_text(struct arena *arena, const char *text)
{
    return text ? arena_copy(arena, str_of(text)).ptr : NULL;
}

static bool copy_claims(struct arena *arena, const struct store_op *op, struct store_op *copy)
{
    struct store_key *keys = arena_alloc(arena, (op->key_count + 1) * sizeof(*keys));
    struct store_ref *refs = arena_alloc(arena, (op->ref_count + 1) * sizeof(*refs));
    if (!keys || !refs)
        return false;
    for (size_t i = 0; i < op->key_count; i++) {
        keys[i].field = copy_text(arena, op->keys[i].field);
        keys[i].value = copy_text(arena, op->keys[i].value);
        if (!keys[i].field || !keys[i].value)
            return false;
    }
    for (size_t i = 0; i < op->ref_count; i++) {
        refs[i].field = copy_text(arena, op->refs[i].field);
        refs[i].kind = copy_text(arena, op->refs[i].kind);
        refs[i].id = copy_text(arena, op->refs[i].id);
        if (!refs[i].field || !refs[i].kind || !refs[i].id)
            return false;
    }
    copy->keys = keys;
    copy->refs = refs;
    return true;
}

struct store_op *op_copy(struct arena *arena, const struct store_op *ops, size_t count)
{
    struct store_op *copies = arena_alloc(arena, (count + 1) * sizeof(*copies));
    for (size_t i = 0; copies && i < count; i++) {
        struct store_op *copy = &copies[i];
        *copy = ops[i];
        copy->kind = copy_text(arena, ops[i].kind);
        copy->id = copy_text(arena, ops[i].id);
        copy->body = copy_text(arena, ops[i].body);
        if (!copy->kind || !copy->id || (ops[i].body && !copy->body) ||
            !copy_claims(arena, &ops[i], copy))
            return NULL;
    }
    return copies;
}
