#include "health/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void events_init(struct events *events)
{
    memset(events, 0, sizeof(*events));
    events->next = 1;
    list_init(&events->listeners);
}

void events_deinit(struct events *events)
{
    for (size_t i = 0; i < EVENTS_KEPT; i++)
        free(events->texts[i]);
}

/* "target.health, out: probe": types and reasons are few. */
static void count(struct events *events, const json_t *event)
{
    char text[TALLY_TEXT_BYTES];
    const char *type = json_string_value(json_object_get(event, "type"));
    const json_t *takes_traffic = json_object_get(event, "takes_traffic");
    const char *reasons = json_string_value(json_object_get(event, "reasons"));
    if (!type)
        return;
    snprintf(text, sizeof(text), "%s%s%s%s", type,
             !takes_traffic                ? ""
             : json_is_true(takes_traffic) ? ", in"
                                           : ", out",
             reasons && reasons[0] ? ": " : "", reasons ? reasons : "");
    tally_count(&events->counts, 0, str_of(text));
}

void events_add(struct events *events, json_t *event)
{
    if (event)
        count(events, event);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double seconds = (double)now.tv_sec + (double)(now.tv_nsec / 1000000) / 1000.0;
    if (event)
        json_object_set_new(event, "time", json_real(seconds));
    char *text = event ? json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(event);
    if (!text)
        return;
    uint64_t number = events->next++;
    free(events->texts[number % EVENTS_KEPT]);
    events->texts[number % EVENTS_KEPT] = text;
    LIST_EACH(link, &events->listeners)
    {
        struct events_listener *listener = LIST_ENTRY(link, struct events_listener, link);
        listener->on_event(listener, number, text);
    }
}

const char *events_text(const struct events *events, uint64_t number)
{
    bool is_kept = number < events->next && number > 0 && number + EVENTS_KEPT >= events->next;
    return is_kept ? events->texts[number % EVENTS_KEPT] : NULL;
}
