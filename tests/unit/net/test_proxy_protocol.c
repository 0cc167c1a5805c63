#include "net/proxy_protocol.h"

#include "../test.h"

#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "net/ip.h"

#include "fuzz/fuzz_proxy_protocol.c"
#include "fuzz/replay.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

/* "192.0.2.7 4711 (40 bytes)", "nobody (15 bytes)", "more" or "refused". */
static const char *read_text(const char *bytes, size_t len)
{
    static char out[100];
    char ip[INET6_ADDRSTRLEN];
    struct proxy_protocol header;
    switch (proxy_protocol_read(bytes, len, &header)) {
    case PROXY_PROTOCOL_MORE:
        return "more";
    case PROXY_PROTOCOL_REFUSED:
        return "refused";
    case PROXY_PROTOCOL_DONE:
        break;
    }
    if (!header.has_client) {
        snprintf(out, sizeof(out), "nobody (%zu bytes)", header.len);
        return out;
    }
    assert_int_equal(uv_ip_name((const struct sockaddr *)&header.client, ip, sizeof(ip)), 0);
    snprintf(out, sizeof(out), "%s %u (%zu bytes)", ip, ip_port(&header.client), header.len);
    return out;
}

#define READ(literal) read_text(literal, sizeof(literal) - 1)

TEST(a_line_of_version_1_names_the_client)
{
    assert_string_equal(READ("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\nGET / HTTP/1.1"),
                        "192.0.2.7 4711 (40 bytes)");
    assert_string_equal(READ("PROXY TCP6 2001:db8::7 ::1 4711 443\r\n"),
                        "2001:db8::7 4711 (37 bytes)");
    assert_string_equal(READ("PROXY UNKNOWN\r\n"), "nobody (15 bytes)");
    assert_string_equal(READ("PROXY UNKNOWN what ever\r\n"), "nobody (25 bytes)");
}

TEST(a_line_that_is_not_whole_waits)
{
    static const char line[] = "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n";
    for (size_t len = 0; len < sizeof(line) - 1; len++)
        assert_string_equal(read_text(line, len), "more");
}

TEST(a_bad_line_is_refused)
{
    static const char *const lines[] = {
        "GET / HTTP/1.1\r\n",
        "PROXX",
        "proxy TCP4 192.0.2.7 10.0.0.1 4711 443\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP5 192.0.2.7 10.0.0.1 4711 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443 \r\n",
        "PROXY TCP4  192.0.2.7 10.0.0.1 4711 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 04711 443\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 -1 443\r\n",
        "PROXY TCP4 192.0.2.256 10.0.0.1 4711 443\r\n",
        "PROXY TCP4 192.0.2.7 ::1 4711 443\r\n",
        "PROXY TCP4 2001:db8::7 ::1 4711 443\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 4711 443\r\n",
        "PROXY TCP6 [2001:db8::7] ::1 4711 443\r\n",
        "PROXY UNKNOWN 1234567890123456789012345678901234567890123456789012345678901234567890"
        "1234567890123456789012\r\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (strcmp(read_text(lines[i], strlen(lines[i])), "refused") != 0)
            fail_msg("taken: %s", lines[i]);
}

TEST(a_block_of_version_2_names_the_client)
{
    assert_string_equal(READ(V2 "\x21\x11\0\x0c\xc0\0\2\7\x0a\0\0\1\x12\x67\1\xbbGET"),
                        "192.0.2.7 4711 (28 bytes)");
    assert_string_equal(READ(V2 "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"
                                "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x12\x67\1\xbb"),
                        "2001:db8::7 4711 (52 bytes)");
    /* With an extension behind the addresses. */
    assert_string_equal(READ(V2 "\x21\x11\0\x12\xc0\0\2\7\x0a\0\0\1\x12\x67\1\xbb\4\0\3abc"),
                        "192.0.2.7 4711 (34 bytes)");
    /* LOCAL, datagrams and Unix sockets name nobody. */
    assert_string_equal(READ(V2 "\x20\0\0\0"), "nobody (16 bytes)");
    assert_string_equal(READ(V2 "\x21\0\0\2ab"), "nobody (18 bytes)");
    assert_string_equal(READ(V2 "\x21\x12\0\x0c\xc0\0\2\7\x0a\0\0\1\x12\x67\1\xbb"),
                        "nobody (28 bytes)");
}

TEST(a_block_that_is_not_whole_waits)
{
    static const char block[] = V2 "\x21\x11\0\x0c\xc0\0\2\7\x0a\0\0\1\x12\x67\1\xbb";
    for (size_t len = 0; len < sizeof(block) - 1; len++)
        assert_string_equal(read_text(block, len), "more");
}

TEST(a_bad_block_is_refused)
{
    assert_string_equal(READ(V2 "\x11\x11\0\x0c\xc0\0\2\7\x0a\0\0\1\x12\x67\1\xbb"), "refused");
    assert_string_equal(READ(V2 "\x22\x11\0\x0c\xc0\0\2\7\x0a\0\0\1\x12\x67\1\xbb"), "refused");
    assert_string_equal(READ(V2 "\x21\x41\0\0"), "refused");
    assert_string_equal(READ(V2 "\x21\x13\0\0"), "refused");
    assert_string_equal(READ(V2 "\x21\x11\0\x0b\xc0\0\2\7\x0a\0\0\1\x12\x67\1"), "refused");
    assert_string_equal(READ(V2 "\x21\x21\0\x0c\xc0\0\2\7\x0a\0\0\1\x12\x67\1\xbb"), "refused");
    assert_string_equal(READ(V2 "\x21\x11\xff\xff"), "refused"); /* longer than anyone needs */
    assert_string_equal(READ("\r\n\r\n\0\r\nQUIT\r"), "refused");
}

TEST(any_bytes_are_read_alike_however_they_come)
{
    replay(LLVMFuzzerTestOneInput, "proxy_protocol");
}

static union ip_address address(const char *ip, uint16_t port)
{
    union ip_address made;
    assert_true(ip_parse(str_of(ip), port, &made));
    return made;
}

static size_t write_header(enum proxy_protocol_version version, const char *client,
                           const char *server, const char *name, char *out)
{
    union ip_address from = address(client, 4711), to = address(server, 443);
    return proxy_protocol_write(version, &from, &to, str_of(name), out);
}

TEST(a_line_is_written_as_it_is_read)
{
    char out[PROXY_PROTOCOL_WRITE_BYTES];
    size_t len = write_header(PROXY_PROTOCOL_V1, "192.0.2.7", "10.0.0.1", "a.example", out);
    assert_int_equal(len, 40);
    assert_memory_equal(out, "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n", len);
    len = write_header(PROXY_PROTOCOL_V1, "2001:db8::7", "10.0.0.1", NULL, out);
    assert_string_equal(read_text(out, len), "2001:db8::7 4711 (49 bytes)");
    len = write_header(PROXY_PROTOCOL_V1, "::ffff:192.0.2.7", "10.0.0.1", NULL, out);
    assert_string_equal(read_text(out, len), "192.0.2.7 4711 (40 bytes)");
    assert_int_equal(write_header(PROXY_PROTOCOL_NONE, "::1", "::1", NULL, out), 0);
}

TEST(a_block_is_written_as_it_is_read_and_tells_the_name)
{
    char out[PROXY_PROTOCOL_WRITE_BYTES];
    size_t len = write_header(PROXY_PROTOCOL_V2, "192.0.2.7", "10.0.0.1", NULL, out);
    assert_int_equal(len, 28);
    assert_memory_equal(out, V2 "\x21\x11\0\x0c\xc0\0\2\7\x0a\0\0\1\x12\x67\1\xbb", len);
    len = write_header(PROXY_PROTOCOL_V2, "2001:db8::7", "10.0.0.1", "a.example", out);
    assert_string_equal(read_text(out, len), "2001:db8::7 4711 (64 bytes)");
    assert_memory_equal(out + 52,
                        "\2\0\x09"
                        "a.example",
                        12);
    char name[256];
    memset(name, 'a', 255);
    name[255] = '\0';
    len = write_header(PROXY_PROTOCOL_V2, "2001:db8::7", "::1", name, out);
    assert_true(len == 52 + 3 + 255 && len <= sizeof(out));
    assert_string_equal(read_text(out, len), "2001:db8::7 4711 (310 bytes)");
}

RUN(T(a_line_is_written_as_it_is_read), T(a_block_is_written_as_it_is_read_and_tells_the_name),
    T(a_line_of_version_1_names_the_client), T(a_line_that_is_not_whole_waits),
    T(a_bad_line_is_refused), T(a_block_of_version_2_names_the_client),
    T(a_block_that_is_not_whole_waits), T(a_bad_block_is_refused),
    T(any_bytes_are_read_alike_however_they_come))
