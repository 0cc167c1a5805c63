/* health.h - targets and rules for the tests of health/. */
#ifndef UNIT_HEALTH_H
#define UNIT_HEALTH_H

#include <jansson.h>
#include <uv.h>

#include "model/health_rules.h"
#include "model/target_state.h"
#include "unit/test.h"

static inline struct target_state *target_at(const char *ip, uint16_t port)
{
    struct sockaddr_in address;
    struct target_state *target;
    assert_int_equal(uv_ip4_addr(ip, port, &address), 0);
    const struct target_identity identity = {.host = str_of(ip),
                                             .address = (const struct sockaddr *)&address};
    assert_int_equal(target_state_create(&identity, 1, &target), 0);
    return target;
}

/* From a record that says only what matters: the statuses are Kong's. */
static inline struct health_rules *rules_from(const char *active, const char *passive)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "{\"threshold\":0,\"active\":{\"healthy\":{\"http_statuses\":[200,302]},"
             "\"unhealthy\":{\"http_statuses\":[429,404,500]}},"
             "\"passive\":{\"healthy\":{\"http_statuses\":[200]},"
             "\"unhealthy\":{\"http_statuses\":[429,500,503]}}}");
    json_t *record = json_loads(text, 0, NULL);
    json_t *more = json_loads(active, 0, NULL);
    assert_non_null(record);
    assert_non_null(more);
    json_object_update_recursive(json_object_get(record, "active"), more);
    json_decref(more);
    assert_non_null(more = json_loads(passive, 0, NULL));
    json_object_update_recursive(json_object_get(record, "passive"), more);
    json_decref(more);
    struct health_rules *rules;
    assert_int_equal(health_rules_create(record, STR_EMPTY, &rules), 0);
    json_decref(record);
    return rules;
}

static inline uint32_t word_of(const struct target_state *target)
{
    return atomic_load(&target->health);
}

#endif
