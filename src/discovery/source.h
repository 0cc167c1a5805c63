/* source.h - where targets come from: a Consul service, a DNS name. A source finds out on its own
 * when something changed and keeps the last good answer; it knows nothing of upstreams.
 *
 * The registry shares one source between all upstreams that ask for the same key.
 *
 * Thread: the control loop. Memory: a source frees itself after source_close. */
#ifndef DISCOVERY_SOURCE_H
#define DISCOVERY_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/list.h"
#include "base/str.h"
#include "net/ip.h"

/* As bad as they get, in order: an instance is as bad as its worst check. */
enum discovered_status {
    DISCOVERED_PASSING = 0,
    DISCOVERED_WARNING,
    DISCOVERED_CRITICAL,
    DISCOVERED_MAINTENANCE,
};

/* One target as a source announces it. */
struct discovered {
    struct str host;                       /* an address, or a name that is still to be looked up */
    uint16_t port;                         /* 0: the source doesn't know */
    struct str instance, node, datacenter; /* who it is; empty where the source doesn't know */
    struct str zone;                       /* where it is; empty: unknown */
    uint32_t weight;                       /* of one that is passing */
    uint32_t weight_warning;               /* of one with a warning */
    uint16_t priority; /* the lowest takes traffic; higher ones when too few of it can */
    enum discovered_status status;
    struct str routes; /* which it claims, a line each (route_claims.h); empty: none */
    struct str why;    /* a short sentence on a status that is not passing; empty otherwise */
    union ip_address address; /* of `host`; AF_UNSPEC while it is a name */
    uint64_t fingerprint;     /* of the bytes that it was read from (known_entries.h); 0: unknown */
};

/* What a source knows at one time, in an order of its own, so that two lists can be compared. */
struct discovered_list {
    struct discovered *items;
    uint32_t count;
    uint32_t capacity;
    struct arena arena; /* all strings */
};

/* By who and where they are: 0 when both are the same target, whatever its status and weight. */
int discovered_compare(const struct discovered *a, const struct discovered *b);

/* 0 or UV_ENOMEM. */
int discovered_list_create(struct discovered_list **ret);
void discovered_list_destroy(struct discovered_list *list); /* NULL is fine */
/* Copies *item with its strings; a host that is an IP literal gives the address, if none is set.
 * 0 or UV_ENOMEM. */
int discovered_list_add(struct discovered_list *list, const struct discovered *item);
/* After the last add: sorts. */
void discovered_list_seal(struct discovered_list *list);
/* Whether they say the same. Texts of checks don't count: they vary with every run. */
bool discovered_list_equal(const struct discovered_list *a, const struct discovered_list *b);
/* How many are passing or have a warning. */
uint32_t discovered_list_count_usable(const struct discovered_list *list);

enum source_state {
    SOURCE_PENDING = 0, /* has not answered yet */
    SOURCE_KNOWN,       /* has answered: `last` is what it knows, also while it can't be reached */
    SOURCE_ABSENT,      /* says that there is no such name */
    SOURCE_AWAY,        /* has never answered and can't be reached */
};

enum source_kind { SOURCE_STATIC = 0, SOURCE_CONSUL, SOURCE_DNS, SOURCE_DNS_SRV };

struct source;

/* Who listens to sources. */
struct source_owner {
    /* State or list have changed, or is_silent, or what is_doubted is repeated. May open and close
     * sources, this one too. */
    void (*on_news)(struct source_owner *owner, struct source *source);
    /* After source_close: the source is about to be freed. */
    void (*on_closed)(struct source_owner *owner);
    /* Something that people may want to know; `event` is the callee's. NULL: nobody does. */
    void (*on_event)(struct source_owner *owner, json_t *event);
};

#define SOURCE_ERROR_BYTES 160

/* What became of asking, for people. Times are the loop's; 0: never. */
struct source_account {
    uint64_t reads;    /* questions that were sent */
    uint64_t wake_ups; /* answers that came and made sense */
    uint64_t changes;  /* of them those that brought news */
    uint64_t errors;
    uint64_t answered_ms, changed_ms, failed_ms;
    uint64_t heard_ns; /* when the answer that is being taken was there (uv_hrtime); 0: none is */
    char last_error[SOURCE_ERROR_BYTES];
};

struct source {
    enum source_kind kind;
    enum source_state state;
    bool had_targets; /* has at some time announced a target */
    bool is_saved;    /* `last` is from before the start: nobody has answered since */
    bool is_partial;  /* what answers may not name all there are: `last` is several, merged */
    bool is_silent;   /* could not be asked for half a minute; the owner has been told */
    bool is_replaced; /* since it is silent another source has been believed in its place */
    bool is_repeated; /* the last answer said what the one before it had said */
    bool is_doubted;  /* by a user, who believes `last` when it is repeated: which is news then */
    bool is_closing;
    uint64_t silent_since_ms;     /* when it could first not be asked; 0: it has answered since */
    struct discovered_list *last; /* owned; NULL unless KNOWN */
    char *name;                   /* owned; what it looks for, for logs */
    struct source_owner *owner;
    void (*close)(struct source *source); /* the kind's own part; it ends in source_free */
    /* What this kind has to tell beyond that, put into `body`; NULL: nothing. */
    void (*describe)(const struct source *source, json_t *body);
    struct source_account account;
    uint32_t use_count; /* the registry's */
    char *key;          /* the registry's; owned */
};

/* For kinds of sources. */
int source_init(struct source *source, enum source_kind kind, struct str name,
                struct source_owner *owner, void (*close)(struct source *source));
/* Takes over `list` (NULL unless KNOWN), and tells the owner if that is news. May free the source's
 * user, not the source. */
void source_publish(struct source *source, enum source_state state, struct discovered_list *list);
/* For the account. An error's text is copied, and cut. */
void source_note_read(struct source *source);
void source_note_answer(struct source *source, uint64_t now_ms);
void source_note_error(struct source *source, const char *why, uint64_t now_ms);
/* The same for who keeps an account, and is no source. */
void source_account_answer(struct source_account *account, uint64_t now_ms);
void source_account_error(struct source_account *account, const char *why, uint64_t now_ms);
/* It can't be asked: from when on is kept. */
void source_note_silence(struct source *source, uint64_t now_ms);
/* Tells the owner {"type", "source", "name", "why"}; `why` may be empty. */
void source_tell(struct source *source, const char *type, const char *why);
/* The last act: tells the owner, frees what source_init made and the source itself. */
void source_free(struct source *source);

/* For owners. No news any more. */
void source_close(struct source *source);

#endif
