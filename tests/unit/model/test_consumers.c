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

/* value -1: the row goes; consumer -1: it is one itself. */
static void store(struct config *config, const char *kind, int number, const char *field,
                  const char *text, int value, int consumer)
{
    char id[37];
    bool changed;
    struct error why;
    snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", number);
    json_t *row = json_pack("{s:s, s:o}", "id", id, field, json_sprintf("%s-%d", text, value));
    if (consumer >= 0)
        json_object_set_new(
            row, "consumer",
            json_pack("{s:o}", "id", json_sprintf("00000000-0000-4000-8000-%012d", consumer)));
    char *body = json_dumps(row, JSON_COMPACT);
    assert_true(config_take_row(config, kind, id, value < 0 ? NULL : body, &changed, &why) >= 0);
    free(body);
    json_decref(row);
}

#define PEOPLE 40

/* One change of one of the kinds: a row comes, goes, or gets another name or owner. */
static void change_something(struct config *config)
{
    int number = rand() % PEOPLE, owner = rand() % PEOPLE;
    int value = rand() % 4 == 0 ? -1 : number + PEOPLE * (rand() % 3);
    switch (rand() % 3) {
    case 0:
        store(config, "consumers", number, "username", "user", value, -1);
        break;
    case 1:
        store(config, "keyauth_credentials", number, "key", "key", value, owner);
        break;
    default:
        store(config, "acls", number, "group", "group", value, owner);
        break;
    }
}

static void assert_same_consumer(const struct consumer *one, const struct consumer *other)
{
    assert_int_equal(one != NULL, other != NULL);
    if (!one)
        return;
    assert_true(str_equal(one->id, other->id));
    assert_true(str_equal(one->username, other->username));
    assert_int_equal(one->group_count, other->group_count);
    for (uint32_t i = 0; i < one->group_count; i++)
        assert_true(consumer_is_in(other, one->groups[i]));
}

static void assert_same_people(const struct consumers *one, const struct consumers *other)
{
    char name[48];
    for (int i = 0; i < 3 * PEOPLE; i++) {
        snprintf(name, sizeof(name), "00000000-0000-4000-8000-%012d", i);
        assert_same_consumer(consumers_find(one, str_of(name)),
                             consumers_find(other, str_of(name)));
        snprintf(name, sizeof(name), "user-%d", i);
        assert_same_consumer(consumers_find(one, str_of(name)),
                             consumers_find(other, str_of(name)));
        snprintf(name, sizeof(name), "key-%d", i);
        const struct credential *a =
            consumers_find_credential(one, CREDENTIAL_KEY, str_of(name), 0);
        const struct credential *b =
            consumers_find_credential(other, CREDENTIAL_KEY, str_of(name), 0);
        assert_int_equal(a != NULL, b != NULL);
        if (a)
            assert_same_consumer(a->consumer, b->consumer);
    }
}

TEST(what_follows_changes_is_what_is_made_anew_and_older_ones_stay_as_they_were)
{
    struct config *config;
    assert_int_equal(config_create(&config), 0);
    struct consumers *now = made_of(config, NULL);
    srand(7);
    for (int round = 0; round < 400; round++) {
        struct consumers *copy = made_of(config, NULL);
        int changes = round % 50 == 49 ? 300 : rand() % 4; /* more than is remembered */
        for (int i = 0; i < changes; i++)
            change_something(config);
        struct consumers *next = made_of(config, now), *fresh = made_of(config, NULL);
        assert_same_people(next, fresh);
        assert_same_people(now, copy);
        consumers_unref(copy);
        consumers_unref(fresh);
        consumers_unref(now);
        now = next;
    }
    consumers_unref(now);
    config_destroy(config);
}

TEST(a_change_of_one_leaves_the_others_where_they_are)
{
    struct config *config = people();
    struct consumers *first = made_of(config, NULL);
    load(config, "acls", KEY, "{'id':'" KEY "','group':'g','consumer':{'id':'" BOB "'}}");
    struct consumers *second = made_of(config, first);
    assert_ptr_equal(consumers_find(first, STR(ANN)), consumers_find(second, STR(ANN)));
    assert_ptr_not_equal(consumers_find(first, STR(BOB)), consumers_find(second, STR(BOB)));
    consumers_unref(first);
    consumers_unref(second);
    config_destroy(config);
}

RUN(T(what_follows_changes_is_what_is_made_anew_and_older_ones_stay_as_they_were),
    T(a_change_of_one_leaves_the_others_where_they_are), T(a_consumer_is_found_by_id_and_username),
    T(a_credential_counts_until_it_ends_and_for_its_own_plugin), T(groups_are_gathered),
    T(they_are_kept_while_nothing_of_them_changes))
