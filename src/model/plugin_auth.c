/* plugin_auth.c - who may use a service: the configuration of plugins that ask for credentials, and
 * of those that certificates and sessions come from. */
#include "model/plugin_schema.h"

#include <stdio.h>

/* ---- acl ---- */

static const struct field acl_config[] = {
    LIST_OF("allow", &text_element),
    LIST_OF("deny", &text_element),
    FLAG("hide_groups_header", "false", R),
    FLAG("always_use_authenticated_groups", "false", R),
    FIELDS_END,
};
static const char *const allow_deny[] = {"config.allow", "config.deny", NULL};
static const struct entity_rule acl_rules[] = {
    {.kind = RULE_EXACTLY_ONE, .fields = allow_deny},
    RULES_END,
};
const struct plugin_schema acl_plugin = {
    .name = "acl", .priority = 950, .config = acl_config, .rules = acl_rules, .no_consumer = true};

/* ---- basic-auth ---- */

static const struct field basic_auth_config[] = {
    ANONYMOUS,
    HIDE_CREDENTIALS,
    TEXT("realm", R, DEFAULT("\"service\"")),
    FIELDS_END,
};
const struct plugin_schema basic_auth_plugin = {
    .name = "basic-auth", .priority = 1100, .config = basic_auth_config, .no_consumer = true};

/* ---- hmac-auth ---- */

static const char *const hmac_algorithms[] = {"hmac-sha1", "hmac-sha256", "hmac-sha384",
                                              "hmac-sha512", NULL};
static const struct field hmac_algorithm = {.type = FIELD_STRING, ONE_OF(hmac_algorithms)};
static const struct field hmac_auth_config[] = {
    HIDE_CREDENTIALS,
    NUMBER("clock_skew", DEFAULT("300"), MORE_THAN(0)),
    ANONYMOUS,
    FLAG("validate_request_body", "false", R),
    LIST_OF("enforce_headers", &text_element, DEFAULT("[]")),
    LIST_OF("algorithms", &hmac_algorithm,
            DEFAULT("[\"hmac-sha1\",\"hmac-sha256\",\"hmac-sha384\",\"hmac-sha512\"]")),
    REALM,
    FIELDS_END,
};
const struct plugin_schema hmac_auth_plugin = {
    .name = "hmac-auth", .priority = 1030, .config = hmac_auth_config, .no_consumer = true};

/* ---- jwt ---- */

static const char *const jwt_claims[] = {"exp", "nbf", NULL};
static const struct field jwt_claim = {.type = FIELD_STRING, ONE_OF(jwt_claims)};
static const struct field jwt_config[] = {
    SET_OF("uri_param_names", &text_element, DEFAULT("[\"jwt\"]")),
    SET_OF("cookie_names", &text_element, DEFAULT("[]")),
    TEXT("key_claim_name", DEFAULT("\"iss\"")),
    FLAG("secret_is_base64", "false", R),
    SET_OF("claims_to_verify", &jwt_claim),
    ANONYMOUS,
    FLAG("run_on_preflight", "true", R),
    NUMBER("maximum_expiration", DEFAULT("0"), BETWEEN(0, 31536000)),
    SET_OF("header_names", &text_element, DEFAULT("[\"authorization\"]")),
    REALM,
    FIELDS_END,
};
static const struct entity_rule jwt_rules[] = {
    {.kind = RULE_CONDITIONAL,
     .if_field = "config.maximum_expiration",
     .if_match = {MORE_THAN(0)},
     .then_field = "config.claims_to_verify",
     .then_match = {.contains = "exp"}},
    RULES_END,
};
const struct plugin_schema jwt_plugin = {
    .name = "jwt", .priority = 1450, .config = jwt_config, .rules = jwt_rules, .no_consumer = true};

/* ---- key-auth ---- */

static const struct field key_auth_config[] = {
    LIST_OF("key_names", &header_name_element, R, DEFAULT("[\"apikey\"]")),
    HIDE_CREDENTIALS,
    ANONYMOUS,
    FLAG("key_in_header", "true", R),
    FLAG("key_in_query", "true", R),
    FLAG("key_in_body", "false", R),
    FLAG("run_on_preflight", "true", R),
    REALM,
    FIELDS_END,
};
const struct plugin_schema key_auth_plugin = {
    .name = "key-auth", .priority = 1250, .config = key_auth_config, .no_consumer = true};

/* ---- ldap-auth ---- */

static const struct field ldap_auth_config[] = {
    TEXT("ldap_host", R, .check = check_host),
    INTEGER("ldap_port", R, DEFAULT("389"), PORT),
    FLAG("ldaps", "false", R),
    FLAG("start_tls", "false", R),
    FLAG("verify_ldap_host", "false", R),
    TEXT("base_dn", R),
    TEXT("attribute", R),
    NUMBER("cache_ttl", R, DEFAULT("60")),
    HIDE_CREDENTIALS,
    NUMBER("timeout", DEFAULT("10000")),
    NUMBER("keepalive", DEFAULT("60000")),
    ANONYMOUS,
    TEXT("header_type", DEFAULT("\"ldap\"")),
    REALM,
    FIELDS_END,
};
static const struct entity_rule ldap_auth_rules[] = {
    {.kind = RULE_CONDITIONAL,
     .if_field = "config.ldaps",
     .if_match = {.eq = "true"},
     .then_field = "config.start_tls",
     .then_match = {.eq = "false"},
     .sentence = "'ldaps' and 'start_tls' cannot be enabled simultaneously"},
    RULES_END,
};
const struct plugin_schema ldap_auth_plugin = {.name = "ldap-auth",
                                               .priority = 1200,
                                               .config = ldap_auth_config,
                                               .rules = ldap_auth_rules,
                                               .no_consumer = true};

/* ---- oauth2 ---- */

static const char *const pkces[] = {"none", "lax", "strict", NULL};
static const struct field oauth2_config[] = {
    LIST_OF("scopes", &text_element),
    FLAG("mandatory_scope", "false", R),
    TEXT("provision_key", R, .made = true, .encrypted = true),
    NUMBER("token_expiration", R, DEFAULT("7200")),
    FLAG("enable_authorization_code", "false", R),
    FLAG("enable_implicit_grant", "false", R),
    FLAG("enable_client_credentials", "false", R),
    FLAG("enable_password_grant", "false", R),
    HIDE_CREDENTIALS,
    FLAG("accept_http_if_already_terminated", "false", R),
    ANONYMOUS,
    FLAG("global_credentials", "false", R),
    TEXT("auth_header_name", DEFAULT("\"authorization\"")),
    NUMBER("refresh_token_ttl", R, DEFAULT("1209600"), BETWEEN(0, 100000000)),
    FLAG("reuse_refresh_token", "false", R),
    TEXT("pkce", DEFAULT("\"lax\""), ONE_OF(pkces)),
    REALM,
    FIELDS_END,
};
static const struct entity_rule oauth2_rules[] = {
    {.kind = RULE_CONDITIONAL,
     .if_field = "config.mandatory_scope",
     .if_match = {.eq = "true"},
     .then_field = "config.scopes",
     .then_match = {.required = true}},
    RULES_END,
};
static bool check_flows(const json_t *config, char *message, size_t size)
{
    static const char *const flows[] = {"enable_authorization_code", "enable_implicit_grant",
                                        "enable_client_credentials", "enable_password_grant"};
    for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++)
        if (json_is_true(json_object_get(config, flows[i])))
            return true;
    snprintf(message, size,
             "at least one of these fields must be true: enable_authorization_code, "
             "enable_implicit_grant, enable_client_credentials, enable_password_grant");
    return false;
}
const struct plugin_schema oauth2_plugin = {.name = "oauth2",
                                            .priority = 1400,
                                            .config = oauth2_config,
                                            .rules = oauth2_rules,
                                            .check = check_flows,
                                            .no_consumer = true};

/* ---- session ---- */

static const char *const session_storages[] = {"cookie", "kong", NULL};
static const char *const same_sites[] = {"Strict", "Lax", "None", "Default", NULL};
static const char *const session_headers[] = {
    "id", "audience", "subject", "timeout", "idling-timeout", "rolling-timeout", "absolute-timeout",
    NULL};
static const char *const logout_methods[] = {"GET", "POST", "DELETE", NULL};
static const struct field session_header = {.type = FIELD_STRING, ONE_OF(session_headers)};
static const struct field logout_method = {.type = FIELD_STRING, ONE_OF(logout_methods)};
static const struct field session_config[] = {
    TEXT("secret", .made = true, SECRET),
    TEXT("storage", DEFAULT("\"cookie\""), ONE_OF(session_storages)),
    TEXT("audience", DEFAULT("\"default\"")),
    NUMBER("idling_timeout", DEFAULT("900")),
    NUMBER("rolling_timeout", DEFAULT("3600")),
    NUMBER("absolute_timeout", DEFAULT("86400")),
    NUMBER("stale_ttl", DEFAULT("10")),
    TEXT("cookie_name", DEFAULT("\"session\"")),
    TEXT("cookie_path", DEFAULT("\"/\"")),
    TEXT("cookie_domain"),
    TEXT("cookie_same_site", DEFAULT("\"Strict\""), ONE_OF(same_sites)),
    FLAG("cookie_http_only", "true"),
    FLAG("cookie_secure", "true"),
    FLAG("remember", "false"),
    TEXT("remember_cookie_name", DEFAULT("\"remember\"")),
    NUMBER("remember_rolling_timeout", DEFAULT("604800")),
    NUMBER("remember_absolute_timeout", DEFAULT("2592000")),
    SET_OF("response_headers", &session_header),
    SET_OF("request_headers", &session_header),
    FLAG("read_body_for_logout", "false"),
    SET_OF("logout_methods", &logout_method, DEFAULT("[\"POST\",\"DELETE\"]")),
    TEXT("logout_query_arg", DEFAULT("\"session_logout\"")),
    TEXT("logout_post_arg", DEFAULT("\"session_logout\"")),
    FIELDS_END,
};
static const struct shorthand session_shorthands[] = {
    {NUMBER("cookie_lifetime"), "rolling_timeout", true},
    {NUMBER("cookie_idletime"), "idling_timeout", true},
    {TEXT("cookie_samesite"), "cookie_same_site", true},
    {FLAG("cookie_httponly", NULL), "cookie_http_only", true},
    {NUMBER("cookie_discard"), "stale_ttl", true},
    {FIELDS_END, NULL, false},
};
const struct plugin_schema session_plugin = {.name = "session",
                                             .priority = 1900,
                                             .config = session_config,
                                             .shorthands = session_shorthands,
                                             .takes_streams = true,
                                             .no_consumer = true};

/* ---- standard-webhooks ---- */

static const struct field standard_webhooks_config[] = {
    TEXT("secret_v1", R, SECRET),
    INTEGER("tolerance_second", R, DEFAULT("300"), MORE_THAN(-1)),
    FIELDS_END,
};
const struct plugin_schema standard_webhooks_plugin = {.name = "standard-webhooks",
                                                       .priority = 760,
                                                       .config = standard_webhooks_config,
                                                       .no_consumer = true};

/* ---- acme ---- */

static const char *const certificate_types[] = {"rsa", "ecc", NULL};
static const char *const acme_storages[] = {"kong", "shm", "redis", "consul", "vault", NULL};
static const char *const vault_methods[] = {"token", "kubernetes", NULL};
static const int64_t rsa_sizes[] = {2048, 3072, 4096, 0};

static bool check_email(const json_t *value, char *message, size_t size)
{
    const char *text = json_string_value(value);
    if (strchr(text, '@') || strncmp(text, "{vault://", 9) == 0)
        return true;
    snprintf(message, size, "invalid value: %s", text);
    return false;
}

static const struct field acme_account_key[] = {
    TEXT("key_id", R),
    TEXT("key_set"),
    FIELDS_END,
};
static const struct field acme_shm[] = {TEXT("shm_name", DEFAULT("\"kong\"")), FIELDS_END};
static const struct field acme_kong[] = {FIELDS_END};
static const struct field acme_redis_extra[] = {
    TEXT("namespace", R, DEFAULT("\"\""), .may_be_empty = true),
    NUMBER("scan_count", DEFAULT("10")),
    FIELDS_END,
};
static const struct field acme_redis[] = {
    REDIS_FIELDS,
    RECORD_OF("extra_options", acme_redis_extra),
    FIELDS_END,
};
static const struct shorthand acme_redis_shorthands[] = {
    {TEXT("auth"), "password", false},
    {TEXT("ssl_server_name"), "server_name", false},
    {TEXT("namespace", .may_be_empty = true), "extra_options.namespace", false},
    {INTEGER("scan_count"), "extra_options.scan_count", false},
    {FIELDS_END, NULL, false},
};
static const struct field acme_consul[] = {
    FLAG("https", "false"),
    TEXT("host", .check = check_host),
    INTEGER("port", PORT),
    TEXT("kv_path"),
    NUMBER("timeout"),
    TEXT("token", SECRET),
    FIELDS_END,
};
static const struct field acme_vault[] = {
    FLAG("https", "false"),
    TEXT("host", .check = check_host),
    INTEGER("port", PORT),
    TEXT("kv_path"),
    NUMBER("timeout"),
    TEXT("token", SECRET),
    FLAG("tls_verify", "true"),
    TEXT("tls_server_name"),
    TEXT("auth_method", DEFAULT("\"token\""), ONE_OF(vault_methods)),
    TEXT("auth_path"),
    TEXT("auth_role"),
    TEXT("jwt_path"),
    FIELDS_END,
};
static const struct field acme_storage_config[] = {
    RECORD_OF("shm", acme_shm),
    RECORD_OF("kong", acme_kong),
    RECORD_OF("redis", acme_redis, .shorthands = acme_redis_shorthands),
    RECORD_OF("consul", acme_consul),
    RECORD_OF("vault", acme_vault),
    FIELDS_END,
};
static const struct field acme_domain = {.type = FIELD_STRING, .check = check_route_host};
static const struct field acme_config[] = {
    TEXT("account_email", R, SECRET, .check = check_email),
    {.name = "account_key", .type = FIELD_RECORD, .fields = acme_account_key},
    TEXT("api_uri", DEFAULT("\"https://acme-v02.api.letsencrypt.org/directory\""),
         .check = check_url),
    FLAG("tos_accepted", "false"),
    TEXT("eab_kid", SECRET),
    TEXT("eab_hmac_key", SECRET),
    TEXT("cert_type", DEFAULT("\"rsa\""), ONE_OF(certificate_types)),
    NUMBER("rsa_key_size", DEFAULT("4096"), .one_of_integers = rsa_sizes),
    NUMBER("renew_threshold_days", DEFAULT("14")),
    LIST_OF("domains", &acme_domain),
    FLAG("allow_any_domain", "false"),
    NUMBER("fail_backoff_minutes", DEFAULT("5")),
    TEXT("storage", DEFAULT("\"shm\""), ONE_OF(acme_storages)),
    RECORD_OF("storage_config", acme_storage_config),
    TEXT("preferred_chain"),
    FLAG("enable_ipv4_common_name", "true"),
    FIELDS_END,
};
static const char *const lets_encrypt[] = {"https://acme-v02.api.letsencrypt.org",
                                           "https://acme-staging-v02.api.letsencrypt.org", NULL};
static const struct entity_rule acme_rules[] = {
    {.kind = RULE_CONDITIONAL,
     .if_field = "config.api_uri",
     .if_match = {.one_of = lets_encrypt},
     .then_field = "config.tos_accepted",
     .then_match = {.eq = "true"},
     .sentence = "terms of service must be accepted, see https://letsencrypt.org/repository/"},
    {.kind = RULE_CONDITIONAL,
     .if_field = "config.storage",
     .if_match = {.eq = "\"redis\""},
     .then_field = "config.storage_config.redis.host",
     .then_match = {.required = true}},
    RULES_END,
};
const struct plugin_schema acme_plugin = {.name = "acme",
                                          .priority = 1705,
                                          .config = acme_config,
                                          .rules = acme_rules,
                                          .no_consumer = true,
                                          .no_service = true,
                                          .no_route = true};
