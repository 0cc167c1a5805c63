#include "unit/model/rows.h"

#include <ctype.h>

#include "model/secrets.h"

TEST(a_password_is_hashed_with_its_consumer)
{
    char hash[SECRETS_SHA1_BYTES];
    secrets_hash_password("password", "01234567-89ab-cdef-0123-456789abcdef", hash);
    /* printf 'password01234567-89ab-cdef-0123-456789abcdef' | sha1sum */
    assert_string_equal(hash, "6df6e272e0503640e87b6a2f467eebe182c36afa");
    secrets_hash_password("", "", hash);
    assert_string_equal(hash, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

TEST(a_client_secret_is_salted)
{
    char one[SECRETS_PBKDF2_BYTES];
    char other[SECRETS_PBKDF2_BYTES];
    assert_true(secrets_hash_client_secret("s", one));
    assert_true(secrets_hash_client_secret("s", other));
    assert_string_not_equal(one, other);
    assert_true(secrets_is_hashed(one));
    assert_false(secrets_is_hashed("s"));
}

TEST(what_is_made_is_random_letters_and_digits)
{
    json_t *one = entity_make_text();
    json_t *other = entity_make_text();
    assert_int_equal(json_string_length(one), 32);
    assert_false(json_equal(one, other));
    for (const char *at = json_string_value(one); *at; at++)
        assert_true(isalnum((unsigned char)*at));
    json_decref(other);
    json_decref(one);
}

TEST(only_a_public_key_is_one)
{
    assert_true(
        secrets_is_public_key("-----BEGIN PUBLIC KEY-----\n"
                              "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
                              "-----END PUBLIC KEY-----\n"));
    assert_false(secrets_is_public_key("-----BEGIN PUBLIC KEY-----\nAAAA\n"
                                       "-----END PUBLIC KEY-----\n"));
    assert_false(secrets_is_public_key(""));
}

RUN(T(a_password_is_hashed_with_its_consumer), T(a_client_secret_is_salted),
    T(what_is_made_is_random_letters_and_digits), T(only_a_public_key_is_one))
