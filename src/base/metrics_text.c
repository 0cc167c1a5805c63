#include "base/metrics_text.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#define MAX_LABELS 8
#define MAX_LABEL_BYTES 512 /* of a value; the rest is cut */

void metrics_text_init(struct metrics_text *text)
{
    *text = (struct metrics_text){.family = NULL};
    buf_init(&text->buf, (size_t)256 << 20);
}

void metrics_text_deinit(struct metrics_text *text)
{
    buf_deinit(&text->buf);
}

static void put(struct metrics_text *text, const char *bytes, size_t len)
{
    if (buf_append(&text->buf, bytes, len))
        text->has_failed = true;
}

static void put_cstr(struct metrics_text *text, const char *s)
{
    put(text, s, strlen(s));
}

void metrics_text_family(struct metrics_text *text, const char *name, enum metrics_kind kind,
                         const char *help)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    text->family = name;
    if (buf_printf(&text->buf, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kinds[kind]))
        text->has_failed = true;
}

/* The length of the UTF-8 character at the start of s; 0: it is none. Overlong forms and surrogates
 * are none either. */
static size_t utf8_len(struct str s)
{
    const unsigned char *c = (const unsigned char *)s.ptr;
    size_t len = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
    if (len == 0 || c[0] > 0xf4 || len > s.len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    bool is_bad = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
                  (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f);
    return is_bad ? 0 : len;
}

static void put_escaped(struct metrics_text *text, struct str value)
{
    char out[MAX_LABEL_BYTES * 2];
    size_t len = 0;
    if (value.len > MAX_LABEL_BYTES)
        value.len = MAX_LABEL_BYTES;
    while (value.len > 0) {
        size_t taken = utf8_len(value);
        char c = value.ptr[0];
        if (c == '\\' || c == '"' || c == '\n') {
            out[len++] = '\\';
            out[len++] = c == '\n' ? 'n' : c;
        } else if (taken == 0) {
            out[len++] = '?';
            taken = 1;
        } else {
            memcpy(out + len, value.ptr, taken);
            len += taken;
        }
        value = str_make(value.ptr + taken, value.len - taken);
    }
    put(text, out, len);
}

/* The family's name with a suffix, and the labels with one more (its name NULL: none). */
static void put_series(struct metrics_text *text, const char *suffix,
                       const struct metrics_label *labels, unsigned label_count,
                       const struct metrics_label *more)
{
    assert(label_count <= MAX_LABELS);
    put_cstr(text, text->family);
    put_cstr(text, suffix);
    unsigned count = label_count + (more != NULL);
    for (unsigned i = 0; i < count; i++) {
        const struct metrics_label *label = i < label_count ? &labels[i] : more;
        put_cstr(text, i == 0 ? "{" : ",");
        put_cstr(text, label->name);
        put_cstr(text, "=\"");
        put_escaped(text, label->value);
        put_cstr(text, "\"");
    }
    put_cstr(text, count > 0 ? "} " : " ");
}

static void put_number(struct metrics_text *text, uint64_t value)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu\n", (unsigned long long)value);
    put(text, digits, (size_t)len);
}

static void put_real(struct metrics_text *text, double value)
{
    char digits[40];
    int len = snprintf(digits, sizeof(digits), "%.15g\n", isfinite(value) ? value : 0.0);
    put(text, digits, (size_t)len);
}

void metrics_text_count(struct metrics_text *text, const struct metrics_label *labels,
                        unsigned label_count, uint64_t value)
{
    put_series(text, "", labels, label_count, NULL);
    put_number(text, value);
}

void metrics_text_real(struct metrics_text *text, const struct metrics_label *labels,
                       unsigned label_count, double value)
{
    put_series(text, "", labels, label_count, NULL);
    put_real(text, value);
}

void metrics_text_histogram(struct metrics_text *text, const struct metrics_label *labels,
                            unsigned label_count, struct metrics_shape shape, const uint64_t *cells,
                            double unit)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i <= shape.count; i++) {
        char bound[40] = "+Inf";
        if (i < shape.count)
            snprintf(bound, sizeof(bound), "%.15g", shape.bounds[i] * unit);
        sum += cells[i];
        put_series(text, "_bucket", labels, label_count,
                   &(struct metrics_label){"le", str_of(bound)});
        put_number(text, sum);
    }
    put_series(text, "_count", labels, label_count, NULL);
    put_number(text, sum);
    put_series(text, "_sum", labels, label_count, NULL);
    put_real(text, (double)cells[shape.count + 1] * unit);
}
