#include "model/consumers.h"

#include "model/config.h"
#include "unit/model/rows.h"

#define ANN "00000000-0000-0000-0000-00000000000a"
#define BOB "00000000-0000-0000-0000-00000000000b"
#define KEY "00000000-0000-0000-0000-0000000000f1"

static void load(struct config *config, const char *kind, const char *id, const char *body)
{
    json_t *row = parse(body);
    char *text = json_dumps(row, JSON_COMPACT);
    assert_int_equal(config_load(config, kind, id, text), 0);
    free(text);
    json_decref(row);
}

static struct config *people(void)
{
    struct config *config;
    assert_int_equal(config_create(&config), 0);
    load(config, "consumers", ANN, "{'id':'" ANN "','username':'ann','custom_id':'1'}");
    load(config, "consumers", BOB, "{'id':'" BOB "','custom_id':'2'}");
    load(config, "keyauth_credentials", KEY,
         "{'id':'" KEY "','key':'k','consumer':{'id':'" ANN "'},'expires_at':4000000000}");
    return config;
}

static struct consumers *made_of(const struct config *config, struct consumers *before)
{
    struct consumers *made;
    assert_int_equal(consumers_create(config, before, &made), 0);
    return made;
}

TEST(a_consumer_is_found_by_id_and_username)
{
    struct config *config = people();
    struct consumers *all = made_of(config, NULL);
    const struct consumer *found = consumers_find(all, STR("ann"));
    assert_non_null(found);
    assert_ptr_equal(found, consumers_find(all, STR(ANN)));
    assert_non_null(consumers_find(all, STR(BOB)));
    assert_null(consumers_find(all, STR("1"))); /* a custom_id isn't one */
    assert_null(consumers_find(all, STR("")));
    consumers_unref(all);
    config_destroy(config);
}

TEST(a_credential_counts_until_it_ends_and_for_its_own_plugin)
{
    struct config *config = people();
    struct consumers *all = made_of(config, NULL);
    const struct credential *found =
        consumers_find_credential(all, CREDENTIAL_KEY, STR("k"), 3999999999);
    assert_non_null(found);
    assert_ptr_equal(found->consumer, consumers_find(all, STR("ann")));
    assert_null(consumers_find_credential(all, CREDENTIAL_KEY, STR("k"), 4000000000));
    assert_null(consumers_find_credential(all, CREDENTIAL_KEY, STR("kk"), 0));
    assert_null(consumers_find_credential(all, CREDENTIAL_JWT, STR("k"), 0));
    consumers_unref(all);
    config_destroy(config);
}

TEST(groups_are_gathered)
{
    struct config *config = people();
    for (int i = 0; i < 9; i++) {
        char id[37], body[160];
        snprintf(id, sizeof(id), "00000000-0000-0000-0000-0000000000e%d", i);
        snprintf(body, sizeof(body), "{'id':'%s','group':'g%d','consumer':{'id':'%s'}}", id, i,
                 ANN);
        load(config, "acls", id, body);
    }
    struct consumers *all = made_of(config, NULL);
    const struct consumer *found = consumers_find(all, STR("ann"));
    assert_int_equal(found->group_count, 9);
    assert_true(consumer_is_in(found, STR("g0")));
    assert_true(consumer_is_in(found, STR("g8")));
    assert_false(consumer_is_in(found, STR("g9")));
    assert_false(consumer_is_in(consumers_find(all, STR(BOB)), STR("g0")));
    consumers_unref(all);
    config_destroy(config);
}

TEST(they_are_kept_while_nothing_of_them_changes)
{
    struct config *config = people();
    struct consumers *first = made_of(config, NULL);
    load(config, "services", KEY, "{'id':'" KEY "','name':'s','host':'h'}");
    struct consumers *second = made_of(config, first);
    assert_ptr_equal(first, second);
    load(config, "acls", KEY, "{'id':'" KEY "','group':'g','consumer':{'id':'" ANN "'}}");
    struct consumers *third = made_of(config, second);
    assert_ptr_not_equal(second, third);
    assert_int_equal(consumers_find(third, STR(ANN))->group_count, 1);
    struct config *another = people();
    struct consumers *fourth = made_of(another, third);
    assert_ptr_not_equal(third, fourth);
    consumers_unref(first);
    consumers_unref(second);
    consumers_unref(third);
    consumers_unref(fourth);
    config_destroy(config);
    config_destroy(another);
}

RUN(T(a_consumer_is_found_by_id_and_username),
    T(a_credential_counts_until_it_ends_and_for_its_own_plugin), T(groups_are_gathered),
    T(they_are_kept_while_nothing_of_them_changes))
