#include "plugins/chain.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/plugins/plugins.h"

#define HEAD "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

/* Its configuration is a text, which it leaves as a line. */
static void say(const void *config, const struct plugin_request *request,
                struct plugin_effect *effect)
{
    plugin_add_line(request->arena, &effect->request_lines, STR("Said"), str_of(config));
}

static void respond(const void *config, const struct plugin_request *request,
                    const struct plugin_effect *effect, struct plugin_response *response)
{
    (void)effect;
    plugin_add_line(request->arena, response->lines, STR("Responded"), str_of(config));
}

static void stop(const void *config, const struct plugin_request *request,
                 struct plugin_effect *effect)
{
    (void)config;
    (void)request;
    effect->status = 403;
}

static const struct consumer ann = {.id = STR_INIT("a")};
static const struct consumer bob = {.id = STR_INIT("b")};

static void find_bob(const void *config, const struct plugin_request *request,
                     struct plugin_effect *effect)
{
    (void)config;
    (void)request;
    effect->consumer = &bob;
}

static const struct plugin sayer = {.name = "sayer", .access = say, .respond = respond};
static const struct plugin stopper = {.name = "stopper", .access = stop};
static const struct plugin finder = {.name = "finder", .access = find_bob};

#define STEP(of, text)                                                                             \
    &(const struct plugin_step)                                                                    \
    {                                                                                              \
        .plugin = &(of), .config = (text), .protocols = PROTOCOL_HTTP                              \
    }

static struct plugin_steps_of_consumers *own_row(const struct consumer *consumer, const char *text)
{
    static struct plugin_step steps[8];
    static unsigned count;
    struct plugin_steps_of_consumers *made = malloc(sizeof(*made) + sizeof(made->items[0]));
    struct plugin_step *step = &steps[count++ % 8];
    *step = (struct plugin_step){.plugin = &sayer, .config = text, .protocols = PROTOCOL_HTTP};
    made->count = 1;
    made->items[0] = (struct plugin_step_of_consumer){consumer->id, step};
    return made;
}

static void says(const struct consumer *consumer, const struct plugin_place *place,
                 const char *wanted)
{
    struct seen seen;
    seen_init(&seen, HEAD);
    struct plugin_chain *chain = malloc(sizeof(*chain) + sizeof(chain->places[0]));
    chain->count = 1;
    chain->places[0] = *place;
    struct plugin_run *run = plugin_run_create(chain, &seen.request);
    run->effect.consumer = consumer;
    plugin_run_access(run);
    assert_str(run->effect.request_lines, wanted);
    free(chain);
    seen_deinit(&seen);
}

TEST(the_most_specific_row_of_a_plugin_runs)
{
    struct plugin_steps_of_consumers *here = own_row(&ann, "here");
    struct plugin_steps_of_consumers *anywhere = own_row(&ann, "anywhere");
    const struct plugin_step *base = STEP(sayer, "base");
    says(&ann, &(struct plugin_place){base, false, here, anywhere}, "Said: here\r\n");
    says(&ann, &(struct plugin_place){base, true, here, anywhere}, "Said: here\r\n");
    says(&ann, &(struct plugin_place){base, false, NULL, anywhere}, "Said: anywhere\r\n");
    says(&ann, &(struct plugin_place){base, true, NULL, anywhere}, "Said: base\r\n");
    says(&ann, &(struct plugin_place){NULL, false, NULL, anywhere}, "Said: anywhere\r\n");
    says(&bob, &(struct plugin_place){base, false, here, anywhere}, "Said: base\r\n");
    says(NULL, &(struct plugin_place){base, false, here, anywhere}, "Said: base\r\n");
    says(&bob, &(struct plugin_place){NULL, false, here, anywhere}, "");
    free(here);
    free(anywhere);
}

/* A chain of up to three places that are for everybody. */
static struct plugin_chain *chain_of(const struct plugin_step *a, const struct plugin_step *b,
                                     const struct plugin_step *c)
{
    const struct plugin_step *steps[] = {a, b, c};
    struct plugin_chain *chain = calloc(1, sizeof(*chain) + 3 * sizeof(chain->places[0]));
    for (int i = 0; i < 3 && steps[i]; i++)
        chain->places[chain->count++] = (struct plugin_place){.base = steps[i]};
    return chain;
}

TEST(an_answer_ends_access_but_all_respond)
{
    struct seen seen;
    struct str lines = STR_EMPTY;
    struct plugin_response response = {.status = 403, .lines = &lines};
    struct plugin_chain *chain = chain_of(STEP(sayer, "1"), STEP(stopper, ""), STEP(sayer, "2"));
    seen_init(&seen, HEAD);
    struct plugin_run *run = plugin_run_create(chain, &seen.request);
    plugin_run_access(run);
    assert_int_equal(run->effect.status, 403);
    assert_str(run->effect.request_lines, "Said: 1\r\n");
    assert_true(plugin_run_respond(run, &response));
    assert_str(lines, "Responded: 1\r\nResponded: 2\r\n");
    free(chain);
    seen_deinit(&seen);
}

static void says_by_protocols(uint32_t protocols, bool is_secure, const char *wanted)
{
    struct seen seen;
    struct str lines = STR_EMPTY;
    struct plugin_response response = {.status = 200, .lines = &lines};
    const struct plugin_step step = {&sayer, "1", protocols};
    struct plugin_chain *chain = chain_of(&step, NULL, NULL);
    seen_init(&seen, HEAD);
    seen.request.is_secure = is_secure;
    struct plugin_run *run = plugin_run_create(chain, &seen.request);
    plugin_run_access(run);
    plugin_run_respond(run, &response);
    assert_str(run->effect.request_lines, wanted);
    assert_int_equal(lines.len > 0, wanted[0] != '\0');
    free(chain);
    seen_deinit(&seen);
}

TEST(a_row_for_requests_runs_on_all_of_them)
{
    static const uint32_t protocols[] = {PROTOCOL_HTTP, PROTOCOL_HTTPS, PROTOCOL_GRPC,
                                         PROTOCOL_GRPCS};
    for (int i = 0; i < 4; i++) {
        says_by_protocols(protocols[i], false, "Said: 1\r\n");
        says_by_protocols(protocols[i], true, "Said: 1\r\n");
    }
}

TEST(what_is_for_streams_does_nothing_to_requests)
{
    says_by_protocols(PROTOCOL_TCP | PROTOCOL_TLS, false, "");
    says_by_protocols(PROTOCOL_TCP | PROTOCOL_TLS, true, "");
}

TEST(what_is_for_streams_hides_nothing)
{
    struct plugin_steps_of_consumers *here = own_row(&ann, "here");
    struct plugin_steps_of_consumers *anywhere = own_row(&ann, "anywhere");
    const struct plugin_step stream = {&sayer, "stream", PROTOCOL_TCP};
    here->items[0].step = &stream;
    says(&ann, &(struct plugin_place){STEP(sayer, "base"), false, here, NULL}, "Said: base\r\n");
    says(&ann, &(struct plugin_place){&stream, true, here, anywhere}, "Said: anywhere\r\n");
    free(here);
    free(anywhere);
}

TEST(a_row_for_streams_runs_on_all_of_them)
{
    static const struct plugin streamer = {
        .name = "streamer", .access = stop, .serves_streams = true};
    static const uint32_t protocols[] = {PROTOCOL_TCP, PROTOCOL_TLS, PROTOCOL_TLS_PASSTHROUGH};
    const struct plugin_request request = {.is_secure = true};
    for (int i = 0; i < 4; i++) {
        const struct plugin_step step = {&streamer, "", i < 3 ? protocols[i] : PROTOCOL_HTTP};
        struct plugin_chain *chain = chain_of(&step, NULL, NULL);
        struct plugin_effect effect = {.status = 0};
        plugin_chain_access_stream(chain, &request, &effect);
        assert_int_equal(effect.status, i < 3 ? 403 : 0);
        free(chain);
    }
}

static void ask_for_much(const void *config, const struct plugin_request *request,
                         struct plugin_effect *effect)
{
    (void)config;
    (void)effect;
    arena_alloc(request->arena, SIZE_MAX);
}

static void respond_with_much(const void *config, const struct plugin_request *request,
                              const struct plugin_effect *effect, struct plugin_response *response)
{
    (void)config;
    (void)effect;
    (void)response;
    arena_alloc(request->arena, SIZE_MAX);
}

TEST(what_has_no_memory_lets_nothing_pass)
{
    static const struct plugin asker = {.name = "asker", .access = ask_for_much};
    struct seen seen;
    struct plugin_chain *chain = chain_of(STEP(asker, ""), STEP(sayer, "1"), NULL);
    seen_init(&seen, HEAD);
    struct plugin_run *run = plugin_run_create(chain, &seen.request);
    plugin_run_access(run);
    assert_int_equal(run->effect.status, 500);
    assert_str(run->effect.request_lines, "");
    free(chain);
    seen_deinit(&seen);
}

TEST(what_has_no_memory_for_a_response_says_so)
{
    static const struct plugin asker = {.name = "asker", .respond = respond_with_much};
    struct seen seen;
    struct str lines = STR_EMPTY;
    struct plugin_response response = {.status = 200, .lines = &lines};
    struct plugin_chain *chain = chain_of(STEP(sayer, "1"), STEP(asker, ""), NULL);
    seen_init(&seen, HEAD);
    struct plugin_run *run = plugin_run_create(chain, &seen.request);
    plugin_run_access(run);
    assert_int_equal(run->effect.status, 0);
    assert_false(plugin_run_respond(run, &response));
    free(chain);
    seen_deinit(&seen);
}

TEST(a_consumer_counts_from_where_it_is_found)
{
    struct seen seen;
    struct plugin_steps_of_consumers *own = own_row(&bob, "bob's");
    struct plugin_chain *chain = chain_of(STEP(sayer, "1"), STEP(finder, ""), STEP(sayer, "2"));
    chain->places[0].here = chain->places[2].here = own;
    seen_init(&seen, HEAD);
    struct plugin_run *run = plugin_run_create(chain, &seen.request);
    plugin_run_access(run);
    assert_str(run->effect.request_lines, "Said: 1\r\nSaid: bob's\r\n");
    free(chain);
    free(own);
    seen_deinit(&seen);
}

TEST(one_of_many_consumers_is_found)
{
    static char ids[100][4];
    struct plugin_steps_of_consumers *many = malloc(sizeof(*many) + 100 * sizeof(many->items[0]));
    many->count = 100;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(ids[i], sizeof(ids[i]), "%03u", i % 1000);
        many->items[i] = (struct plugin_step_of_consumer){str_make(ids[i], 3), STEP(sayer, ids[i])};
        struct plugin_step *step = malloc(sizeof(*step));
        *step = *many->items[i].step;
        many->items[i].step = step;
    }
    struct consumer one = {.id = STR("042")}, longer = {.id = STR("0421")};
    says(&one, &(struct plugin_place){NULL, false, many, NULL}, "Said: 042\r\n");
    says(&longer, &(struct plugin_place){NULL, false, many, NULL}, "");
    for (unsigned i = 0; i < 100; i++)
        free((void *)many->items[i].step);
    free(many);
}

RUN(T(the_most_specific_row_of_a_plugin_runs), T(an_answer_ends_access_but_all_respond),
    T(a_row_for_requests_runs_on_all_of_them), T(what_is_for_streams_does_nothing_to_requests),
    T(what_is_for_streams_hides_nothing), T(a_row_for_streams_runs_on_all_of_them),
    T(what_has_no_memory_lets_nothing_pass), T(what_has_no_memory_for_a_response_says_so),
    T(a_consumer_counts_from_where_it_is_found), T(one_of_many_consumers_is_found))
