#include "control/stapling.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/map.h"
#include "control/cert_expiry.h"
#include "net/curl_loop.h"
#include "net/tls_identity.h"
#include "net/tls_staple.h"

#define LOOK_EVERY_MS 1000
#define MAX_TRANSFERS 4
#define TIMEOUT_MS 10000L
#define RETRY_MIN_S 30
#define RETRY_MAX_S 3600
#define REFRESH_MIN_S 60
#define REFRESH_MAX_S 43200
#define MAX_FILES 8
#define ID_BYTES 40 /* a UUID or a word of ours */

/* One certificate. The identity is kept, so its address names it for as long as this lives. */
struct entry {
    struct curl_transfer transfer; /* first: a transfer is its entry */
    struct stapling *stapling;
    struct tls_identity *identity; /* referenced */
    unsigned index;                /* of the certificate in it */
    char id[ID_BYTES];
    uint64_t generation; /* of the look that last saw it */
    time_t next_at;      /* when to ask again */
    time_t until;        /* of the response in force; 0: none */
    unsigned failures;   /* in a row */
    struct tls_staple_question question;
    struct curl_slist *headers;
    char *body; /* owned; while it is being read */
    size_t body_len;
};

struct file {
    char *path; /* owned */
    struct timespec changed_at;
    off_t size;
    ino_t inode;
};

struct stapling {
    struct stapling_settings settings;
    uv_timer_t timer;
    struct curl_loop *curl;
    struct map entries; /* by the address of the certificate */
    uint64_t generation;
    struct file files[MAX_FILES];
    unsigned file_count;
    unsigned open_handles;
};

/* --- asking a responder --- */

static void free_entry(struct entry *entry)
{
    curl_loop_cancel(entry->stapling->curl, &entry->transfer);
    curl_easy_cleanup(entry->transfer.easy);
    curl_slist_free_all(entry->headers);
    free(entry->body);
    tls_staple_question_free(&entry->question);
    tls_identity_unref(entry->identity);
    free(entry);
}

static void note_failure(struct entry *entry, const char *why)
{
    unsigned pause_s = RETRY_MAX_S;
    if (entry->failures < 7)
        pause_s = RETRY_MIN_S << entry->failures;
    entry->next_at = time(NULL) + (pause_s < RETRY_MAX_S ? pause_s : RETRY_MAX_S);
    if (entry->failures++ == 0) /* and then silence until it is well again */
        log_warn("no OCSP response for a certificate", LOG_CSTR("certificate", entry->id),
                 LOG_CSTR("responder", entry->question.url), LOG_CSTR("why", why));
}

static void note_success(struct entry *entry, time_t now)
{
    time_t pause_s = (entry->until - now) / 2;
    pause_s = pause_s < REFRESH_MIN_S ? REFRESH_MIN_S : pause_s;
    entry->next_at = now + (pause_s < REFRESH_MAX_S ? pause_s : REFRESH_MAX_S);
    entry->failures = 0;
    log_info("an OCSP response is stapled", LOG_CSTR("certificate", entry->id),
             LOG_INT("valid_s", entry->until - now));
}

static void take_response(struct entry *entry, struct str body)
{
    const char *why = "memory is short";
    time_t now = time(NULL);
    int rc = tls_staple_set(tls_identity_cert(entry->identity, entry->index),
                            tls_identity_issuer(entry->identity, entry->index), body, now,
                            &entry->until, &why);
    if (rc == UV_EACCES)
        entry->until = 0;
    if (rc)
        note_failure(entry, why);
    else
        note_success(entry, now);
}

static void on_done(struct curl_transfer *transfer, CURLcode result)
{
    struct entry *entry = (struct entry *)transfer;
    long status = 0;
    char why[32];
    char *body = entry->body;
    entry->body = NULL;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    snprintf(why, sizeof(why), "HTTP status %ld", status);
    if (result == CURLE_OK && status == 200)
        take_response(entry, str_make(body, entry->body_len));
    else
        note_failure(entry, result == CURLE_OK ? why : curl_easy_strerror(result));
    free(body);
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct entry *entry = arg;
    size_t len = size * count;
    char *body = len <= TLS_STAPLE_MAX_BYTES - entry->body_len
                     ? realloc(entry->body, entry->body_len + len + 1)
                     : NULL;
    if (!body)
        return 0; /* ends the transfer */
    entry->body = body;
    memcpy(entry->body + entry->body_len, bytes, len);
    entry->body_len += len;
    return len;
}

static int prepare(struct entry *entry)
{
    CURL *easy = entry->transfer.easy = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/ocsp-request");
    entry->headers = headers;
    if (!easy || !headers || !curl_slist_append(headers, "Accept: application/ocsp-response") ||
        !curl_slist_append(headers, "Expect:"))
        return UV_ENOMEM;
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, entry);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, entry->question.der);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)entry->question.len);
    return curl_easy_setopt(easy, CURLOPT_URL, entry->question.url) == CURLE_OK ? 0 : UV_EINVAL;
}

static void ask(struct entry *entry, time_t now)
{
    if (!entry->transfer.easy || entry->transfer.is_active || now < entry->next_at)
        return;
    entry->body_len = 0;
    if (curl_loop_start(entry->stapling->curl, &entry->transfer))
        note_failure(entry, "memory is short");
}

/* --- which certificates there are --- */

static struct entry *make_entry(struct stapling *stapling, struct str id,
                                struct tls_identity *identity, unsigned index)
{
    struct x509_st *cert = tls_identity_cert(identity, index);
    struct x509_st *issuer = tls_identity_issuer(identity, index);
    struct entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return NULL;
    entry->stapling = stapling;
    entry->identity = tls_identity_ref(identity);
    entry->index = index;
    entry->transfer.done = on_done;
    snprintf(entry->id, sizeof(entry->id), "%.*s", STR_ARG(id));
    /* Without a responder or an issuer there is nobody to ask; the entry says that this is known.
     */
    int rc = issuer ? tls_staple_ask(cert, issuer, &entry->question) : UV_ENOENT;
    if (!rc)
        rc = prepare(entry);
    if (!issuer)
        log_notice("no OCSP responses for a certificate whose issuer is not in its chain",
                   LOG_CSTR("certificate", entry->id));
    if ((rc && rc != UV_ENOENT) ||
        map_put(&stapling->entries, str_make((const char *)&cert, sizeof(cert)), entry, NULL)) {
        free_entry(entry);
        return NULL;
    }
    return entry;
}

static void visit(void *arg, struct str id, struct tls_identity *identity, enum cert_stage *told)
{
    struct stapling *stapling = arg;
    (void)told;
    for (unsigned i = 0; i < tls_identity_count(identity); i++) {
        struct x509_st *cert = tls_identity_cert(identity, i);
        struct entry *entry =
            map_get(&stapling->entries, str_make((const char *)&cert, sizeof(cert)));
        if (!entry)
            entry = make_entry(stapling, id, identity, i);
        if (!entry)
            return; /* memory is short; next time again */
        entry->generation = stapling->generation;
        ask(entry, time(NULL));
    }
}

static void forget_gone(struct stapling *stapling)
{
    bool any = true;
    while (any) {
        size_t at = 0;
        struct str key;
        void *value;
        any = false;
        while (!any && map_each(&stapling->entries, &at, &key, &value))
            any = ((struct entry *)value)->generation != stapling->generation;
        if (any)
            free_entry(map_remove(&stapling->entries, key));
    }
}

/* --- files --- */

static bool has_changed(struct file *file)
{
    struct stat now;
    if (stat(file->path, &now))
        return false; /* being replaced, or gone: what was read counts until its end */
    bool is_other = now.st_mtim.tv_sec != file->changed_at.tv_sec ||
                    now.st_mtim.tv_nsec != file->changed_at.tv_nsec || now.st_size != file->size ||
                    now.st_ino != file->inode;
    file->changed_at = now.st_mtim;
    file->size = now.st_size;
    file->inode = now.st_ino;
    return is_other;
}

struct reading {
    const struct file *file;
    struct str der;
    bool is_taken;
    const char *why;
};

/* It is for the certificate that it is about. */
static void try_file(void *arg, struct str id, struct tls_identity *identity, enum cert_stage *told)
{
    struct reading *reading = arg;
    time_t until;
    (void)told;
    for (unsigned i = 0; str_equal(id, STR("default")) && i < tls_identity_count(identity); i++) {
        struct x509_st *issuer = tls_identity_issuer(identity, i);
        const char *why = "the certificate's issuer is not in its chain";
        int rc = issuer ? tls_staple_set(tls_identity_cert(identity, i), issuer, reading->der,
                                         time(NULL), &until, &why)
                        : UV_EINVAL;
        if (rc == 0)
            reading->is_taken = true;
        else if (!reading->why || issuer)
            reading->why = why;
    }
}

static int read_file(struct stapling *stapling, struct file *file)
{
    char *bytes = malloc(TLS_STAPLE_MAX_BYTES + 1);
    FILE *stream = fopen(file->path, "re");
    int rc = !bytes ? UV_ENOMEM : !stream ? uv_translate_sys_error(errno) : 0;
    size_t len = rc ? 0 : fread(bytes, 1, TLS_STAPLE_MAX_BYTES + 1, stream);
    if (!rc && ferror(stream))
        rc = UV_EIO;
    if (stream)
        fclose(stream);
    if (!rc) {
        struct reading reading = {.file = file, .der = str_make(bytes, len)};
        cert_expiry_each(stapling->settings.certs, try_file, &reading);
        if (reading.is_taken)
            log_info("an OCSP response is stapled", LOG_CSTR("file", file->path));
        else
            log_warn("an OCSP response can't be used", LOG_CSTR("file", file->path),
                     LOG_CSTR("why", reading.why ? reading.why : "no listener has TLS"));
    }
    free(bytes);
    return rc;
}

static int read_files(struct stapling *stapling, struct error *err)
{
    struct str rest = str_of(stapling->settings.files);
    while (rest.ptr) {
        struct str path = str_trim(str_cut(&rest, ','));
        if (stapling->file_count == MAX_FILES) {
            error_set(err, "WEIR_SSL_STAPLING_FILE", "must be at most %d paths", MAX_FILES);
            return UV_EINVAL;
        }
        struct file *file = &stapling->files[stapling->file_count];
        file->path = str_dup(path);
        if (!file->path)
            return UV_ENOMEM;
        stapling->file_count++;
        has_changed(file);
        int rc = read_file(stapling, file);
        if (rc) {
            error_set(err, "WEIR_SSL_STAPLING_FILE", "can't read %s: %s", file->path,
                      uv_strerror(rc));
            return rc;
        }
    }
    return 0;
}

/* --- the whole --- */

static void on_time(uv_timer_t *timer)
{
    struct stapling *stapling = timer->data;
    for (unsigned i = 0; i < stapling->file_count; i++)
        if (has_changed(&stapling->files[i]))
            read_file(stapling, &stapling->files[i]);
    if (!stapling->settings.asks)
        return;
    stapling->generation++;
    cert_expiry_each(stapling->settings.certs, visit, stapling);
    forget_gone(stapling);
}

int stapling_create(uv_loop_t *loop, const struct stapling_settings *settings,
                    struct stapling **ret, struct error *err)
{
    struct stapling *stapling = calloc(1, sizeof(*stapling));
    if (!stapling)
        return UV_ENOMEM;
    stapling->settings = *settings;
    int rc = curl_loop_create(loop, MAX_TRANSFERS, &stapling->curl);
    if (rc) {
        free(stapling);
        return rc;
    }
    uv_timer_init(loop, &stapling->timer);
    stapling->timer.data = stapling;
    stapling->open_handles = 2;
    *ret = stapling; /* to be closed, whatever comes */
    rc = read_files(stapling, err);
    return rc ? rc : uv_timer_start(&stapling->timer, on_time, 0, LOOK_EVERY_MS);
}

static void free_if_closed(struct stapling *stapling)
{
    if (--stapling->open_handles > 0)
        return;
    for (unsigned i = 0; i < stapling->file_count; i++)
        free(stapling->files[i].path);
    free(stapling);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free_if_closed(handle->data);
}

static void on_curl_closed(void *arg)
{
    free_if_closed(arg);
}

void stapling_close(struct stapling *stapling)
{
    if (!stapling)
        return;
    stapling->generation++;
    forget_gone(stapling);
    map_deinit(&stapling->entries);
    curl_loop_close(stapling->curl, on_curl_closed, stapling);
    uv_close((uv_handle_t *)&stapling->timer, on_timer_closed);
}

void stapling_print(const struct stapling *stapling, struct metrics_text *text)
{
    uint64_t good = 0, missing = 0;
    size_t at = 0;
    void *value;
    if (!stapling || !stapling->settings.asks)
        return;
    while (map_each(&stapling->entries, &at, NULL, &value)) {
        const struct entry *entry = value;
        bool is_good = entry->until > time(NULL);
        good += is_good;
        missing += !is_good && entry->transfer.easy;
    }
    metrics_text_family(
        text, "weir_ocsp_responses", METRICS_GAUGE,
        "Certificates that name an OCSP responder, with and without a good response");
    metrics_text_count(text, &(struct metrics_label){"state", STR("good")}, 1, good);
    metrics_text_count(text, &(struct metrics_label){"state", STR("missing")}, 1, missing);
}
