#include "unit/test.h"

#include "net/tls_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/tls_identity.h"
#include "net/tls_self_signed.h"

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

static struct tls_names *names;

static struct tls_identity *add(const char *name)
{
    struct tls_identity *identity = make();
    assert_int_equal(tls_names_add(names, str_of(name), identity), 0);
    tls_identity_unref(identity); /* the names hold theirs */
    return identity;
}

static struct tls_identity *find(const char *name)
{
    return tls_names_find(names, str_of(name));
}

TEST(an_exact_name_goes_before_a_wildcard_and_left_before_right)
{
    assert_int_equal(tls_names_create(&names), 0);
    assert_null(find("a.example.com"));
    struct tls_identity *right = add("a.example.*");
    assert_ptr_equal(find("a.example.com"), right);
    struct tls_identity *left = add("*.Example.com");
    assert_ptr_equal(find("a.example.com"), left);
    struct tls_identity *exact = add("A.example.com");
    assert_ptr_equal(find("a.EXAMPLE.com"), exact);
    assert_ptr_equal(find("b.example.com"), left);
    assert_ptr_equal(find("a.example.org"), right);
    tls_names_destroy(names);
}

TEST(a_wildcard_stands_for_one_label)
{
    assert_int_equal(tls_names_create(&names), 0);
    add("*.example.com");
    add("example.*");
    static const char *const others[] = {
        "example.com.evil", "a.b.example.com", "x.example.co", "com", "", ".", "notexample.com"};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        assert_null(find(others[i]));
    assert_non_null(find("example.com")); /* by the right one */
    assert_non_null(find("example.org"));
    tls_names_destroy(names);
}

TEST(a_lone_star_is_for_all_that_nothing_else_fits)
{
    assert_int_equal(tls_names_create(&names), 0);
    struct tls_identity *all = add("*");
    struct tls_identity *one = add("a.example");
    assert_ptr_equal(find("b.example"), all);
    assert_ptr_equal(find("a.example"), one);
    tls_names_destroy(names);
}

TEST(the_last_identity_of_a_name_counts_and_none_leaks)
{
    assert_int_equal(tls_names_create(&names), 0);
    add("a.example");
    struct tls_identity *last = add("a.example");
    assert_ptr_equal(find("a.example"), last);
    tls_names_destroy(names);
    tls_names_destroy(NULL);
}

TEST(names_that_are_too_long_are_nobodys)
{
    char text[400];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(tls_names_create(&names), 0);
    add(text);
    assert_null(find(text));
    text[255] = '\0'; /* the longest that is looked for */
    text[1] = '.';
    assert_null(find(text));
    text[1] = 'a';
    text[253] = '.';
    assert_null(find(text));
    tls_names_destroy(names);
}

/* CPU time of so many lookups among `count` names. */
static uint64_t cost_ns(struct tls_identity *identity, unsigned count)
{
    struct timespec from, to;
    char name[40];
    assert_int_equal(tls_names_create(&names), 0);
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "name%u.example", i);
        assert_int_equal(tls_names_add(names, str_of(name), identity), 0);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "name%u.example", i * 7919 % count);
        assert_ptr_equal(find(name), identity);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    tls_names_destroy(names);
    return (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)to.tv_nsec -
           (uint64_t)from.tv_nsec;
}

/* A walk over the names would cost some hundred times as much. */
TEST(a_name_among_ten_thousand_is_found_as_quickly_as_one_among_ten)
{
    struct tls_identity *identity = make();
    uint64_t few = cost_ns(identity, 10), many = cost_ns(identity, 10000);
    assert_true(many < 10 * few);
    tls_identity_unref(identity);
}

RUN(T(an_exact_name_goes_before_a_wildcard_and_left_before_right),
    T(a_wildcard_stands_for_one_label), T(a_lone_star_is_for_all_that_nothing_else_fits),
    T(the_last_identity_of_a_name_counts_and_none_leaks), T(names_that_are_too_long_are_nobodys),
    T(a_name_among_ten_thousand_is_found_as_quickly_as_one_among_ten))
