#include "admin/kong_only.h"

#include "admin/server.h"
#include "base/log.h"

#define LEVEL_TIMEOUT_S 60 /* Kong's, unless ?timeout says otherwise; 0: for good */
#define LEVEL_TIMEOUT_MAX_S 31536000

void admin_filter_chains(struct admin_request *request)
{
    admin_request_answer_message(request, 400,
                                 "this endpoint is only available when wasm is enabled");
}

void admin_clustering(struct admin_request *request)
{
    admin_request_answer_message(request, 400,
                                 "this endpoint is only available when Kong is configured to run "
                                 "as Control Plane for the cluster");
}

void admin_dns_status(struct admin_request *request)
{
    admin_request_answer_message(request, 501, "not implemented with the legacy DNS client");
}

void admin_robots(struct admin_request *request)
{
    static const char text[] = "User-agent: *\nDisallow: /";
    char *copy = strdup(text);
    if (copy)
        admin_request_answer_text(request, "text/plain", copy, sizeof(text) - 1);
    else
        admin_request_answer_message(request, 500, "An unexpected error occurred");
}

/* weir's timers are its loops' own and are not counted. */
void admin_timers(struct admin_request *request)
{
    admin_request_answer(
        request, 200,
        json_pack("{s:{s:i, s:i}, s:{s:{s:s, s:s, s:s}, s:{s:i, s:i, s:i, s:i, s:i}, s:{}}}",
                  "worker", "id", 0, "count", (int)request->node->worker_count, "stats",
                  "flamegraph", "running", "", "pending", "", "elapsed_time", "", "sys", "total", 0,
                  "runs", 0, "running", 0, "pending", 0, "waiting", 0, "timers"));
}

/* Nothing is cached between the configuration and what is in force: nothing is ever found, and
 * there is nothing to remove. */
void admin_cache_read(struct admin_request *request)
{
    admin_request_answer_not_found(request);
}

void admin_cache_remove(struct admin_request *request)
{
    admin_request_answer(request, 204, NULL);
}

/* ---- the log's level ---- */

void admin_log_level_read(struct admin_request *request)
{
    json_t *message = json_sprintf("log level: %s", log_level_name(log_get_level()));
    admin_request_answer(request, 200, json_pack("{s:o}", "message", message));
}

static bool parse_timeout(struct admin_request *request, uint64_t *ret_s)
{
    struct str text;
    *ret_s = LEVEL_TIMEOUT_S;
    return !admin_request_query(request, "timeout", &text) ||
           (str_to_u64(text, ret_s) && *ret_s <= LEVEL_TIMEOUT_MAX_S);
}

void admin_log_level_set(struct admin_request *request)
{
    const struct admin_node *node = request->node;
    enum log_level level;
    uint64_t timeout_s;
    if (!log_level_parse(str_of(request->params[0]), &level)) {
        json_t *message = json_sprintf("unknown log level: %s", request->params[0]);
        admin_request_answer(request, 400, json_pack("{s:o}", "message", message));
    } else if (!parse_timeout(request, &timeout_s)) {
        admin_request_answer_message(request, 400, "timeout must be a number of seconds");
    } else if (level == log_get_level()) {
        json_t *message = json_sprintf("log level is already %s", request->params[0]);
        admin_request_answer(request, 200, json_pack("{s:o}", "message", message));
    } else {
        if (node->set_log_level)
            node->set_log_level(node->control, level, timeout_s * 1000);
        admin_request_answer_message(request, 200, "log level changed");
    }
}

/* Nodes don't tell each other of their logs: where others share the database, each is to be asked.
 */
void admin_log_level_cluster(struct admin_request *request)
{
    const char *database = json_string_value(json_object_get(request->node->settings, "database"));
    if (database && strcmp(database, "postgres") == 0)
        admin_request_answer_message(request, 501,
                                     "not implemented: set it on each node, at "
                                     "/debug/node/log-level");
    else
        admin_log_level_set(request);
}
