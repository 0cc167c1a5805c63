#include "control/cert_expiry.h"

#include "base/log.h"
#include "control/tls_compile.h"
#include "control/tls_setup.h"
#include "net/tls_identity.h"

#define PERIOD_MS 3600000
#define DAY_S 86400L
#define MAX_METRIC_LINES 20000

enum cert_stage cert_stage_of(time_t not_after, time_t now)
{
    time_t left_s = not_after - now;
    if (left_s <= 0)
        return CERT_EXPIRED;
    return left_s < DAY_S        ? CERT_ENDS_IN_1_DAY
           : left_s < 3 * DAY_S  ? CERT_ENDS_IN_3_DAYS
           : left_s < 7 * DAY_S  ? CERT_ENDS_IN_7_DAYS
           : left_s < 14 * DAY_S ? CERT_ENDS_IN_14_DAYS
                                 : CERT_GOOD;
}

bool cert_expiry_tell(const struct tls_identity *identity, struct str id, time_t now,
                      enum cert_stage *told)
{
    time_t not_after = tls_identity_not_after(identity);
    enum cert_stage stage = cert_stage_of(not_after, now);
    struct str name = str_of(tls_identity_name(identity));
    if (stage <= *told)
        return false;
    *told = stage;
    if (stage == CERT_EXPIRED)
        log_error("a certificate has expired", LOG_STR("certificate", id), LOG_STR("name", name));
    else
        log_warn("a certificate expires soon", LOG_STR("certificate", id), LOG_STR("name", name),
                 LOG_INT("days", (not_after - now) / DAY_S));
    return true;
}

/* --- all of them --- */

void cert_expiry_each(const struct cert_expiry *expiry, cert_visit_cb visit, void *arg)
{
    struct tls_setup *setup = expiry->setup;
    if (!setup)
        return;
    if (setup->identity)
        visit(arg, STR("default"), setup->identity, &setup->told);
    if (setup->admin_identity && setup->admin_identity != setup->identity)
        visit(arg, STR("admin"), setup->admin_identity, &setup->admin_told);
    if (setup->status_identity && setup->status_identity != setup->identity)
        visit(arg, STR("status"), setup->status_identity, &setup->status_told);
    tls_compiler_each(expiry->compiler, visit, arg);
}

struct look {
    time_t now;
    unsigned lines;
};

static void tell(void *arg, struct str id, struct tls_identity *identity, enum cert_stage *told)
{
    struct look *look = arg;
    if (look->lines < CERT_EXPIRY_MAX_LINES)
        look->lines += cert_expiry_tell(identity, id, look->now, told);
}

static void on_time(uv_timer_t *timer)
{
    struct look look = {.now = time(NULL)};
    cert_expiry_each(timer->data, tell, &look);
}

void cert_expiry_init(struct cert_expiry *expiry, uv_loop_t *loop)
{
    uv_timer_init(loop, &expiry->timer);
    expiry->timer.data = expiry;
}

void cert_expiry_start(struct cert_expiry *expiry, struct tls_setup *setup,
                       struct tls_compiler *compiler)
{
    expiry->setup = setup;
    expiry->compiler = compiler;
    on_time(&expiry->timer);
    uv_timer_start(&expiry->timer, on_time, PERIOD_MS, PERIOD_MS);
}

void cert_expiry_close(struct cert_expiry *expiry)
{
    expiry->setup = NULL;
    uv_close((uv_handle_t *)&expiry->timer, NULL);
}

/* --- the metric --- */

struct print {
    struct metrics_text *text;
    time_t now;
    unsigned lines;
};

static void print(void *arg, struct str id, struct tls_identity *identity, enum cert_stage *told)
{
    struct print *all = arg;
    (void)told;
    if (all->lines++ >= MAX_METRIC_LINES)
        return;
    const struct metrics_label labels[] = {{"certificate", id},
                                           {"name", str_of(tls_identity_name(identity))}};
    metrics_text_real(all->text, labels, 2, difftime(tls_identity_not_after(identity), all->now));
}

void cert_expiry_print(const struct cert_expiry *expiry, struct metrics_text *text)
{
    struct print all = {.text = text, .now = time(NULL)};
    metrics_text_family(text, "weir_certificate_expires_in_seconds", METRICS_GAUGE,
                        "Until the certificate ends; negative when it has");
    cert_expiry_each(expiry, print, &all);
}
