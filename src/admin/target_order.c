#include "admin/target_order.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <uv.h> /* error codes only */

#include "admin/problem.h"
#include "admin/server.h"
#include "admin/upstream_health.h"
#include "base/random.h"
#include "discovery/registry.h"
#include "health/pool_health.h"
#include "model/entity.h"

#define MAX_MESSAGE_BYTES 512
#define LIST_CHUNK 256 /* rows read from the configuration at one time */
#define EVENT_S                                                                                    \
    86400 /* so long a node may have been away and still hear of an order that only                \
             told the moment; Kong's nodes forget such after an hour */

/* An order is a row (model/health_order.c): it is carried out by each node when it comes to the
 * row, this one included, before the answer. */

struct order {
    struct admin_request *request;
    const json_t *upstream;
    struct upstream_state *state; /* borrowed; NULL: not in force */
    const json_t *row;            /* of the target; NULL: a discovered one */
    const char *address;          /* NULL: all of the stored target */
    const char *instance;         /* of the discovered one; NULL */
    bool is_healthy;
};

static const char *id_of(const json_t *row)
{
    return json_string_value(json_object_get(row, "id"));
}

/* ---- who is meant ---- */

static void answer_no_checks(const struct order *order)
{
    char message[MAX_MESSAGE_BYTES];
    snprintf(message, sizeof(message), "no healthchecker found for %s",
             json_string_value(json_object_get(order->upstream, "name")));
    admin_request_answer_message(order->request, 400, message);
}

/* Whether {t} means this target: its row's (NULL: there is none), or by its own address. */
static bool is_meant(const struct order *order, const struct target_state *target)
{
    if (order->row)
        return admin_is_target_of(order->row, target);
    return str_equal(str_of(order->request->params[1]), str_of(target->name));
}

/* How many targets {t} means, and of them how many have the one address that is named. */
static unsigned count_meant(struct order *order, unsigned *ret_named)
{
    const struct endpoints *endpoints =
        order->state ? upstream_state_endpoints(order->state) : NULL;
    unsigned known = 0;
    *ret_named = 0;
    for (uint32_t i = 0; endpoints && i < endpoints->count; i++) {
        const struct target_state *target = endpoints->items[i].target;
        if (!is_meant(order, target))
            continue;
        known++;
        if (order->address && strcmp(order->address, target->name) != 0)
            continue;
        ++*ret_named;
        if (!order->row) {
            order->address = target->name;
            order->instance = target->instance[0] ? target->instance : NULL;
        }
    }
    return known;
}

/* ---- the row ---- */

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

/* What the row is to say, as the request's input: plans are made later, maybe more than once. */
static json_t *describe(const struct order *order)
{
    char token[UUID_TEXT_BYTES];
    const char *target = order->row ? id_of(order->row) : NULL;
    random_uuid(token);
    return json_pack("{s:o, s:{s:s}, s:o, s:o, s:o, s:b, s:b, s:s}", "key",
                     json_sprintf("%s %s %s", id_of(order->upstream), target ? target : "-",
                                  order->address ? order->address : "-"),
                     "upstream", "id", id_of(order->upstream), "target",
                     target ? json_pack("{s:s}", "id", target) : json_null(), "address",
                     text_or_null(order->address), "instance", text_or_null(order->instance),
                     "healthy", (int)order->is_healthy, "stands",
                     (int)(!order->is_healthy && !pool_health_heals(order->state->health)), "token",
                     token);
}

static bool is_same_target(const json_t *a, const json_t *b)
{
    const json_t *target = json_object_get(a, "target");
    return json_is_object(target) && json_equal(target, json_object_get(b, "target"));
}

/* What this order replaces, and what has been told for long enough. */
static bool is_spent(const json_t *row, const json_t *input)
{
    if (json_equal(json_object_get(row, "key"), json_object_get(input, "key")))
        return false;
    if (json_is_null(json_object_get(input, "address")) && is_same_target(row, input))
        return true; /* all of a target: its addresses, too */
    double age_s = (double)time(NULL) - json_number_value(json_object_get(row, "updated_at"));
    return !json_is_true(json_object_get(row, "stands")) && age_s > EVENT_S;
}

static int remove_spent(struct admin_request *request, const struct config *config,
                        const struct entity *entity)
{
    const char *upstream = id_of(json_object_get(request->input, "upstream"));
    const json_t *rows[LIST_CHUNK];
    const char *after = NULL;
    bool has_more = true;
    int rc = 0;
    while (rc == 0 && has_more) {
        size_t count =
            config_list(config, entity, after, "upstream", upstream, rows, LIST_CHUNK, &has_more);
        for (size_t i = 0; rc == 0 && i < count; i++)
            if (is_spent(rows[i], request->input))
                rc = config_plan_remove(config, entity, str_of(id_of(rows[i])), NULL, NULL,
                                        &request->write.change, &request->violation);
        if (count == 0)
            break;
        after = id_of(rows[count - 1]);
    }
    return rc;
}

static struct admin_request *request_of(struct config_write *write)
{
    return LIST_ENTRY(write, struct admin_request, write);
}

static int plan_order(struct config_write *write, const struct config *config)
{
    struct admin_request *request = request_of(write);
    const struct entity *entity = entity_find(STR("health_orders"));
    const char *key = json_string_value(json_object_get(request->input, "key"));
    config_change_deinit(&write->change);
    int rc = config_plan_replace(config, entity, str_of(key), request->input, NULL, NULL,
                                 &write->change, NULL, &request->violation);
    return rc ? rc : remove_spent(request, config, entity);
}

static void on_order_done(struct config_write *write, int rc)
{
    struct admin_request *request = request_of(write);
    int status;
    if (rc == 0) {
        admin_request_answer_write(request, 204, NULL);
    } else if (request->violation.code) { /* the target has gone meanwhile */
        admin_request_answer_not_found(request);
    } else {
        json_t *body = admin_problem_of_store(rc, &status);
        request->is_temporary = status == 503;
        admin_request_answer(request, status, body);
    }
}

static void submit(const struct order *order)
{
    struct admin_request *request = order->request;
    const struct admin_node *node = request->node;
    json_decref(request->input);
    request->input = describe(order);
    if (!request->input) {
        admin_request_answer_message(request, 500, admin_problem_of_status(500));
        return;
    }
    request->write.plan = plan_order;
    request->write.done = on_order_done;
    node->submit(node->control, &request->write);
}

/* ---- the request ---- */

static void carry_out(struct order *order)
{
    struct admin_request *request = order->request;
    unsigned named;
    /* Kong's path with an address has one segment more. */
    order->address = request->segment_count == 6 ? request->params[2] : NULL;
    order->row =
        config_find(request->node->config, entity_find(STR("targets")), str_of(request->params[1]),
                    id_of(order->upstream), &request->violation);
    violation_deinit(&request->violation); /* a key that no row may have is none at all */
    memset(&request->violation, 0, sizeof(request->violation));
    unsigned known = count_meant(order, &named);
    if (!order->row && known == 0)
        admin_request_answer_not_found(request);
    else if (!order->state || !pool_health_has_checks(order->state->health))
        answer_no_checks(order);
    else if (named == 0)
        admin_request_answer_message(request, 400, "target not found");
    else
        submit(order);
}

static void obey(struct admin_request *request, bool is_healthy)
{
    const json_t *upstream = config_find(request->node->config, entity_find(STR("upstreams")),
                                         str_of(request->params[0]), NULL, &request->violation);
    if (!upstream) {
        if (request->violation.code)
            admin_request_answer_violation(request, &request->violation);
        else
            admin_request_answer_not_found(request);
        return;
    }
    struct order order = {
        .request = request,
        .upstream = upstream,
        .state = admin_upstream_state(request, upstream),
        .is_healthy = is_healthy,
    };
    carry_out(&order);
}

void admin_target_set_healthy(struct admin_request *request)
{
    obey(request, true);
}

void admin_target_set_unhealthy(struct admin_request *request)
{
    obey(request, false);
}
