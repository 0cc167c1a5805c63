/* setting_parse.h - what the texts of settings mean, a function a type.
 *
 * Thread: any. Memory: what they keep belongs to the options they fill. */
#ifndef CONTROL_SETTING_PARSE_H
#define CONTROL_SETTING_PARSE_H

#include "control/setting.h"

/* A day: long enough for any time-out, and far from where the arithmetic of clocks overflows. */
#define TIMEOUT_MAX_MS (86400ULL * 1000)

/* All are setting_parse_cb. Whole seconds may have nginx's unit: "300", "5m", "1d". Numbers, sizes
 * and seconds have to be within min and max (seconds: in milliseconds) and go to the setting's
 * slot, as texts do. */
int setting_parse_count(const struct setting *setting, const char *text, const char *source,
                        struct options *options, struct error *err);
int setting_parse_max_requests(const struct setting *setting, const char *text, const char *source,
                               struct options *options, struct error *err);
int setting_parse_seconds(const struct setting *setting, const char *text, const char *source,
                          struct options *options, struct error *err);
int setting_parse_size(const struct setting *setting, const char *text, const char *source,
                       struct options *options, struct error *err);
int setting_parse_workers(const struct setting *setting, const char *text, const char *source,
                          struct options *options, struct error *err);
int setting_parse_database(const struct setting *setting, const char *text, const char *source,
                           struct options *options, struct error *err);
int setting_parse_log_level(const struct setting *setting, const char *text, const char *source,
                            struct options *options, struct error *err);
int setting_parse_headers(const struct setting *setting, const char *text, const char *source,
                          struct options *options, struct error *err);
int setting_parse_proxy_listen(const struct setting *setting, const char *text, const char *source,
                               struct options *options, struct error *err);
int setting_parse_stream_listen(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err);
int setting_parse_admin_listen(const struct setting *setting, const char *text, const char *source,
                               struct options *options, struct error *err);
int setting_parse_status_listen(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err);
int setting_parse_consul_addr(const struct setting *setting, const char *text, const char *source,
                              struct options *options, struct error *err);
int setting_parse_dns_forward(const struct setting *setting, const char *text, const char *source,
                              struct options *options, struct error *err);
int setting_parse_dns_resolver(const struct setting *setting, const char *text, const char *source,
                               struct options *options, struct error *err);
int setting_parse_token(const struct setting *setting, const char *text, const char *source,
                        struct options *options, struct error *err);
int setting_parse_server_name(const struct setting *setting, const char *text, const char *source,
                              struct options *options, struct error *err);
int setting_parse_cipher_suite(const struct setting *setting, const char *text, const char *source,
                               struct options *options, struct error *err);
int setting_parse_verify_client(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err);
int setting_parse_check_host(const struct setting *setting, const char *text, const char *source,
                             struct options *options, struct error *err);
int setting_parse_whole_seconds(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err);
int setting_parse_alpn(const struct setting *setting, const char *text, const char *source,
                       struct options *options, struct error *err);
int setting_parse_path(const struct setting *setting, const char *text, const char *source,
                       struct options *options, struct error *err);
int setting_parse_log_format(const struct setting *setting, const char *text, const char *source,
                             struct options *options, struct error *err);
int setting_parse_access_log(const struct setting *setting, const char *text, const char *source,
                             struct options *options, struct error *err);
int setting_parse_on_off(const struct setting *setting, const char *text, const char *source,
                         struct options *options, struct error *err);
int setting_parse_migrate(const struct setting *setting, const char *text, const char *source,
                          struct options *options, struct error *err);
int setting_parse_pg_schema(const struct setting *setting, const char *text, const char *source,
                            struct options *options, struct error *err);
int setting_parse_password_file(const struct setting *setting, const char *text, const char *source,
                                struct options *options, struct error *err);
int setting_parse_trusted_ips(const struct setting *setting, const char *text, const char *source,
                              struct options *options, struct error *err);
int setting_parse_real_ip_header(const struct setting *setting, const char *text,
                                 const char *source, struct options *options, struct error *err);
int setting_parse_acme_hosts(const struct setting *setting, const char *text, const char *source,
                             struct options *options, struct error *err);
int setting_parse_acme_directory(const struct setting *setting, const char *text,
                                 const char *source, struct options *options, struct error *err);
int setting_parse_acme_challenge(const struct setting *setting, const char *text,
                                 const char *source, struct options *options, struct error *err);
int setting_parse_acme_key(const struct setting *setting, const char *text, const char *source,
                           struct options *options, struct error *err);
int setting_parse_nothing(const struct setting *setting, const char *text, const char *source,
                          struct options *options, struct error *err);

#endif
