#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/websocket.h"

static void a_key_is_its_bytes_in_base64(void **state)
{
    static const uint8_t bytes[16] = "the sample nonce";
    char key[WEBSOCKET_KEY_BYTES];
    (void)state;
    websocket_write_key(bytes, key);
    assert_memory_equal(key, "dGhlIHNhbXBsZSBub25jZQ==", WEBSOCKET_KEY_BYTES);
}

/* The example of RFC 6455, section 1.3. */
static void only_what_belongs_to_the_key_is_accepted(void **state)
{
    struct str key = STR("dGhlIHNhbXBsZSBub25jZQ==");
    (void)state;
    assert_true(websocket_is_accepted(key, STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    assert_false(websocket_is_accepted(key, STR("S3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    assert_false(websocket_is_accepted(key, STR("")));
    assert_false(websocket_is_accepted(STR("x"), STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_its_bytes_in_base64),
        cmocka_unit_test(only_what_belongs_to_the_key_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
