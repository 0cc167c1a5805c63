#include "model/yaml_scalar.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX_BYTES 64

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* "017", "0o17" and "0x1f" of YAML 1.1 and 1.2, and decimal. NULL: none of them, or too large. */
static json_t *integer_of(const char *text)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    int base = 10;
    if (digits[0] == '0' && digits[1] == 'x') {
        base = 16;
        digits += 2;
    } else if (digits[0] == '0' && digits[1] == 'o') {
        base = 8;
        digits += 2;
    } else if (digits[0] == '0' && digits[1]) {
        base = 8;
    }
    static const char set[] = "0123456789abcdefABCDEF";
    char allowed[sizeof(set)];
    size_t count = base == 16 ? sizeof(set) - 1 : (size_t)base;
    memcpy(allowed, set, count);
    allowed[count] = '\0';
    if (!*digits || strspn(digits, allowed) != strlen(digits))
        return NULL;
    errno = 0;
    long long value = strtoll(digits, NULL, base);
    if (errno)
        return NULL;
    return json_integer(text[0] == '-' ? -value : value);
}

static json_t *real_of(const char *text)
{
    const char *at = text + (text[0] == '-' || text[0] == '+');
    size_t whole = strspn(at, "0123456789");
    if (at[0] == '0' && whole > 1)
        return NULL; /* "089" is a text with a zero in front */
    at += whole;
    size_t part = 0;
    if (*at == '.') {
        part = strspn(at + 1, "0123456789");
        at += 1 + part;
    }
    if (whole + part == 0)
        return NULL;
    if (*at == 'e' || *at == 'E') {
        at += 1 + (at[1] == '-' || at[1] == '+');
        size_t exponent = strspn(at, "0123456789");
        if (exponent == 0)
            return NULL;
        at += exponent;
    }
    double value = *at ? NAN : strtod(text, NULL);
    return isfinite(value) ? json_real(value) : NULL;
}

/* Something else than text; NULL: text. */
static json_t *special_of(const char *text, size_t len)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", "yes", "Yes",
                                        "YES",  "on",   "On",   "ON",  NULL};
    static const char *const falses[] = {"false", "False", "FALSE", "no",  "No",
                                         "NO",    "off",   "Off",   "OFF", NULL};
    if (is_one_of(text, nulls))
        return json_null();
    if (is_one_of(text, trues))
        return json_true();
    if (is_one_of(text, falses))
        return json_false();
    if (len > NUMBER_MAX_BYTES || !strchr("+-.0123456789", text[0]))
        return NULL;
    json_t *number = integer_of(text);
    return number ? number : real_of(text);
}

json_t *yaml_scalar(const char *text, size_t len)
{
    if (strlen(text) != len)
        return NULL;
    json_t *special = special_of(text, len);
    return special ? special : json_stringn(text, len);
}

bool yaml_scalar_is_special(const char *text, size_t len)
{
    json_t *special = special_of(text, len);
    json_decref(special);
    return special != NULL;
}
