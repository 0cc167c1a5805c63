#include "model/packed_row.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "model/config.h"
#include "model/entity.h"

#define UUID_BYTES 16
#define UUID_TEXT_LEN 36
#define SCRATCH_BYTES 1024 /* nearly every row fits */

/* A byte before each value. */
enum tag {
    TAG_ABSENT = 0,
    TAG_DEFAULT, /* of its field */
    TAG_NULL,
    TAG_TRUE,
    TAG_FALSE,
    TAG_INTEGER,   /* a number in 7 bits a byte, the sign in its lowest bit */
    TAG_REAL,      /* a double */
    TAG_STRING,    /* length, bytes */
    TAG_UUID,      /* a text that is one, in lower case: 16 bytes */
    TAG_ID,        /* the row's */
    TAG_REFERENCE, /* {"id": uuid}: 16 bytes */
    TAG_ARRAY,     /* count, values */
    TAG_OBJECT,    /* count, names and values */
    TAG_RECORD,    /* as its fields are in order, then like an object what is no field */
};

/* ---- layouts ---- */

struct field_layout {
    const char *name;
    json_t *usual;             /* its default; NULL: none, or one that is made up */
    struct row_layout *record; /* NULL: it is none */
    bool is_unique;            /* its text is found in the row as it is */
};

struct row_layout {
    const struct entity *entity; /* NULL: of a record in it */
    size_t count;
    struct field_layout fields[];
};

#define MAX_ENTITIES 64

static struct row_layout *layouts[MAX_ENTITIES];
static pthread_once_t layouts_once = PTHREAD_ONCE_INIT;

static struct row_layout *make_layout(const struct entity *entity, const struct field *fields)
{
    size_t count = 0;
    while (fields[count].name)
        count++;
    struct row_layout *layout = calloc(1, sizeof(*layout) + count * sizeof(layout->fields[0]));
    if (!layout)
        return NULL;
    layout->entity = entity;
    for (; layout->count < count; layout->count++) {
        const struct field *field = &fields[layout->count];
        struct field_layout *own = &layout->fields[layout->count];
        own->name = field->name;
        own->is_unique = field->unique;
        if (field->type == FIELD_RECORD && field->fields)
            own->record = make_layout(NULL, field->fields); /* NULL: kept as an object */
        else if (field->default_json && !field->made)
            own->usual = json_loads(field->default_json, JSON_DECODE_ANY, NULL);
    }
    return layout;
}

static void make_layouts(void)
{
    for (size_t i = 0; entities[i]; i++) {
        assert(i < MAX_ENTITIES);
        layouts[i] = make_layout(entities[i], entities[i]->fields);
    }
}

const struct row_layout *row_layout_of(const struct entity *entity)
{
    pthread_once(&layouts_once, make_layouts);
    for (size_t i = 0; entities[i]; i++)
        if (entities[i] == entity)
            return layouts[i];
    return NULL;
}

/* ---- writing ---- */

struct writer {
    char *bytes; /* `scratch`, or owned */
    size_t len;
    size_t capacity;
    bool has_failed;
    const char *id; /* of the row; its first field of that name and value is not repeated */
    char scratch[SCRATCH_BYTES];
};

static void put_bytes(struct writer *out, const void *bytes, size_t len)
{
    if (len > out->capacity - out->len) {
        size_t capacity = (out->capacity + len) * 2;
        char *more = out->bytes == out->scratch ? malloc(capacity) : realloc(out->bytes, capacity);
        if (!more) {
            out->has_failed = true;
            return;
        }
        if (out->bytes == out->scratch)
            memcpy(more, out->scratch, out->len);
        out->bytes = more;
        out->capacity = capacity;
    }
    if (len > 0)
        memcpy(out->bytes + out->len, bytes, len);
    out->len += len;
}

static void put_tag(struct writer *out, enum tag tag)
{
    char byte = (char)tag;
    put_bytes(out, &byte, 1);
}

static void put_number(struct writer *out, uint64_t number)
{
    char bytes[10];
    size_t len = 0;
    for (; number > 0x7f; number >>= 7)
        bytes[len++] = (char)(number | 0x80);
    bytes[len++] = (char)number;
    put_bytes(out, bytes, len);
}

static void put_text(struct writer *out, const char *text, size_t len)
{
    put_number(out, len);
    put_bytes(out, text, len);
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_dash(size_t at)
{
    return at == 8 || at == 13 || at == 18 || at == 23;
}

/* False: it is no UUID, or not in lower case. */
static bool read_uuid(const json_t *value, char uuid[UUID_BYTES])
{
    const char *text = json_string_value(value);
    if (!text || json_string_length(value) != UUID_TEXT_LEN)
        return false;
    for (size_t at = 0, byte = 0; at < UUID_TEXT_LEN;) {
        if (is_dash(at)) {
            if (text[at++] != '-')
                return false;
            continue;
        }
        int high = hex_value(text[at]), low = hex_value(text[at + 1]);
        if (high < 0 || low < 0)
            return false;
        uuid[byte++] = (char)(high << 4 | low);
        at += 2;
    }
    return true;
}

static void put_value(struct writer *out, const struct field_layout *field, const json_t *value);

static void put_string(struct writer *out, const json_t *value, bool is_plain)
{
    char uuid[UUID_BYTES];
    if (!is_plain && read_uuid(value, uuid)) {
        put_tag(out, TAG_UUID);
        put_bytes(out, uuid, sizeof(uuid));
        return;
    }
    put_tag(out, TAG_STRING);
    put_text(out, json_string_value(value), json_string_length(value));
}

static void put_array(struct writer *out, const json_t *array)
{
    put_tag(out, TAG_ARRAY);
    put_number(out, json_array_size(array));
    for (size_t i = 0; i < json_array_size(array); i++)
        put_value(out, NULL, json_array_get(array, i));
}

static void put_member(struct writer *out, const char *name, const json_t *value)
{
    put_text(out, name, strlen(name));
    put_value(out, NULL, value);
}

static void put_object(struct writer *out, const json_t *object)
{
    const char *name;
    json_t *value;
    char uuid[UUID_BYTES];
    if (json_object_size(object) == 1 && read_uuid(json_object_get(object, "id"), uuid)) {
        put_tag(out, TAG_REFERENCE);
        put_bytes(out, uuid, sizeof(uuid));
        return;
    }
    put_tag(out, TAG_OBJECT);
    put_number(out, json_object_size(object));
    json_object_foreach((json_t *)(uintptr_t)object, name, value) put_member(out, name, value);
}

static bool is_field(const struct row_layout *layout, const char *name)
{
    for (size_t i = 0; i < layout->count; i++)
        if (strcmp(layout->fields[i].name, name) == 0)
            return true;
    return false;
}

static void put_others(struct writer *out, const struct row_layout *layout, const json_t *object,
                       size_t count)
{
    const char *name;
    json_t *value;
    put_number(out, count);
    if (count == 0)
        return;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (!is_field(layout, name))
            put_member(out, name, value);
    }
}

static void put_record(struct writer *out, const struct row_layout *layout, const json_t *object)
{
    size_t others = json_object_size(object);
    for (size_t i = 0; i < layout->count; i++) {
        const json_t *value = json_object_get(object, layout->fields[i].name);
        others -= value != NULL;
        if (layout->entity && json_string_value(value) == out->id)
            put_tag(out, TAG_ID);
        else
            put_value(out, &layout->fields[i], value);
    }
    put_others(out, layout, object, others);
}

static void put_real(struct writer *out, const json_t *value)
{
    double number = json_real_value(value);
    put_tag(out, TAG_REAL);
    put_bytes(out, &number, sizeof(number));
}

static void put_integer(struct writer *out, const json_t *value)
{
    int64_t number = json_integer_value(value);
    put_tag(out, TAG_INTEGER);
    put_number(out, number < 0 ? ~(uint64_t)number << 1 | 1 : (uint64_t)number << 1);
}

static bool is_default(const struct field_layout *field, const json_t *value)
{
    /* A number's sign may be that of a zero: reals are kept as they are. */
    return field && field->usual && !field->is_unique && !json_is_real(value) &&
           json_equal(field->usual, value);
}

static void put_value(struct writer *out, const struct field_layout *field, const json_t *value)
{
    if (!value) {
        put_tag(out, TAG_ABSENT);
        return;
    }
    if (is_default(field, value)) {
        put_tag(out, TAG_DEFAULT);
        return;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        if (!field || !field->record) {
            put_object(out, value);
            break;
        }
        put_tag(out, TAG_RECORD);
        put_record(out, field->record, value);
        break;
    case JSON_ARRAY:
        put_array(out, value);
        break;
    case JSON_STRING:
        put_string(out, value, field && field->is_unique);
        break;
    case JSON_INTEGER:
        put_integer(out, value);
        break;
    case JSON_REAL:
        put_real(out, value);
        break;
    case JSON_TRUE:
        put_tag(out, TAG_TRUE);
        break;
    case JSON_FALSE:
        put_tag(out, TAG_FALSE);
        break;
    case JSON_NULL:
        put_tag(out, TAG_NULL);
        break;
    }
}

/* ---- reading ---- */

struct reader {
    const struct packed_row *row;
    const char *at;
    bool has_failed; /* memory is short */
};

static enum tag get_tag(struct reader *in)
{
    return (enum tag) * in->at++;
}

static uint64_t get_number(struct reader *in)
{
    uint64_t number = 0;
    unsigned shift = 0;
    for (; *in->at & 0x80; shift += 7)
        number |= (uint64_t)(*in->at++ & 0x7f) << shift;
    return number | (uint64_t)*in->at++ << shift;
}

static const char *get_bytes(struct reader *in, size_t len)
{
    const char *bytes = in->at;
    in->at += len;
    return bytes;
}

static json_t *get_uuid(struct reader *in)
{
    static const char digits[] = "0123456789abcdef";
    const char *uuid = get_bytes(in, UUID_BYTES);
    char text[UUID_TEXT_LEN];
    for (size_t at = 0, byte = 0; at < UUID_TEXT_LEN;) {
        if (is_dash(at)) {
            text[at++] = '-';
            continue;
        }
        unsigned char both = (unsigned char)uuid[byte++];
        text[at++] = digits[both >> 4];
        text[at++] = digits[both & 0xf];
    }
    return json_stringn_nocheck(text, sizeof(text));
}

static json_t *get_value(struct reader *in, const struct field_layout *field);

static json_t *get_string(struct reader *in)
{
    size_t len = get_number(in);
    return json_stringn_nocheck(get_bytes(in, len), len);
}

static json_t *get_integer(struct reader *in)
{
    uint64_t number = get_number(in);
    return json_integer((json_int_t)(number & 1 ? ~(number >> 1) : number >> 1));
}

static json_t *get_real(struct reader *in)
{
    double number;
    memcpy(&number, get_bytes(in, sizeof(number)), sizeof(number));
    return json_real(number);
}

/* Takes the value over. */
static void set_member(struct reader *in, json_t *object, const char *name, size_t len,
                       json_t *value)
{
    if (json_object_setn_new_nocheck(object, name, len, value))
        in->has_failed = true;
}

static json_t *get_reference(struct reader *in)
{
    json_t *reference = json_object();
    set_member(in, reference, "id", 2, get_uuid(in));
    return reference;
}

static json_t *get_array(struct reader *in)
{
    json_t *array = json_array();
    for (uint64_t left = get_number(in); left > 0; left--)
        if (json_array_append_new(array, get_value(in, NULL)))
            in->has_failed = true;
    return array;
}

static void get_members(struct reader *in, json_t *object)
{
    for (uint64_t left = get_number(in); left > 0; left--) {
        size_t len = get_number(in);
        const char *name = get_bytes(in, len);
        set_member(in, object, name, len, get_value(in, NULL));
    }
}

static json_t *get_object(struct reader *in)
{
    json_t *object = json_object();
    get_members(in, object);
    return object;
}

static json_t *get_record(struct reader *in, const struct row_layout *layout)
{
    json_t *object = json_object();
    for (size_t i = 0; i < layout->count; i++) {
        const struct field_layout *field = &layout->fields[i];
        bool is_there = *in->at != TAG_ABSENT;
        json_t *value = get_value(in, field);
        if (is_there)
            set_member(in, object, field->name, strlen(field->name), value);
    }
    get_members(in, object);
    return object;
}

static json_t *get_value(struct reader *in, const struct field_layout *field)
{
    switch (get_tag(in)) {
    case TAG_ABSENT:
        break;
    case TAG_DEFAULT:
        return json_incref(field->usual);
    case TAG_NULL:
        return json_null();
    case TAG_TRUE:
        return json_true();
    case TAG_FALSE:
        return json_false();
    case TAG_INTEGER:
        return get_integer(in);
    case TAG_REAL:
        return get_real(in);
    case TAG_STRING:
        return get_string(in);
    case TAG_UUID:
        return get_uuid(in);
    case TAG_ID:
        return json_stringn_nocheck(in->row->bytes, in->row->id_len);
    case TAG_REFERENCE:
        return get_reference(in);
    case TAG_ARRAY:
        return get_array(in);
    case TAG_OBJECT:
        return get_object(in);
    case TAG_RECORD:
        return get_record(in, field->record);
    }
    return NULL;
}

/* Goes on behind a value without making anything of it. */
static void skip_value(struct reader *in, const struct field_layout *field);

static void skip_members(struct reader *in)
{
    for (uint64_t left = get_number(in); left > 0; left--) {
        get_bytes(in, get_number(in));
        skip_value(in, NULL);
    }
}

static void skip_value(struct reader *in, const struct field_layout *field)
{
    switch (get_tag(in)) {
    case TAG_INTEGER:
        get_number(in);
        break;
    case TAG_REAL:
        get_bytes(in, sizeof(double));
        break;
    case TAG_STRING:
        get_bytes(in, get_number(in));
        break;
    case TAG_UUID:
    case TAG_REFERENCE:
        get_bytes(in, UUID_BYTES);
        break;
    case TAG_ARRAY:
        for (uint64_t left = get_number(in); left > 0; left--)
            skip_value(in, NULL);
        break;
    case TAG_RECORD:
        for (size_t i = 0; i < field->record->count; i++)
            skip_value(in, &field->record->fields[i]);
        skip_members(in);
        break;
    case TAG_OBJECT:
        skip_members(in);
        break;
    default: /* the tag is all there is */
        break;
    }
}

/* ---- rows ---- */

struct packed_row *packed_row_create(const struct row_layout *layout, const json_t *row)
{
    struct writer out = {.capacity = SCRATCH_BYTES};
    const json_t *id = json_object_get(row, "id");
    assert(json_is_string(id)); /* whoever makes a row sees to it */
    out.bytes = out.scratch;
    out.id = json_string_value(id);
    put_record(&out, layout, row);
    size_t id_len = json_string_length(id);
    bool fits = !out.has_failed && out.len <= UINT32_MAX && id_len <= UINT32_MAX;
    struct packed_row *packed = fits ? malloc(sizeof(*packed) + id_len + 1 + out.len) : NULL;
    if (packed) {
        atomic_init(&packed->refs, 1);
        packed->id_len = (uint32_t)id_len;
        packed->len = (uint32_t)out.len;
        packed->is_made = config_is_made(row);
        packed->layout = layout;
        packed->created_at = json_number_value(json_object_get(row, "created_at"));
        memcpy(packed->bytes, out.id, id_len + 1);
        memcpy(packed->bytes + id_len + 1, out.bytes, out.len);
    }
    if (out.bytes != out.scratch)
        free(out.bytes);
    return packed;
}

struct packed_row *packed_row_ref(const struct packed_row *row)
{
    struct packed_row *own = (struct packed_row *)(uintptr_t)row;
    atomic_fetch_add_explicit(&own->refs, 1, memory_order_relaxed);
    return own;
}

void packed_row_unref(struct packed_row *row)
{
    if (row && atomic_fetch_sub_explicit(&row->refs, 1, memory_order_acq_rel) == 1)
        free(row);
}

static const char *values_of(const struct packed_row *row)
{
    return row->bytes + row->id_len + 1;
}

json_t *packed_row_unpack(const struct packed_row *row)
{
    struct reader in = {.row = row, .at = values_of(row)};
    json_t *whole = get_record(&in, row->layout);
    if (in.has_failed) {
        json_decref(whole);
        return NULL;
    }
    return whole;
}

json_t *packed_row_get(const struct packed_row *row, const char *name)
{
    struct reader in = {.row = row, .at = values_of(row)};
    for (size_t i = 0; i < row->layout->count; i++) {
        const struct field_layout *field = &row->layout->fields[i];
        if (strcmp(field->name, name) == 0)
            return get_value(&in, field);
        skip_value(&in, field);
    }
    for (uint64_t left = get_number(&in); left > 0; left--) {
        size_t len = get_number(&in);
        const char *own = get_bytes(&in, len);
        if (len == strlen(name) && memcmp(own, name, len) == 0)
            return get_value(&in, NULL);
        skip_value(&in, NULL);
    }
    return NULL;
}

struct str packed_row_unique(const struct packed_row *row, const struct field *field)
{
    struct reader in = {.row = row, .at = values_of(row)};
    for (size_t i = 0; i < row->layout->count; i++) {
        const struct field_layout *own = &row->layout->fields[i];
        if (strcmp(own->name, field->name) != 0) {
            skip_value(&in, own);
            continue;
        }
        if (get_tag(&in) != TAG_STRING)
            break;
        size_t len = get_number(&in);
        return str_make(in.at, len);
    }
    return STR_EMPTY;
}

bool packed_row_is_over(const struct packed_row *row)
{
    if (!row->layout->entity->has_ttl)
        return false;
    json_t *expires_at = packed_row_get(row, "expires_at");
    bool is_over = entity_is_past(expires_at);
    json_decref(expires_at);
    return is_over;
}

bool packed_row_is(const struct packed_row *packed, const json_t *row)
{
    json_t *there = packed_row_unpack(packed);
    bool is_equal = there && json_equal(there, row);
    json_decref(there);
    return is_equal;
}

bool packed_row_equal(const struct packed_row *a, const struct packed_row *b)
{
    if (a == b || (a->id_len == b->id_len && a->len == b->len &&
                   memcmp(a->bytes, b->bytes, a->id_len + 1 + a->len) == 0))
        return true;
    json_t *other = packed_row_unpack(b);
    bool is_equal = other && packed_row_is(a, other);
    json_decref(other);
    return is_equal;
}
