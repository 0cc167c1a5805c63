#include "control/node_id.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/test.h"

static char dir[64], file[96];

static void make_folder(void)
{
    strcpy(dir, "/tmp/weir-node-id-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/node_id", dir);
}

static void remove_folder(void)
{
    char command[96];
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static void write_text(const char *text)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

TEST(the_id_is_the_same_with_the_next_start)
{
    struct node_id first, second;
    make_folder();
    node_id_init(&first, dir);
    assert_int_equal(strlen(first.text), 36);
    node_id_deinit(&first);
    node_id_init(&second, dir);
    assert_string_equal(second.text, first.text);
    assert_false(node_id_claim(&second)); /* it is its own already */
    node_id_deinit(&second);
    node_id_deinit(&second);
    remove_folder();
}

TEST(the_folder_is_made_with_those_above_it)
{
    struct node_id first, second;
    char deep[128];
    make_folder();
    snprintf(deep, sizeof(deep), "%s/a/b", dir);
    node_id_init(&first, deep);
    node_id_deinit(&first);
    node_id_init(&second, deep);
    assert_string_equal(second.text, first.text);
    node_id_deinit(&second);
    remove_folder();
}

TEST(a_second_process_has_another_id_until_the_first_has_ended)
{
    struct node_id first, second;
    char before[UUID_TEXT_BYTES];
    make_folder();
    node_id_init(&first, dir);
    node_id_init(&second, dir);
    memcpy(before, second.text, sizeof(before));
    assert_string_not_equal(second.text, first.text);
    assert_false(node_id_claim(&second));
    assert_string_equal(second.text, before);
    node_id_deinit(&first);
    assert_true(node_id_claim(&second));
    assert_string_equal(second.text, first.text);
    assert_false(node_id_claim(&second));
    node_id_deinit(&second);
    remove_folder();
}

TEST(what_is_no_id_is_replaced_by_one)
{
    static const char *const contents[] = {"", "nonsense\n", "5c80def6-d59c-4e17-8935",
                                           "5c80def6-d59c-4e17-8935-ada113bd544x\n"};
    make_folder();
    for (size_t i = 0; i < sizeof(contents) / sizeof(*contents); i++) {
        struct node_id first, second;
        write_text(contents[i]);
        node_id_init(&first, dir);
        node_id_deinit(&first);
        node_id_init(&second, dir);
        assert_string_equal(second.text, first.text);
        node_id_deinit(&second);
    }
    remove_folder();
}

TEST(an_id_that_somebody_put_there_is_used)
{
    struct node_id id;
    make_folder();
    write_text("5C80DEF6-d59c-4e17-8935-ada113bd5448"); /* kong.id has no end of line */
    node_id_init(&id, dir);
    assert_string_equal(id.text, "5c80def6-d59c-4e17-8935-ada113bd5448");
    node_id_deinit(&id);
    remove_folder();
}

TEST(without_a_folder_the_id_lasts_as_long_as_the_process)
{
    struct node_id id;
    char before[UUID_TEXT_BYTES];
    node_id_init(&id, "/dev/null/weir");
    assert_int_equal(strlen(id.text), 36);
    memcpy(before, id.text, sizeof(before));
    assert_false(node_id_claim(&id));
    assert_string_equal(id.text, before);
    node_id_deinit(&id);
}

RUN(T(the_id_is_the_same_with_the_next_start), T(the_folder_is_made_with_those_above_it),
    T(a_second_process_has_another_id_until_the_first_has_ended),
    T(what_is_no_id_is_replaced_by_one), T(an_id_that_somebody_put_there_is_used),
    T(without_a_folder_the_id_lasts_as_long_as_the_process))
