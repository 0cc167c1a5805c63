#include "proxy/router_regex.h"

#include <pthread.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <uv.h> /* error codes only */

/* What OpenResty allows by default: a path that needs more is an attack on the regex. */
#define MATCH_LIMIT 100000
/* PCRE2's own 32 KiB of stack are short for groups that repeat over a long path. */
#define JIT_STACK_START_BYTES 4096
#define JIT_STACK_MAX_BYTES 262144
/* For patterns that the JIT compiler does not take. */
#define HEAP_LIMIT_KIB 256
#define MAX_GROUP_NAME_BYTES 33 /* PCRE2 allows 32, and the terminator */

/* What a thread needs to run a regex. */
struct bench {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static _Thread_local struct bench *own_bench;
static pthread_key_t bench_key; /* ends a thread's bench with the thread */
static pthread_once_t bench_key_once = PTHREAD_ONCE_INIT;

static const pcre2_code *code_of(const struct router_regex *regex)
{
    return (const pcre2_code *)regex;
}

static void destroy_bench(void *arg)
{
    struct bench *bench = arg;
    pcre2_match_data_free(bench->data);
    pcre2_match_context_free(bench->context);
    pcre2_jit_stack_free(bench->stack);
    free(bench);
}

static void create_key(void)
{
    if (pthread_key_create(&bench_key, destroy_bench) != 0)
        abort();
}

static struct bench *create_bench(void)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (!bench)
        return NULL;
    /* Captures are of no interest: one pair of offsets is the match itself. */
    bench->data = pcre2_match_data_create(1, NULL);
    bench->context = pcre2_match_context_create(NULL);
    bench->stack = pcre2_jit_stack_create(JIT_STACK_START_BYTES, JIT_STACK_MAX_BYTES, NULL);
    if (!bench->data || !bench->context || !bench->stack) {
        destroy_bench(bench);
        return NULL;
    }
    pcre2_set_match_limit(bench->context, MATCH_LIMIT);
    pcre2_set_heap_limit(bench->context, HEAP_LIMIT_KIB);
    pcre2_jit_stack_assign(bench->context, NULL, bench->stack);
    return bench;
}

static struct bench *get_bench(void)
{
    if (own_bench)
        return own_bench;
    pthread_once(&bench_key_once, create_key);
    struct bench *bench = create_bench();
    if (bench && pthread_setspecific(bench_key, bench) == 0)
        own_bench = bench;
    else if (bench)
        destroy_bench(bench);
    return own_bench;
}

int router_regex_compile(struct str pattern, bool anchored, bool ignore_case,
                         struct router_regex **ret, char *message, size_t size)
{
    /* "$" is the end and not also what stands before a last newline, which %0A can put there. */
    uint32_t options = PCRE2_DOLLAR_ENDONLY;
    int error;
    size_t at;
    if (anchored)
        options |= PCRE2_ANCHORED;
    if (ignore_case)
        options |= PCRE2_CASELESS;

    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &error, &at, NULL);
    if (!code) {
        if (error == PCRE2_ERROR_HEAP_FAILED)
            return UV_ENOMEM;
        pcre2_get_error_message(error, (PCRE2_UCHAR *)message, size);
        return UV_EINVAL;
    }
    /* Without JIT it runs all the same. */
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    *ret = (struct router_regex *)code;
    return 0;
}

void router_regex_destroy(struct router_regex *regex)
{
    pcre2_code_free((pcre2_code *)regex);
}

bool router_regex_match(const struct router_regex *regex, struct str subject, size_t *ret_end)
{
    struct bench *bench = get_bench();
    if (!bench)
        return false;
    int rc = pcre2_match(code_of(regex), (PCRE2_SPTR)(subject.len ? subject.ptr : ""), subject.len,
                         0, 0, bench->data, bench->context);
    if (rc < 0) /* no match, a limit, or bytes that are no UTF-8 where the pattern wants it */
        return false;
    *ret_end = pcre2_get_ovector_pointer(bench->data)[1];
    return true;
}

static bool capture(const struct router_regex *regex, struct str subject, uint32_t group,
                    struct str *ret)
{
    struct bench *bench = get_bench();
    pcre2_match_data *data =
        bench ? pcre2_match_data_create_from_pattern(code_of(regex), NULL) : NULL;
    if (!data)
        return false;
    int rc = pcre2_match(code_of(regex), (PCRE2_SPTR)subject.ptr, subject.len, 0, 0, data,
                         bench->context);
    const size_t *pair = pcre2_get_ovector_pointer(data) + 2 * (size_t)group;
    bool has_taken = rc > (int)group && pair[0] != PCRE2_UNSET && pair[1] > pair[0];
    if (has_taken)
        *ret = str_make(subject.ptr + pair[0], pair[1] - pair[0]);
    pcre2_match_data_free(data);
    return has_taken;
}

bool router_regex_capture(const struct router_regex *regex, struct str subject, struct str name,
                          struct str *ret)
{
    char text[MAX_GROUP_NAME_BYTES];
    if (name.len >= sizeof(text) || !subject.len)
        return false;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    int group = pcre2_substring_number_from_name(code_of(regex), (PCRE2_SPTR)text);
    return group > 0 && capture(regex, subject, (uint32_t)group, ret);
}

bool router_regex_capture_number(const struct router_regex *regex, struct str subject,
                                 uint64_t number, struct str *ret)
{
    uint32_t count = 0;
    pcre2_pattern_info(code_of(regex), PCRE2_INFO_CAPTURECOUNT, &count);
    return subject.len > 0 && number <= count && capture(regex, subject, (uint32_t)number, ret);
}

/* Whether the alternatives of the pattern are all inside of groups. False also for what this quick
 * look does not understand: then a '|' may be anything. */
static bool has_one_alternative(struct str pattern)
{
    unsigned depth = 0;
    if (!pattern.len || !memchr(pattern.ptr, '|', pattern.len))
        return true;
    for (size_t i = 0; i < pattern.len; i++) {
        switch (pattern.ptr[i]) {
        case '\\':
            i++;
            if (i == pattern.len || !strchr("dDwWsSbB./-_+*?()[]{}|^$", pattern.ptr[i]))
                return false;
            break;
        case '[': /* a class may hold anything, even brackets */
        case '#': /* may start a comment */
            return false;
        case '(':
            depth++;
            break;
        case ')':
            depth -= depth > 0;
            break;
        case '|':
            if (depth == 0)
                return false;
            break;
        default:
            break;
        }
    }
    return true;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The one byte that the pattern's next element stands for, as *ret; its length in the pattern, 0
 * when it stands for more than one thing. */
static size_t literal_at(struct str pattern, size_t at, char *ret)
{
    char c = pattern.ptr[at];
    if (c == '\\') {
        if (at + 1 == pattern.len || is_alphanumeric(pattern.ptr[at + 1]))
            return 0;
        *ret = pattern.ptr[at + 1];
        return 2;
    }
    if (strchr("^$.|?*+()[]{}", c)) /* the NUL too */
        return 0;
    *ret = c;
    return 1;
}

size_t router_regex_literal_prefix(struct str pattern, char *out)
{
    size_t at = 0, len = 0, taken;
    if (!has_one_alternative(pattern))
        return 0;
    if (pattern.len > 0 && pattern.ptr[0] == '^')
        at = 1;
    while (at < pattern.len && (taken = literal_at(pattern, at, &out[len])) > 0) {
        at += taken;
        /* "a?", "a*" and "a{0}" match without their "a". */
        if (at < pattern.len && strchr("?*{", pattern.ptr[at]))
            break;
        len++;
    }
    return len;
}
