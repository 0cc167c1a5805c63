/* bell_line.h - follows one list of Consul's by blocking queries, by the rules that watches of
 * services follow (consul_watch.h): the index is forgotten after any error and when it goes back, a
 * read without index comes now and then, failures are asked again with jitter. What an answer
 * changes is told by name (bell_table.h).
 *
 * Thread: the control loop. Memory: embedded; the bytes of an answer are not kept. */
#ifndef DISCOVERY_BELL_LINE_H
#define DISCOVERY_BELL_LINE_H

#include "base/buf.h"
#include "discovery/backoff.h"
#include "discovery/bell_table.h"
#include "discovery/consul.h"
#include "discovery/consul_head.h"

struct bell_line;

/* None may close the line. */
struct bell_listener {
    bell_cb ring; /* gets bell_line.arg */
    /* An answer has been taken. It is in tune: changes after it will be told. `is_first`: there was
     * no answer to compare with, or Consul's state went back: anything may have changed. */
    void (*on_answer)(struct bell_line *line, bool is_first, bool is_newer);
    /* Out of tune until the next on_answer, whose is_first is true then. */
    void (*on_lost)(struct bell_line *line);
};

struct bell_line {
    struct consul *consul;
    const struct bell_listener *listener;
    void *arg;
    char *path; /* owned; up to and with the '?' and the constant arguments */
    bool is_catalog;
    struct consul_asker asker;
    struct curl_transfer transfer;
    uv_timer_t timer;
    struct consul_head head;
    struct bell_table table;
    struct buf body; /* of a catalog */
    size_t received_bytes;
    uint64_t index, asked_index, known_index;
    uint64_t audit_ms;
    struct backoff backoff;
    struct token_bucket bucket;
    bool is_index_stale; /* the read under way would have gone to who knows whom */
    bool wants_leader;   /* the server that answered lags */
    bool is_tuned;
    bool is_failing;
    void (*closed)(struct bell_line *line);
};

/* Takes over `path` in any case. 0 or UV_ENOMEM: then it is as if it had never been. */
int bell_line_open(struct bell_line *line, struct consul *consul, char *path, bool is_catalog,
                   const struct bell_listener *listener, void *arg);
/* Ends at once; calls back when its memory is no longer needed. */
void bell_line_close(struct bell_line *line, void (*closed)(struct bell_line *line));

#endif
