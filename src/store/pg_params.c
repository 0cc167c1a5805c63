#include "store/pg_params.h"

#include <assert.h>
#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define VERSION_MIN 120000 /* older ones get no more fixes */
#define SYSTEM_CA_FILE "/etc/ssl/certs/ca-certificates.crt"
#define DEFAULT_PORT 5432

/* ---- the settings ---- */

static bool copy_text(const char *text, char **slot)
{
    *slot = text ? strdup(text) : NULL;
    return !text || *slot;
}

/* "db1", "db1:5433", "[::1]:5433", "::1", "/run/postgresql". */
static bool parse_host(struct str word, uint16_t port, struct pg_host *host)
{
    uint64_t number = port;
    const char *colon = word.len ? memrchr(word.ptr, ':', word.len) : NULL;
    struct str name = word;
    bool is_v6 = colon && memchr(word.ptr, ':', (size_t)(colon - word.ptr)) && word.ptr[0] != '[';
    bool has_port = colon && !is_v6 && word.ptr[0] != '/' && colon[-(colon > word.ptr)] != '[';
    if (word.len && word.ptr[0] == '[' && word.ptr[word.len - 1] == ']')
        has_port = false;
    if (has_port) {
        name.len = (size_t)(colon - word.ptr);
        if (!str_to_u64(str_make(colon + 1, word.len - name.len - 1), &number) || number == 0 ||
            number > UINT16_MAX)
            return false;
    }
    if (name.len > 1 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
        name = str_make(name.ptr + 1, name.len - 2);
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] <= ' ')
            return false;
    if (name.len == 0)
        return false;
    host->name = str_dup(name);
    host->port = (uint16_t)number;
    return true;
}

static int parse_hosts(struct pg_params *params, const char *text, uint16_t port, struct error *err)
{
    struct str rest = str_of(text);
    do {
        struct str word = str_trim(str_cut(&rest, ','));
        if (params->host_count == PG_HOSTS_MAX ||
            !parse_host(word, port, &params->hosts[params->host_count])) {
            error_set(err, "WEIR_PG_HOST",
                      "must be a comma list of at most %d host[:port], not \"%s\"", PG_HOSTS_MAX,
                      text);
            return UV_EINVAL;
        }
        if (!params->hosts[params->host_count].name)
            return UV_ENOMEM;
        params->host_count++;
    } while (rest.ptr);
    return 0;
}

int pg_params_init(struct pg_params *params, const struct store_pg_settings *settings,
                   struct error *err)
{
    *params = (struct pg_params){
        .timeout_ms = settings->timeout_ms,
        .has_tls = settings->has_tls,
        .verifies_tls = settings->verifies_tls,
    };
    int rc =
        parse_hosts(params, settings->hosts, settings->port ? settings->port : DEFAULT_PORT, err);
    if (rc == 0 && (!copy_text(settings->user, &params->user) ||
                    !copy_text(settings->password, &params->password) ||
                    !copy_text(settings->database, &params->database) ||
                    !copy_text(settings->schema, &params->schema) ||
                    !copy_text(settings->ca_file, &params->ca_file) ||
                    !copy_text(settings->cert_file, &params->cert_file) ||
                    !copy_text(settings->key_file, &params->key_file)))
        rc = UV_ENOMEM;
    if (rc < 0)
        pg_params_deinit(params);
    return rc;
}

void pg_params_deinit(struct pg_params *params)
{
    for (unsigned i = 0; i < params->host_count; i++)
        free(params->hosts[i].name);
    if (params->password)
        explicit_bzero(params->password, strlen(params->password));
    free(params->user);
    free(params->password);
    free(params->database);
    free(params->schema);
    free(params->ca_file);
    free(params->cert_file);
    free(params->key_file);
    memset(params, 0, sizeof(*params));
}

/* ---- connecting ---- */

#define PARAMS_MAX 24

/* libpq would print it on standard error, which is for lines of JSON: a server that stops says so
 * to a connection that is idle, and the connection's end tells us the same. */
static void ignore_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

PGconn *pg_params_start(const struct pg_params *params, unsigned host, const char *address)
{
    const char *names[PARAMS_MAX], *values[PARAMS_MAX];
    char port[8], user_timeout[16];
    int count = 0;
    snprintf(port, sizeof(port), "%u", params->hosts[host].port);
    snprintf(user_timeout, sizeof(user_timeout), "%u", params->timeout_ms);
    const char *ca_file = params->ca_file ? params->ca_file : SYSTEM_CA_FILE;
    const struct {
        const char *name, *value;
    } all[] = {
        {"host", params->hosts[host].name},
        {"hostaddr", address},
        {"port", port},
        {"user", params->user},
        {"password", params->password},
        {"dbname", params->database},
        {"application_name", "weir"},
        {"client_encoding", "UTF8"},
        {"target_session_attrs", "read-write"},
        {"sslmode", !params->has_tls       ? "disable"
                    : params->verifies_tls ? "verify-full"
                                           : "require"},
        {"sslrootcert", params->has_tls && params->verifies_tls ? ca_file : NULL},
        {"sslcert", params->cert_file},
        {"sslkey", params->key_file},
        {"gssencmode", "disable"}, /* its handshake blocks */
        /* A peer that vanished without a word is noticed within some seconds. */
        {"keepalives_idle", "5"},
        {"keepalives_interval", "2"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", user_timeout},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (!all[i].value)
            continue;
        names[count] = all[i].name;
        values[count++] = all[i].value;
    }
    names[count] = values[count] = NULL;
    PGconn *conn = PQconnectStartParams(names, values, 0);
    if (conn) {
        PQsetErrorVerbosity(conn, PQERRORS_VERBOSE); /* for the SQLSTATE, which is in no result */
        PQsetNoticeReceiver(conn, ignore_notice, NULL);
    }
    return conn;
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* Blocks until the attempt ends. UV_ETIMEDOUT, or 0: PQstatus says how. */
static int finish_connecting(PGconn *conn, uint32_t timeout_ms)
{
    uint64_t deadline = now_ms() + timeout_ms;
    PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
    while (PQstatus(conn) != CONNECTION_BAD && wants != PGRES_POLLING_OK &&
           wants != PGRES_POLLING_FAILED) {
        struct pollfd fd = {.fd = PQsocket(conn),
                            .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        uint64_t now = now_ms();
        if (now >= deadline || poll(&fd, 1, (int)(deadline - now)) == 0)
            return UV_ETIMEDOUT;
        wants = PQconnectPoll(conn);
    }
    return 0;
}

static int set_search_path(const struct pg_params *params, PGconn *conn)
{
    char sql[256];
    char *schema = PQescapeIdentifier(conn, params->schema, strlen(params->schema));
    snprintf(sql, sizeof(sql), "SET search_path TO %s", schema ? schema : "weir");
    PQfreemem(schema);
    PGresult *result = PQexec(conn, sql);
    int rc = PQresultStatus(result) == PGRES_COMMAND_OK ? 0 : UV_ENOTCONN;
    PQclear(result);
    return rc;
}

static int check_version(const struct pg_params *params, unsigned host, PGconn *conn,
                         struct error *err)
{
    int version = PQserverVersion(conn);
    if (version >= VERSION_MIN)
        return 0;
    error_set(err, "WEIR_PG_HOST", "PostgreSQL at %s:%u is version %d; weir needs %d or later",
              params->hosts[host].name, params->hosts[host].port, version / 10000,
              VERSION_MIN / 10000);
    return UV_ENOTSUP;
}

int pg_params_connect(const struct pg_params *params, PGconn **ret, struct error *err)
{
    int worst = UV_ENOTCONN;
    for (unsigned host = 0; host < params->host_count; host++) {
        struct error why;
        PGconn *conn = pg_params_start(params, host, NULL);
        if (!conn)
            return UV_ENOMEM;
        int rc = finish_connecting(conn, params->timeout_ms);
        if (rc < 0) {
            error_set(&why, "WEIR_PG_HOST",
                      "PostgreSQL at %s:%u does not answer within %u ms (WEIR_PG_TIMEOUT)",
                      params->hosts[host].name, params->hosts[host].port, params->timeout_ms);
            rc = UV_ENOTCONN;
        } else if (PQstatus(conn) != CONNECTION_OK) {
            rc = pg_params_explain(params, host, conn, &why);
        } else {
            rc = check_version(params, host, conn, &why);
        }
        if (rc == 0 && set_search_path(params, conn) < 0)
            rc = pg_params_explain(params, host, conn, &why);
        if (rc == 0) {
            *ret = conn;
            return 0;
        }
        PQfinish(conn);
        /* A refusal tells more than a host that is not there; else the first one's words count. */
        if (host == 0 || (worst == UV_ENOTCONN && rc != UV_ENOTCONN)) {
            worst = rc;
            if (err)
                *err = why;
        }
    }
    return worst;
}

/* ---- what refusals mean ---- */

void pg_one_line(const char *message, char *out, size_t size)
{
    size_t len = 0;
    size_t end = strcspn(message, "\n"); /* what follows are details and the server's source file */
    for (size_t i = 0; i < end && len + 1 < size; i++)
        out[len++] = (char)((unsigned char)message[i] < ' ' ? ' ' : message[i]);
    while (len > 0 && out[len - 1] == ' ')
        len--;
    out[len] = '\0';
}

/* "…FATAL:  28P01: password authentication failed…": whatever language the words are in. */
static const char *find_state(const char *message, char state[PG_STATE_BYTES])
{
    state[0] = '\0';
    for (const char *at = strstr(message, ":  "); at; at = strstr(at + 1, ":  ")) {
        const char *code = at + 3;
        int len = 0;
        while (len < 5 && (isdigit((unsigned char)code[len]) || isupper((unsigned char)code[len])))
            len++;
        if (len == 5 && code[5] == ':') {
            memcpy(state, code, 5);
            state[5] = '\0';
            return code + 7;
        }
    }
    return NULL;
}

struct meaning {
    const char *states; /* their beginnings */
    int rc;
    const char *setting;
    const char *advice;
};

static const struct meaning meanings[] = {
    {"28P01", UV_EACCES, "WEIR_PG_PASSWORD",
     "check WEIR_PG_USER and WEIR_PG_PASSWORD (or WEIR_PG_PASSWORD_FILE)"},
    {"28000", UV_EACCES, "WEIR_PG_USER",
     "check WEIR_PG_USER and the server's pg_hba.conf, or whether it wants TLS (WEIR_PG_SSL)"},
    {"3D000", UV_EACCES, "WEIR_PG_DATABASE", "create it, or set WEIR_PG_DATABASE"},
    {"42501", UV_EACCES, "WEIR_PG_USER", "grant the user what it needs"},
    {"53300", UV_ENOTCONN, "WEIR_PG_HOST", "raise max_connections; each weir needs two"},
    {"57P03", UV_ENOTCONN, "WEIR_PG_HOST", "wait until it has started"},
    {"57P0", UV_ENOTCONN, "WEIR_PG_HOST", "wait until it is back"},
    {NULL, UV_ENOTCONN, "WEIR_PG_HOST", "check WEIR_PG_HOST and WEIR_PG_PORT"},
};

int pg_params_explain(const struct pg_params *params, unsigned host, PGconn *conn,
                      struct error *err)
{
    char state[PG_STATE_BYTES], line[256];
    const char *message = PQerrorMessage(conn);
    const char *words = find_state(message, state);
    const struct meaning *meaning = meanings;
    while (meaning->states && (!words || strncmp(state, meaning->states, strlen(meaning->states))))
        meaning++;
    const char *advice = meaning->advice, *setting = meaning->setting;
    int rc = meaning->rc;
    if (!words) { /* libpq's own: "connection to server at … failed: Connection refused" */
        const char *failed = strstr(message, "failed: ");
        words = failed ? failed + strlen("failed: ") : message;
        if (strstr(words, "certificate") || strstr(words, "SSL")) {
            rc = UV_EACCES;
            setting = "WEIR_PG_SSL";
            advice = "check WEIR_PG_SSL, WEIR_PG_SSL_VERIFY and WEIR_PG_SSL_CA";
        } else if (PQconnectionNeedsPassword(conn)) {
            rc = UV_EACCES;
            setting = "WEIR_PG_PASSWORD";
            advice = "set WEIR_PG_PASSWORD or WEIR_PG_PASSWORD_FILE";
        } else if (strstr(words, "read-only")) {
            advice = "one of WEIR_PG_HOST must be the primary";
        }
    }
    pg_one_line(words, line, sizeof(line));
    error_set(err, setting, "PostgreSQL at %s:%u: %s; %s", params->hosts[host].name,
              params->hosts[host].port, line, advice);
    return rc;
}
