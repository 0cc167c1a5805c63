/* consul.h - the Consul that weir asks: one or more addresses of it, a token, TLS, and one view on
 * whether it can be reached, shared by all watches (consul_watch.h).
 *
 * While the agent is away one watch tries it in short, jittered intervals; the others are parked
 * until it answers, so that its return is noticed quickly and costs it little. With several
 * addresses one is used until it fails three times or for five seconds; then comes the next.
 *
 * Thread: the control loop. Memory: owns its connections; watches are their openers'. */
#ifndef DISCOVERY_CONSUL_H
#define DISCOVERY_CONSUL_H

#include <stdbool.h>

#include <jansson.h>
#include <uv.h>

#include "base/list.h"
#include "net/curl_loop.h"

struct consul;

/* 0: as it should be. Tests are less patient. */
struct consul_patience {
    uint32_t hold_ms;   /* how long a removal that nobody confirms is held */
    uint32_t audit_ms;  /* between two reads without index */
    uint32_t silent_ms; /* after which a watch that can't ask is silent */
};

/* All are copied, and all but `urls` may be NULL. Files are read again for each new connection, but
 * for token_file: that is followed. */
struct consul_settings {
    const char *urls; /* "http://127.0.0.1:8500,unix:///run/consul.sock"; http:// may be left out */
    const char *token;                              /* secret */
    const char *token_file;                         /* wins over `token` while it can be read */
    const char *ca_cert, *client_cert, *client_key; /* PEM files */
    const char *server_name; /* in the server's certificate, where it is not the address's host */
    const char *node;        /* the one that weir is on, by Consul's name of it; and its zone: */
    const char *zone;        /* for upstreams that prefer what is near */
    unsigned wait_ms;        /* of a blocking query; 0: as it should be */
    struct consul_patience patience;
};

/* 0 or UV_ENOMEM. */
int consul_create(uv_loop_t *loop, const struct consul_settings *settings, struct consul **ret);
/* {"configured", "reachable", "address", "addresses", "watches", "refused", "held", "last_error"},
 * owned; NULL without memory. `consul` may be NULL: none is configured. */
json_t *consul_status(const struct consul *consul);
/* False while what watches know may be old: it can't be reached, refuses the token, or has given an
 * answer that is in doubt. NULL is fine. */
bool consul_is_fine(const struct consul *consul);
/* The machine was asleep: all ask anew, by new connections. */
void consul_resume(struct consul *consul);
/* All watches must have been closed. Calls back when all handles are. */
void consul_close(struct consul *consul, void (*closed)(void *arg), void *arg);

/* --- for watches --- */

struct consul_credential;

/* Who has a query to send, and may have to wait for the agent. Embed it; zeroed but for its
 * callbacks it is ready. */
struct consul_asker {
    struct list parked;                           /* on the agent's list while it waits */
    struct list entered;                          /* among all that have entered */
    void (*ask)(struct consul_asker *asker);      /* the wait is over */
    void (*on_token)(struct consul_asker *asker); /* there is another token: try again if refused */
    void (*ask_anew)(struct consul_asker *asker); /* what waits for a change is given up */
    struct consul_credential *credential;         /* of the last query; referenced */
    unsigned address_turn;                        /* which address that query went to */
    bool is_no_watch;                             /* follows no service, and doesn't count as one */
};

/* Who is told when the agent can't be reached, answers again, or another address is asked: `event`
 * is the callee's. */
void consul_set_listener(struct consul *consul, void (*on_event)(void *arg, json_t *event),
                         void *arg);

uv_loop_t *consul_loop(struct consul *consul);
void consul_enter(struct consul *consul, struct consul_asker *asker);
/* Ends waiting; nothing is heard any more. */
void consul_leave(struct consul *consul, struct consul_asker *asker);
/* How long a blocking query may take. */
unsigned consul_wait_ms(const struct consul *consul);
/* The same for who shares connections, so that all get their turn on those there are. */
unsigned consul_turn_ms(const struct consul *consul);
/* Whether there are more watches than connections. */
bool consul_is_crowded(const struct consul *consul);
/* How many watches may keep a connection of their own then. */
unsigned consul_seats(const struct consul *consul);
/* The bells that watches share (consul_bell.h), and those with a connection of their own while it
 * is crowded (consul_seat.h). Theirs, and kept here. */
struct list *consul_bells(struct consul *consul);
struct list *consul_seated(struct consul *consul);
/* Whether queries share connections (HTTP/2), so that one more needs none of its own. */
bool consul_is_multiplexed(const struct consul *consul);
/* How long a new watch should wait before its first read: many that start together are spread. */
uint64_t consul_first_delay_ms(struct consul *consul);
/* A repeated read, which brings no news by itself: how long it must wait for its turn among all. */
uint64_t consul_repeat_delay_ms(struct consul *consul);
const struct consul_patience *consul_patience(const struct consul *consul);
/* The address in use; borrowed while the agent lives. */
const char *consul_address_in_use(const struct consul *consul);
bool consul_has_token(const struct consul *consul);

/* Sends GET <url><path> (the transfer's user has set its callbacks). 0 or UV_ENOMEM. */
int consul_get(struct consul *consul, struct consul_asker *asker, struct curl_transfer *transfer,
               const char *path);
void consul_cancel(struct consul *consul, struct curl_transfer *transfer);
/* For a watch's CURLOPT_SOCKOPTFUNCTION: a peer that is gone without a word is noticed in half a
 * minute. */
void consul_guard_socket(curl_socket_t fd);

/* The agent has answered, whatever it said: who is parked may ask. */
void consul_answered(struct consul *consul, const struct curl_transfer *transfer);
/* It has given an answer that was accepted. */
void consul_good(struct consul *consul);
/* It answered that it can't: too often, and the next address is asked. */
void consul_disappointed(struct consul *consul, const struct consul_asker *asker);
/* It has refused the token (403): the file may hold another by now, or weir does already. */
void consul_refused(struct consul *consul, struct consul_asker *asker);
/* It has too many connections or requests (429): fewer are used for a minute. */
void consul_throttled(struct consul *consul);
/* A query broke off, or Consul's state went back: the agent, or its server, is not what it was. */
void consul_broke(struct consul *consul);
/* Whether it did, or could not be asked, so lately. */
bool consul_broke_within(const struct consul *consul, uint64_t ms);
/* The agent could not be asked: `asker` is parked, and called when it should try again. */
void consul_lost(struct consul *consul, struct consul_asker *asker, CURLcode result,
                 const char *reason);
/* `asker` may be called because it is to find out whether the agent is back: it leaves that to
 * another, at once, and asks when it likes. */
void consul_pass(struct consul *consul, const struct consul_asker *asker);

/* How many watches are refused, or hold an answer that they don't believe yet; for the status. */
void consul_count(struct consul *consul, int refused, int held);

#endif
