#include "control/cert_expiry.h"

#include <stdlib.h>

#include "net/tls_identity.h"
#include "net/tls_self_signed.h"
#include "unit/test.h"

#define DAY_S 86400

TEST(a_stage_begins_so_many_days_before_the_end)
{
    static const struct {
        time_t left_s;
        enum cert_stage stage;
    } table[] = {
        {14 * DAY_S, CERT_GOOD},
        {14 * DAY_S - 1, CERT_ENDS_IN_14_DAYS},
        {7 * DAY_S, CERT_ENDS_IN_14_DAYS},
        {7 * DAY_S - 1, CERT_ENDS_IN_7_DAYS},
        {3 * DAY_S - 1, CERT_ENDS_IN_3_DAYS},
        {DAY_S, CERT_ENDS_IN_3_DAYS},
        {DAY_S - 1, CERT_ENDS_IN_1_DAY},
        {1, CERT_ENDS_IN_1_DAY},
        {0, CERT_EXPIRED},
        {-1000 * DAY_S, CERT_EXPIRED},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        assert_int_equal(cert_stage_of(1000000 + table[i].left_s, 1000000), table[i].stage);
}

static struct tls_identity *make(void)
{
    char *cert, *key;
    struct tls_identity *identity;
    struct error err;
    assert_int_equal(tls_self_signed(TLS_KEY_ECDSA, &cert, &key), 0);
    struct tls_pem pem = {str_of(cert), str_of(key), "cert", "key"};
    assert_int_equal(tls_identity_create(&pem, 1, &identity, &err), 0);
    free(cert);
    tls_wipe_text(key);
    return identity;
}

TEST(each_stage_is_told_once)
{
    struct tls_identity *identity = make();
    time_t end = tls_identity_not_after(identity);
    enum cert_stage told = CERT_GOOD;
    static const int days[] = {100, 13, 12, 6, 5, 2, -1, -1000};
    static const bool is_told[] = {false, true, false, true, false, true, true, false};
    assert_string_equal(tls_identity_name(identity), "localhost");
    for (size_t i = 0; i < sizeof(days) / sizeof(*days); i++) {
        time_t now = end - days[i] * DAY_S - 3600;
        assert_int_equal(cert_expiry_tell(identity, STR("an id"), now, &told), is_told[i]);
    }
    assert_int_equal(told, CERT_EXPIRED);
    tls_identity_unref(identity);
}

RUN(T(a_stage_begins_so_many_days_before_the_end), T(each_stage_is_told_once))
