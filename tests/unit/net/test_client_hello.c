#include "net/client_hello.h"

#include "../test.h"

#include <stdio.h>
#include <string.h>

#include "fuzz/fuzz_client_hello.c"
#include "fuzz/replay.h"

/* A message that is made byte by byte, and the records that carry it. */
struct bytes {
    uint8_t at[20000];
    size_t len;
};

static void put(struct bytes *to, const void *bytes, size_t len)
{
    memcpy(to->at + to->len, bytes, len);
    to->len += len;
}

static void put_number(struct bytes *to, size_t number, unsigned bytes)
{
    while (bytes-- > 0)
        to->at[to->len++] = (uint8_t)(number >> 8 * bytes);
}

/* The parts that a test may get wrong; zeroed, all is well. */
struct recipe {
    const char *extensions;
    size_t extensions_len;
    size_t session_id_len;
    size_t cipher_bytes; /* 0: 2 */
    size_t padding;      /* in an extension of its own */
    size_t trailing;     /* bytes behind the extensions */
    uint16_t version;    /* 0: 0x0303 */
    bool has_no_extensions;
};

static void cook(const struct recipe *recipe, struct bytes *message)
{
    static const uint8_t zeros[16384];
    struct bytes body = {.len = 0};
    size_t ciphers = recipe->cipher_bytes ? recipe->cipher_bytes : 2;
    put_number(&body, recipe->version ? recipe->version : 0x0303, 2);
    put(&body, zeros, 32);
    put_number(&body, recipe->session_id_len, 1);
    put(&body, zeros, recipe->session_id_len);
    put_number(&body, ciphers, 2);
    put(&body, zeros, ciphers);
    put_number(&body, 0x0100, 2); /* one compression: none */
    if (!recipe->has_no_extensions) {
        size_t padding = recipe->padding ? recipe->padding + 4 : 0;
        put_number(&body, padding + recipe->extensions_len, 2);
        if (padding > 0) {
            put_number(&body, 21, 2);
            put_number(&body, recipe->padding, 2);
            put(&body, zeros, recipe->padding);
        }
        put(&body, recipe->extensions, recipe->extensions_len);
    }
    put(&body, zeros, recipe->trailing);
    message->len = 0;
    put_number(message, 1, 1);
    put_number(message, body.len, 3);
    put(message, body.at, body.len);
}

static void cut(const struct bytes *message, size_t most, struct bytes *records)
{
    records->len = 0;
    for (size_t at = 0; at < message->len; at += most) {
        size_t part = message->len - at < most ? message->len - at : most;
        put_number(records, 0x160301, 3);
        put_number(records, part, 2);
        put(records, message->at + at, part);
    }
}

/* "more", "no name", "name a.example" or "refused: why". */
static const char *read_text(const struct bytes *records, size_t len)
{
    static char out[400];
    struct client_hello hello;
    switch (client_hello_read((const char *)records->at, len, &hello)) {
    case CLIENT_HELLO_MORE:
        return "more";
    case CLIENT_HELLO_REFUSED:
        snprintf(out, sizeof(out), "refused: %s", hello.why);
        return out;
    case CLIENT_HELLO_DONE:
        break;
    }
    if (hello.name_len == 0)
        return "no name";
    snprintf(out, sizeof(out), "name %.*s", STR_ARG(client_hello_name(&hello)));
    return out;
}

static const char *read_recipe(struct recipe recipe)
{
    static struct bytes message, records;
    cook(&recipe, &message);
    cut(&message, 16384, &records);
    return read_text(&records, records.len);
}

#define EXTENSIONS(literal) .extensions = (literal), .extensions_len = sizeof(literal) - 1
#define READ(...) read_recipe((struct recipe){__VA_ARGS__})
#define A_EXAMPLE                                                                                  \
    "\0\0\0\x0e\0\x0c\0\0\x09"                                                                     \
    "A.example"

TEST(the_name_is_found_among_the_extensions)
{
    assert_string_equal(READ(EXTENSIONS(A_EXAMPLE)), "name a.example");
    assert_string_equal(READ(EXTENSIONS("\0\x2b\0\3\2\3\4" A_EXAMPLE "\0\x0a\0\0")),
                        "name a.example");
    assert_string_equal(READ(EXTENSIONS(A_EXAMPLE), .session_id_len = 32), "name a.example");
    assert_string_equal(READ(EXTENSIONS(A_EXAMPLE), .padding = 12000), "name a.example");
}

TEST(there_need_be_no_name)
{
    assert_string_equal(READ(EXTENSIONS("")), "no name");
    assert_string_equal(READ(.has_no_extensions = true), "no name");
    assert_string_equal(READ(EXTENSIONS("\0\x2b\0\3\2\3\4")), "no name");
}

TEST(records_may_cut_it_anywhere)
{
    static struct bytes message, records;
    const struct recipe recipe = {EXTENSIONS(A_EXAMPLE)};
    cook(&recipe, &message);
    for (size_t most = 1; most <= message.len; most++) {
        cut(&message, most, &records);
        assert_string_equal(read_text(&records, records.len), "name a.example");
    }
}

TEST(segments_may_cut_it_anywhere)
{
    static struct bytes message, records;
    const struct recipe recipe = {EXTENSIONS(A_EXAMPLE)};
    cook(&recipe, &message);
    for (size_t most = 1; most <= message.len; most += 20) {
        cut(&message, most, &records);
        for (size_t len = 0; len < records.len; len++)
            assert_string_equal(read_text(&records, len), "more");
    }
}

TEST(names_that_could_be_read_in_two_ways_are_refused)
{
    assert_string_equal(READ(EXTENSIONS(A_EXAMPLE A_EXAMPLE)), "refused: two server names");
    static const char malformed[] = "refused: a malformed server name";
    assert_string_equal(READ(EXTENSIONS("\0\0\0\x0a\0\x08\0\0\1a\0\0\1b")), malformed);
    assert_string_equal(READ(EXTENSIONS("\0\0\0\x06\0\x04\1\0\1a")), malformed); /* another type */
    assert_string_equal(READ(EXTENSIONS("\0\0\0\0")), malformed);
    assert_string_equal(READ(EXTENSIONS("\0\0\0\2\0\0")), malformed);
    assert_string_equal(READ(EXTENSIONS("\0\0\0\6\0\5\0\0\1a")), malformed);
    assert_string_equal(READ(EXTENSIONS("\0\0\0\7\0\4\0\0\1ab")), malformed);
    assert_string_equal(READ(EXTENSIONS("\0\0\0\5\0\3\0\0\0")),
                        "refused: a server name of a length that is not allowed");
    static const char no_host[] = "refused: a server name that is none of a host";
    assert_string_equal(READ(EXTENSIONS("\0\0\0\x08\0\6\0\0\3a\0b")), no_host);
    assert_string_equal(READ(EXTENSIONS("\0\0\0\x06\0\4\0\0\1*")), no_host);
    assert_string_equal(READ(EXTENSIONS("\0\0\0\x06\0\4\0\0\1\xe4")), no_host);
}

TEST(a_malformed_message_is_refused)
{
    static const char malformed[] = "refused: a malformed ClientHello";
    assert_string_equal(READ(EXTENSIONS(A_EXAMPLE), .session_id_len = 33), malformed);
    assert_string_equal(READ(EXTENSIONS(A_EXAMPLE), .cipher_bytes = 3), malformed);
    assert_string_equal(READ(EXTENSIONS(A_EXAMPLE), .version = 0x0203),
                        "refused: a version that is none of TLS");
    static const char extensions[] = "refused: malformed extensions";
    assert_string_equal(READ(EXTENSIONS(A_EXAMPLE), .trailing = 1), extensions);
    assert_string_equal(READ(EXTENSIONS("\0\x0a\0\1")), extensions);
    assert_string_equal(READ(EXTENSIONS("\0\x0a\0")), extensions);
    assert_string_equal(READ(.has_no_extensions = true, .trailing = 1), extensions);
}

TEST(what_is_too_long_is_refused)
{
    static struct bytes message, records;
    assert_string_equal(READ(EXTENSIONS(A_EXAMPLE), .padding = 16384),
                        "refused: the ClientHello is too long");
    const struct recipe recipe = {EXTENSIONS(A_EXAMPLE), .padding = 3000};
    cook(&recipe, &message);
    cut(&message, 1, &records); /* six bytes for each of it */
    assert_string_equal(read_text(&records, records.len), "refused: the ClientHello is too long");
    assert_string_equal(read_text(&records, CLIENT_HELLO_MAX_BYTES - 1), "more");
}

static const char *read_raw(const char *bytes, size_t len)
{
    static struct bytes records;
    records.len = 0;
    put(&records, bytes, len);
    return read_text(&records, len);
}
#define RAW(literal) read_raw(literal, sizeof(literal) - 1)

TEST(what_is_no_handshake_is_refused_at_once)
{
    assert_string_equal(RAW(""), "more");
    assert_string_equal(RAW("\x16"), "more");
    assert_string_equal(RAW("\x16\3\1\0"), "more");
    assert_string_equal(RAW("GET /"), "refused: not TLS");
    assert_string_equal(RAW("\x80\x2e\x01\x03\x01"), "refused: not TLS"); /* SSL 2 */
    assert_string_equal(RAW("\x16\2"), "refused: not TLS");
    assert_string_equal(RAW("\x15\3\3\0\2\2\x28"), "refused: not TLS"); /* an alert */
    assert_string_equal(RAW("\x16\3\1\0\0"), "refused: a record of a length that is not allowed");
    assert_string_equal(RAW("\x16\3\1\x40\1"), "refused: a record of a length that is not allowed");
    assert_string_equal(RAW("\x16\3\1\0\1\2"),
                        "refused: a handshake that doesn't begin with a ClientHello");
    assert_string_equal(RAW("\x16\3\1\0\2\1\0\x17"),
                        "refused: another record within the ClientHello");
}

TEST(what_follows_it_is_not_looked_at_unless_in_its_record)
{
    static struct bytes message, records;
    const struct recipe recipe = {EXTENSIONS(A_EXAMPLE)};
    cook(&recipe, &message);
    cut(&message, 16384, &records);
    put(&records, "\x17\3\3\0\5early", 10); /* 0-RTT */
    assert_string_equal(read_text(&records, records.len), "name a.example");
    put_number(&message, 0x14, 1);
    cut(&message, 16384, &records);
    assert_string_equal(read_text(&records, records.len),
                        "refused: more in the ClientHello's record");
}

TEST(any_bytes_are_read_alike_however_they_come)
{
    replay(LLVMFuzzerTestOneInput, "client_hello");
}

RUN(T(the_name_is_found_among_the_extensions), T(there_need_be_no_name),
    T(records_may_cut_it_anywhere), T(segments_may_cut_it_anywhere),
    T(names_that_could_be_read_in_two_ways_are_refused), T(a_malformed_message_is_refused),
    T(what_is_too_long_is_refused), T(what_is_no_handshake_is_refused_at_once),
    T(what_follows_it_is_not_looked_at_unless_in_its_record),
    T(any_bytes_are_read_alike_however_they_come))
