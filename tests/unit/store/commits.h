/* commits.h - how the tests of a store's engine write, wait and read, whichever engine it is. The
 * program that includes it has a `loop` and a `store`, and includes it after those. */
#ifndef TESTS_UNIT_STORE_COMMITS_H
#define TESTS_UNIT_STORE_COMMITS_H

/* Runs the loop until the condition is true, but not for ever. */
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        uint64_t deadline_ = uv_hrtime() + 60000000000U;                                           \
        while (!(condition)) {                                                                     \
            if (uv_hrtime() > deadline_)                                                           \
                fail_msg("not in time: " #condition);                                              \
            if (!uv_run(&loop, UV_RUN_NOWAIT) || !(condition))                                     \
                usleep(200);                                                                       \
        }                                                                                          \
    } while (0)

/* ---- commits ---- */

static inline void on_done(void *arg, int rc)
{
    *(int *)arg = rc;
}

static inline int commit_ops(const struct store_op *ops, size_t count)
{
    int result = UV_EAGAIN; /* another node was first: once more, knowing that */
    while (result == UV_EAGAIN) {
        result = 1;
        assert_int_equal(store_commit(store, ops, count, on_done, &result), 0);
        assert_int_equal(result, 1); /* never before it returns */
        AWAIT(result != 1);
    }
    return result;
}

/* The UUID that stands for a short name, such as "s1", whose letters are in its end. */
static inline const char *uid(const char *name)
{
    static char pool[64][UUID_TEXT_BYTES];
    static unsigned next;
    char *text = pool[next++ % 64];
    strcpy(text, "00000000-0000-4000-8000-000000000000");
    char *at = text + 24;
    for (; *name; name++, at += 2) {
        static const char hex[] = "0123456789abcdef";
        at[0] = hex[(unsigned char)*name >> 4];
        at[1] = hex[*name & 15];
    }
    return text;
}

/* Back: "s1". */
static inline const char *name_of(const char *id)
{
    static char name[8];
    size_t len = 0;
    for (const char *at = id + 24; at[0] && strncmp(at, "00", 2) != 0; at += 2) {
        unsigned byte;
        sscanf(at, "%2x", &byte);
        name[len++] = (char)byte;
    }
    name[len] = '\0';
    return name;
}

#define COMMIT(...)                                                                                \
    commit_ops((struct store_op[]){__VA_ARGS__},                                                   \
               sizeof((struct store_op[]){__VA_ARGS__}) / sizeof(struct store_op))
#define KEY(f, v) .keys = (struct store_key[]){{f, v}}, .key_count = 1
#define REF(f, k, i) .refs = (struct store_ref[]){{f, k, uid(i)}}, .ref_count = 1
#define PUT(k, i, b, ...)                                                                          \
    {                                                                                              \
        .op = STORE_PUT, .kind = k, .id = uid(i), .body = b, ##__VA_ARGS__                         \
    }
#define REMOVE(k, i)                                                                               \
    {                                                                                              \
        .op = STORE_REMOVE, .kind = k, .id = uid(i)                                                \
    }

static char rows[65536]; /* "services s1 {}\n…" */

static inline int collect_row(void *arg, const char *kind, const char *id, const char *body)
{
    (void)arg;
    size_t len = strlen(rows);
    snprintf(rows + len, sizeof(rows) - len, "%s %s %s\n", kind, name_of(id), body);
    return 0;
}

static inline const char *load(void)
{
    rows[0] = '\0';
    assert_int_equal(store_load_all(store, collect_row, NULL, &err), 0);
    return rows;
}

#endif
