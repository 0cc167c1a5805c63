#include "discovery/route_claims.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "weir"
#define FABIO "urlprefix-"
#define SHARE_WHOLE 10000
#define SHOWN_BYTES 80
#define LINE_BYTES 1024
#define CLAIM_SPACES 6 /* a claim has seven fields */
#define LINES_MAX 128  /* of one instance, with those that complain */

struct writer {
    char *text;
    size_t len;
    unsigned count; /* of claims */
    bool is_full;
};

/* What all claims of an instance have, unless they say otherwise. */
struct defaults {
    struct str host, methods, strip, priority, protocol;
};

bool route_claims_is_mark(struct str tag)
{
    return str_equal(tag, STR(MARK)) || str_starts_with(tag, STR(MARK ".")) ||
           str_starts_with(tag, STR(FABIO));
}

static struct str after(struct str text, size_t len)
{
    return str_make(text.ptr + len, text.len - len);
}

#define TOO_MUCH "!the tags after these: they claim more than weir reads of one instance"

static bool append_line(struct writer *writer, const char *line, int len, size_t limit)
{
    if (len < 0 || (size_t)len + 1 > limit - writer->len)
        return false;
    memcpy(writer->text + writer->len, line, (size_t)len);
    writer->len += (size_t)len;
    writer->text[writer->len++] = '\n';
    return true;
}

/* There is always room left to say that there is none. */
static void write_line(struct writer *writer, const char *line, int len)
{
    if (!writer->is_full &&
        !append_line(writer, line, len, ROUTE_CLAIMS_BYTES - sizeof(TOO_MUCH))) {
        writer->is_full = true;
        append_line(writer, TOO_MUCH, sizeof(TOO_MUCH) - 1, ROUTE_CLAIMS_BYTES);
    }
}

/* Bytes of others that go to logs: printable ASCII, and not too many. */
static void complain(struct writer *writer, struct str what, const char *why)
{
    char shown[SHOWN_BYTES + 1], line[SHOWN_BYTES + 160];
    size_t len = what.len < SHOWN_BYTES ? what.len : SHOWN_BYTES;
    for (size_t i = 0; i < len; i++)
        shown[i] = what.ptr[i] > ' ' && what.ptr[i] < 0x7f ? what.ptr[i] : ' ';
    shown[len] = '\0';
    int size = snprintf(line, sizeof(line), "!'%s' %s", shown, why);
    write_line(writer, line, size < (int)sizeof(line) ? size : (int)sizeof(line) - 1);
}

static bool is_printable(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < ' ' || text.ptr[i] > '~')
            return false;
    return true;
}

static struct str cut_word(struct str *rest)
{
    *rest = str_trim(*rest);
    struct str word = str_cut(rest, ' ');
    return word;
}

static bool is_yes(struct str text)
{
    return str_equal_nocase(text, STR("true")) || str_equal(text, STR("1")) ||
           str_equal_nocase(text, STR("yes")) || str_equal_nocase(text, STR("on"));
}

static bool is_no(struct str text)
{
    return text.len == 0 || str_equal_nocase(text, STR("false")) || str_equal(text, STR("0")) ||
           str_equal_nocase(text, STR("no")) || str_equal_nocase(text, STR("off"));
}

/* Takes `prefix` off what the route matched; what is left of its path stays before the rest. */
static bool set_strip(struct route_claim *claim, struct str prefix)
{
    if (is_no(prefix))
        return true;
    if (is_yes(prefix)) {
        claim->strips = true;
        return true;
    }
    if (prefix.len > 1 && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    if (prefix.ptr[0] != '/' || !str_starts_with(claim->path, prefix))
        return false;
    struct str rest = after(claim->path, prefix.len);
    if (prefix.len == 1) /* the slash alone: all of it stays */
        return true;
    if (rest.len > 0 && rest.ptr[0] != '/') /* half a segment */
        return false;
    claim->strips = true;
    if (rest.len > 1)
        claim->to = rest;
    return true;
}

static bool set_priority(struct route_claim *claim, struct str text)
{
    uint64_t number;
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    if (!str_to_u64(is_negative ? after(text, 1) : text, &number) || number > 1000000)
        return false;
    claim->priority = is_negative ? -(int64_t)number : (int64_t)number;
    return true;
}

static bool set_methods(struct route_claim *claim, struct str text)
{
    unsigned count = 1;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        count += c == ',';
        if (c == ',' && (i == 0 || i + 1 == text.len || text.ptr[i - 1] == ','))
            return false;
        if (c != ',' && c != '-' && !(c >= 'A' && c <= 'Z'))
            return false;
    }
    claim->methods = text;
    return count <= ROUTE_CLAIM_METHODS_MAX;
}

static bool set_protocol(struct route_claim *claim, struct str text)
{
    claim->protocol = text;
    return str_equal(text, STR("http")) || str_equal(text, STR("https"));
}

static bool set_share(uint32_t *share, struct str text)
{
    char copy[16] = "";
    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    char *end;
    double value = strtod(copy, &end);
    if (*end || !(value >= 0 && value <= 1))
        return false;
    *share = (uint32_t)(value * SHARE_WHOLE + 0.5);
    return true;
}

enum option_end { OPTION_TAKEN, OPTION_BAD, OPTION_UNKNOWN, OPTION_UNSAFE };

static bool is_one_of(struct str name, const char *names)
{
    struct str rest = str_of(names);
    while (rest.ptr)
        if (str_equal(str_cut(&rest, ' '), name))
            return true;
    return false;
}

static enum option_end take_option(struct route_claim *claim, uint32_t *share, bool is_fabio,
                                   struct str name, struct str value)
{
    bool is_good = true;
    if (str_equal(name, STR("strip")))
        is_good = set_strip(claim, value);
    else if (str_equal(name, STR("proto")) || str_equal(name, STR("protocol")))
        is_good = set_protocol(claim, value);
    else if (str_equal(name, STR("weight")))
        is_good = set_share(share, value);
    else if (!is_fabio && str_equal(name, STR("methods")))
        is_good = set_methods(claim, value);
    else if (!is_fabio && str_equal(name, STR("priority")))
        is_good = set_priority(claim, value);
    else if (!is_fabio && str_equal(name, STR("host")))
        claim->host = value;
    else if (is_fabio && str_equal(name, STR("host")))
        claim->loses_host = str_equal(value, STR("dst"));
    else if (!is_fabio && str_equal(name, STR("preserve_host")))
        claim->loses_host = is_no(value);
    else if (is_one_of(name,
                       "auth allow deny redirect")) /* without them it would be another route */
        return OPTION_UNSAFE;
    else
        return OPTION_UNKNOWN;
    return is_good ? OPTION_TAKEN : OPTION_BAD;
}

/* "host/path", "/path", "host", "~/regex". */
static bool read_place(struct route_claim *claim, struct str place)
{
    if (place.len == 0 || place.ptr[0] == ':')
        return false;
    if (place.ptr[0] == '~') {
        claim->path = place;
        return true;
    }
    const char *slash = memchr(place.ptr, '/', place.len);
    struct str host = slash ? str_make(place.ptr, (size_t)(slash - place.ptr)) : place;
    if (host.len > 0)
        claim->host = host;
    claim->path = slash ? after(place, host.len) : STR("/");
    return true;
}

static void write_claim(struct writer *writer, const struct route_claim *claim, uint32_t share)
{
    char line[LINE_BYTES], tail[32] = "";
    if (share > 0)
        snprintf(tail, sizeof(tail), "\t%u", share);
    int len = snprintf(line, sizeof(line), "%.*s %.*s %.*s %.*s %.*s %lld %d%d%s",
                       STR_ARG(claim->host.len ? claim->host : STR("*")), STR_ARG(claim->path),
                       STR_ARG(claim->methods.len ? claim->methods : STR("*")),
                       STR_ARG(claim->protocol), STR_ARG(claim->to.len ? claim->to : STR("*")),
                       (long long)claim->priority, claim->strips, claim->loses_host, tail);
    uint32_t other;
    struct str key = route_claims_key(str_of(line), &other);
    if (len >= (int)sizeof(line))
        complain(writer, claim->path, "is too long");
    else if (route_claims_find(str_make(writer->text, writer->len), key, &other))
        return; /* said twice, such as in weir's and in fabio's words: the first counts */
    else if (++writer->count > ROUTE_CLAIMS_MAX)
        complain(writer, claim->path, "is one route too many for one instance");
    else
        write_line(writer, line, len);
}

static void read_claim(struct writer *writer, const struct defaults *defaults, struct str text,
                       bool is_fabio)
{
    struct route_claim claim = {.host = defaults->host, .protocol = STR("http")};
    struct str rest = text;
    uint32_t share = 0;
    if (!is_printable(text) || !read_place(&claim, cut_word(&rest))) {
        complain(writer, text, "is no route");
        return;
    }
    bool is_good = set_methods(&claim, defaults->methods) && set_strip(&claim, defaults->strip) &&
                   (defaults->priority.len == 0 || set_priority(&claim, defaults->priority)) &&
                   (defaults->protocol.len == 0 || set_protocol(&claim, defaults->protocol));
    if (!is_good) {
        complain(writer, text, "is left out for its methods, strip, priority or protocol");
        return;
    }
    while (rest.ptr && rest.len > 0) {
        struct str option = cut_word(&rest), value = option;
        struct str name = str_cut(&value, '=');
        switch (option.len ? take_option(&claim, &share, is_fabio, name, value) : OPTION_TAKEN) {
        case OPTION_TAKEN:
            break;
        case OPTION_UNKNOWN:
            complain(writer, option, "is an option that weir doesn't know; it is passed over");
            break;
        case OPTION_BAD:
        case OPTION_UNSAFE:
            complain(writer, option, "is an option that weir can't follow; its route is left out");
            return;
        }
    }
    write_claim(writer, &claim, share);
}

static struct str text_of(const json_t *value)
{
    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR_EMPTY;
}

/* "weir.methods=GET", and in meta, where keys hold no dots, "weir-methods" and "weir_methods". */
static struct str option_name(struct str text)
{
    size_t len = sizeof(MARK) - 1;
    if (!str_starts_with(text, STR(MARK)) || text.len <= len + 1 || !strchr(".-_", text.ptr[len]))
        return STR_EMPTY;
    return after(text, len + 1);
}

static void note_default(struct defaults *defaults, struct str name, struct str value)
{
    if (!is_printable(value) || (value.len && memchr(value.ptr, ' ', value.len)))
        return;
    if (str_equal(name, STR("host")))
        defaults->host = value;
    else if (str_equal(name, STR("methods")))
        defaults->methods = value;
    else if (str_equal(name, STR("strip")))
        defaults->strip = value;
    else if (str_equal(name, STR("priority")))
        defaults->priority = value;
    else if (str_equal(name, STR("protocol")))
        defaults->protocol = value;
}

static bool is_route_name(struct str name)
{
    return str_equal(name, STR("route")) || str_starts_with(name, STR("route-")) ||
           str_starts_with(name, STR("route_"));
}

struct str route_claims_read(const json_t *service, char text[ROUTE_CLAIMS_BYTES])
{
    struct writer writer = {.text = text};
    struct defaults defaults = {0};
    const json_t *tags = json_object_get(service, "Tags"), *meta = json_object_get(service, "Meta");
    size_t i;
    const json_t *value;
    const char *key;
    bool is_marked = false;
    json_array_foreach(tags, i, value)
    {
        struct str rest = text_of(value);
        is_marked |= rest.len > 0 && route_claims_is_mark(rest);
        struct str name = str_cut(&rest, '=');
        note_default(&defaults, option_name(name), rest);
    }
    json_object_foreach((json_t *)(uintptr_t)meta, key, value)
    {
        struct str name = option_name(str_of(key));
        is_marked |= is_route_name(name);
        note_default(&defaults, name, text_of(value));
    }
    if (!is_marked)
        return STR_EMPTY;
    json_array_foreach(tags, i, value)
    {
        struct str tag = text_of(value), rest = tag;
        if (str_starts_with(tag, STR(FABIO))) {
            read_claim(&writer, &(struct defaults){0}, after(tag, sizeof(FABIO) - 1), true);
            continue;
        }
        if (is_route_name(option_name(str_cut(&rest, '='))))
            read_claim(&writer, &defaults, rest, false);
    }
    json_object_foreach((json_t *)(uintptr_t)meta, key, value)
    {
        if (is_route_name(option_name(str_of(key))))
            read_claim(&writer, &defaults, text_of(value), false);
    }
    return str_make(text, writer.len);
}

static bool is_sound_line(struct str line)
{
    unsigned spaces = 0;
    uint32_t share;
    if (line.len == 0 || line.len >= LINE_BYTES)
        return false;
    if (line.ptr[0] == '!')
        return is_printable(line);
    struct str key = route_claims_key(line, &share);
    for (size_t i = 0; i < key.len; i++)
        spaces += key.ptr[i] == ' ';
    return spaces == CLAIM_SPACES && is_printable(key) && share <= SHARE_WHOLE;
}

bool route_claims_are_sound(struct str lines)
{
    unsigned count = 0;
    if (lines.len > ROUTE_CLAIMS_BYTES)
        return false;
    while (lines.ptr && lines.len > 0)
        if (!is_sound_line(str_cut(&lines, '\n')) || ++count > LINES_MAX)
            return false;
    return true;
}

struct str route_claims_key(struct str line, uint32_t *ret_share)
{
    struct str rest = line;
    struct str key = str_cut(&rest, '\t');
    uint64_t share = 0;
    if (rest.ptr)
        str_to_u64(rest, &share);
    *ret_share = (uint32_t)share;
    return key;
}

static struct str cut_field(struct str *rest)
{
    struct str field = str_cut(rest, ' ');
    return str_equal(field, STR("*")) ? STR_EMPTY : field;
}

void route_claims_parse(struct str key, struct route_claim *ret)
{
    struct str rest = key;
    struct route_claim claim = {.host = cut_field(&rest)};
    claim.path = cut_field(&rest);
    claim.methods = cut_field(&rest);
    claim.protocol = cut_field(&rest);
    claim.to = cut_field(&rest);
    struct str priority = cut_field(&rest);
    set_priority(&claim, priority);
    claim.strips = rest.len > 0 && rest.ptr[0] == '1';
    claim.loses_host = rest.len > 1 && rest.ptr[1] == '1';
    *ret = claim;
}

bool route_claims_find(struct str lines, struct str key, uint32_t *ret_share)
{
    while (lines.ptr && lines.len > 0) {
        if (str_equal(route_claims_key(str_cut(&lines, '\n'), ret_share), key))
            return true;
    }
    *ret_share = 0;
    return false;
}
