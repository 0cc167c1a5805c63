#include "http/http1_parts.h"

/* chunked-body = *chunk last-chunk trailer-section CRLF (RFC 9112, section 7.1)
 *
 *   SIZE_FIRST -> SIZE -> [BLANK -> EXTENSION] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF ->
 * SIZE_FIRST size 0 -> LINE_FIRST LINE_FIRST -> NAME -> VALUE_FIRST -> VALUE -> LINE_LF ->
 * LINE_FIRST         a trailer field LINE_FIRST -> END_LF -> END the empty line
 *
 * Why not llhttp's: the bytes between the data have to be watched anyway (lone LFs, blanks after a
 * size, endless extensions and trailers), and then little is left to decode. */
enum chunk_state {
    CHUNK_SIZE_FIRST = 0,
    CHUNK_SIZE,
    CHUNK_BLANK,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_LINE_FIRST,
    TRAILER_NAME,
    TRAILER_VALUE_FIRST,
    TRAILER_VALUE,
    TRAILER_LINE_LF,
    TRAILER_END_LF,
    CHUNK_END,
};

/* Sixteen digits say all that 64 bits can. */
#define MAX_SIZE_DIGITS 16
/* Nobody uses extensions; without a limit they are a way to send bytes that count as no body. */
#define MAX_SIZE_LINE_BYTES 256

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = str_lower_char(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_text(char c)
{
    unsigned char byte = (unsigned char)c;
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}

static void turn_to(struct http1_parser *parser, enum chunk_state state)
{
    parser->chunk_state = (uint8_t)state;
}

/* One byte of the line that tells a chunk's size. False when it may not stand there. */
static bool read_size_byte(struct http1_parser *parser, char c)
{
    int digit;
    if (++parser->line_bytes > MAX_SIZE_LINE_BYTES)
        return false;

    switch (parser->chunk_state) {
    case CHUNK_SIZE_FIRST:
    case CHUNK_SIZE:
        digit = hex_value(c);
        if (digit >= 0) {
            parser->body_left = parser->body_left << 4 | (uint64_t)digit;
            turn_to(parser, CHUNK_SIZE);
            return parser->line_bytes <= MAX_SIZE_DIGITS && parser->body_left <= INT64_MAX;
        }
        if (parser->chunk_state == CHUNK_SIZE_FIRST)
            return false;
        /* fall through */
    case CHUNK_BLANK:
        /* White space is bad there, but RFC 9112 has recipients take it before an extension. */
        if (is_blank(c) || c == ';') {
            turn_to(parser, c == ';' ? CHUNK_EXTENSION : CHUNK_BLANK);
            return true;
        }
        if (parser->chunk_state == CHUNK_BLANK)
            return false;
        turn_to(parser, CHUNK_SIZE_LF);
        return c == '\r';
    case CHUNK_EXTENSION:
        if (c == '\r')
            turn_to(parser, CHUNK_SIZE_LF);
        return c == '\r' || is_text(c);
    default: /* CHUNK_SIZE_LF */
        parser->line_bytes = 0;
        turn_to(parser, parser->body_left > 0 ? CHUNK_DATA : TRAILER_LINE_FIRST);
        return c == '\n';
    }
}

/* Fields that are read before the body have no place behind it (RFC 9110, section 6.5.1): framing,
 * routing, authentication, conditions, how to handle the content. What weir acts on neither, nor
 * what plugins say of who asks: they have seen no trailers. */
bool http1_may_be_trailer(struct str name)
{
    static const struct str early[] = {
        STR("age"),           STR("authorization"),
        STR("cache-control"), STR("content-encoding"),
        STR("content-range"), STR("cookie"),
        STR("expires"),       STR("if-match"),
        STR("if-range"),      STR("if-modified-since"),
        STR("if-none-match"), STR("if-unmodified-since"),
        STR("location"),      STR("max-forwards"),
        STR("pragma"),        STR("range"),
        STR("retry-after"),   STR("set-cookie"),
        STR("vary"),          STR("www-authenticate"),
    };
    if (header_recognise(name) != HEADER_OTHER || header_tells_consumer(name))
        return false;
    for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++)
        if (str_equal_nocase(name, early[i]))
            return false;
    return true;
}

/* Adds a byte of a trailer field to the caller's space, unless the field is being dropped. */
static bool keep(struct http1_parser *parser, char c)
{
    if (!parser->trailers || parser->drops_trailer)
        return true;
    if (parser->trailer_len == HTTP1_MAX_TRAILER_BYTES)
        return false;
    parser->trailers[parser->trailer_len++] = c;
    return true;
}

static bool end_name(struct http1_parser *parser)
{
    if (parser->trailers) {
        struct str name = str_make(parser->trailers + parser->trailer_line,
                                   (size_t)(parser->trailer_len - parser->trailer_line));
        parser->drops_trailer = !http1_may_be_trailer(name);
    }
    if (parser->drops_trailer)
        parser->trailer_len = parser->trailer_line;
    turn_to(parser, TRAILER_VALUE_FIRST);
    return keep(parser, ':') && keep(parser, ' ');
}

static bool end_value(struct http1_parser *parser)
{
    while (parser->trailer_len > parser->trailer_line &&
           is_blank(parser->trailers[parser->trailer_len - 1]))
        parser->trailer_len--;
    turn_to(parser, TRAILER_LINE_LF);
    return keep(parser, '\r') && keep(parser, '\n');
}

/* One byte of the trailer section. False when it may not stand there, or the section is too long.
 */
static bool read_trailer_byte(struct http1_parser *parser, char c)
{
    if (++parser->trailer_read > HTTP1_MAX_TRAILER_BYTES)
        return false;

    switch (parser->chunk_state) {
    case TRAILER_LINE_FIRST:
        parser->trailer_line = parser->trailer_len;
        parser->drops_trailer = false;
        turn_to(parser, c == '\r' ? TRAILER_END_LF : TRAILER_NAME);
        return c == '\r' || (http1_is_token_char(c) && keep(parser, c));
    case TRAILER_NAME:
        if (c == ':')
            return end_name(parser);
        return http1_is_token_char(c) && keep(parser, c);
    case TRAILER_VALUE_FIRST:
        if (is_blank(c))
            return true;
        turn_to(parser, TRAILER_VALUE);
        /* fall through */
    case TRAILER_VALUE:
        if (c == '\r')
            return end_value(parser);
        return is_text(c) && keep(parser, c);
    case TRAILER_LINE_LF:
        turn_to(parser, TRAILER_LINE_FIRST);
        return c == '\n';
    default: /* TRAILER_END_LF */
        turn_to(parser, CHUNK_END);
        return c == '\n';
    }
}

static struct str cut_data(struct http1_parser *parser, const char *bytes, size_t len)
{
    size_t cut = parser->body_left < len ? (size_t)parser->body_left : len;
    parser->body_left -= cut;
    if (parser->body_left == 0)
        turn_to(parser, CHUNK_DATA_CR);
    return str_make(bytes, cut);
}

static bool read_byte(struct http1_parser *parser, char c)
{
    if (parser->chunk_state >= TRAILER_LINE_FIRST)
        return read_trailer_byte(parser, c);
    if (parser->chunk_state == CHUNK_DATA_CR) {
        turn_to(parser, CHUNK_DATA_LF);
        return c == '\r';
    }
    if (parser->chunk_state == CHUNK_DATA_LF) {
        turn_to(parser, CHUNK_SIZE_FIRST);
        return c == '\n';
    }
    return read_size_byte(parser, c);
}

enum http1_result http1_read_chunks(struct http1_parser *parser, const char *bytes, size_t len,
                                    size_t *taken, struct str *pieces, unsigned max,
                                    unsigned *count)
{
    size_t at = 0;
    *count = 0;
    while (at < len && parser->chunk_state != CHUNK_END) {
        if (parser->chunk_state == CHUNK_DATA) {
            if (*count == max)
                break;
            pieces[*count] = cut_data(parser, bytes + at, len - at);
            at += pieces[(*count)++].len;
        } else if (!read_byte(parser, bytes[at++])) {
            *taken = at;
            bool is_trailer = parser->chunk_state >= TRAILER_LINE_FIRST;
            return http1_refuse(parser, 400, is_trailer ? "bad trailers" : "bad chunk");
        }
    }
    *taken = at;
    parser->body_done = parser->chunk_state == CHUNK_END;
    return parser->body_done ? HTTP1_DONE : HTTP1_MORE;
}
