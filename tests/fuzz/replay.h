/* replay.h - a fuzz target run on its corpus, and on inputs mutated from it, in a unit test: for
 * where no fuzzer is at hand. The mutations are the same in each run. */
#ifndef FUZZ_REPLAY_H
#define FUZZ_REPLAY_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The data folder's parent; the folder itself need not be there. */
#define TESTS_DIR_LEN (int)(sizeof(TEST_DATA_DIR) - sizeof("data"))
#define MAX_INPUTS 64
#define MAX_INPUT_BYTES 4096
#define DEFAULT_MUTATIONS 300 /* of each input; WEIR_FUZZ_MUTATIONS sets another number */

typedef int (*fuzz_cb)(const uint8_t *data, size_t size);

struct input {
    uint8_t bytes[MAX_INPUT_BYTES];
    size_t len;
};

static struct input inputs[MAX_INPUTS];
static unsigned input_count;
static uint64_t random_state;

static size_t roll(size_t sides)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(random_state >> 33) % sides;
}

static void read_corpus(const char *name)
{
    char path[1024];
    snprintf(path, sizeof(path), "%.*sfuzz/corpus/%s", TESTS_DIR_LEN, TEST_DATA_DIR, name);
    DIR *dir = opendir(path);
    if (!dir)
        fail_msg("no corpus: %s", path);
    input_count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) && input_count < MAX_INPUTS;) {
        if (entry->d_name[0] == '.')
            continue;
        char file_path[2048];
        snprintf(file_path, sizeof(file_path), "%s/%s", path, entry->d_name);
        FILE *file = fopen(file_path, "rb");
        assert_non_null(file);
        inputs[input_count].len = fread(inputs[input_count].bytes, 1, MAX_INPUT_BYTES, file);
        fclose(file);
        input_count++;
    }
    closedir(dir);
    assert_true(input_count > 5);
}

/* Overwrites, inserts, removes, or takes a piece of another input. */
static void mutate(struct input *input)
{
    static const char telling[] = "\r\n\r\n :,;/.%?#0fF-\t\0\x7f\xff*[]1a{}\"";
    size_t at = input->len ? roll(input->len) : 0;
    switch (roll(4)) {
    case 0:
        if (input->len)
            input->bytes[at] =
                roll(4) ? (uint8_t)telling[roll(sizeof(telling))] : (uint8_t)roll(256);
        break;
    case 1:
        if (input->len < MAX_INPUT_BYTES) {
            memmove(input->bytes + at + 1, input->bytes + at, input->len - at);
            input->bytes[at] = (uint8_t)telling[roll(sizeof(telling))];
            input->len++;
        }
        break;
    case 2: {
        size_t count = input->len ? roll(input->len - at) % 8 : 0;
        memmove(input->bytes + at, input->bytes + at + count, input->len - at - count);
        input->len -= count;
        break;
    }
    default: {
        const struct input *other = &inputs[roll(input_count)];
        size_t from = other->len ? roll(other->len) : 0;
        size_t count = other->len - from < 40 ? other->len - from : 40;
        if (count > MAX_INPUT_BYTES - at)
            count = MAX_INPUT_BYTES - at;
        memcpy(input->bytes + at, other->bytes + from, count);
        if (at + count > input->len)
            input->len = at + count;
    }
    }
}

/* A copy of just its size: sanitizers see a read past its end. */
static void run(fuzz_cb target, const struct input *input)
{
    uint8_t *copy = malloc(input->len ? input->len : 1);
    memcpy(copy, input->bytes, input->len);
    target(copy, input->len);
    free(copy);
}

static void replay(fuzz_cb target, const char *corpus)
{
    const char *setting = getenv("WEIR_FUZZ_MUTATIONS");
    long mutations = setting ? atol(setting) : DEFAULT_MUTATIONS;
    read_corpus(corpus);
    random_state = 1;
    for (unsigned i = 0; i < input_count; i++) {
        run(target, &inputs[i]);
        struct input input = inputs[i];
        for (long j = 0; j < mutations; j++) {
            if (j % 10 == 0)
                input = inputs[i];
            mutate(&input);
            run(target, &input);
        }
    }
}

#endif
