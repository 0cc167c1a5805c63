#include "control/options.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h> /* error codes only */

#include "control/kong.h"
#include "control/setting.h"
#include "net/tls_self_signed.h"
#include "proxy/log_format.h"

#define FILE_MAX_LINES 10000

/* Where texts come from, the strongest first. */
enum layer {
    LAYER_FLAG = 0,
    LAYER_WEIR,  /* WEIR_* variables */
    LAYER_KONG,  /* KONG_* variables */
    LAYER_FILE,  /* the file */
    LAYER_OTHER, /* variables of other tools */
    LAYER_COUNT, /* and then comes the default */
};

struct text {
    char *value;                     /* owned; NULL: not set here */
    char source[SETTING_NAME_BYTES]; /* the name that the human wrote */
    unsigned line;                   /* of the file */
};

struct reading {
    struct text texts[LAYER_COUNT][OPTIONS_MAX];
    char *const *environment; /* borrowed */
};

/* An empty value leaves the setting to the weaker layers. */
static int set_text(struct reading *reading, enum layer layer, const struct setting *setting,
                    const char *source, const char *value)
{
    struct text *text = &reading->texts[layer][setting - settings];
    free(text->value);
    text->value = NULL;
    if (value[0] == '\0')
        return 0;
    text->value = strdup(value);
    snprintf(text->source, sizeof(text->source), "%s", source);
    return text->value ? 0 : UV_ENOMEM;
}

static const struct text *find_text(const struct reading *reading, const struct setting *setting)
{
    for (int layer = 0; layer < LAYER_COUNT; layer++)
        if (reading->texts[layer][setting - settings].value)
            return &reading->texts[layer][setting - settings];
    return NULL;
}

/* `spell` writes the suggestion the way the human wrote the name. */
static int refuse_name(const char *source, const char *name,
                       void (*spell)(const char *name, char out[SETTING_NAME_BYTES]),
                       struct error *err)
{
    char spelled[SETTING_NAME_BYTES];
    const char *nearest = setting_nearest(name);
    if (strncmp(name, "pg_ro_", 6) == 0) {
        error_set(err, source, "is not a setting: nodes read from memory, and follow the primary");
    } else if (nearest) {
        spell(nearest, spelled);
        error_set(err, source, "is not a setting; did you mean %s?", spelled);
    } else {
        error_set(err, source, "is not a setting; `weir run --help` lists them all");
    }
    return UV_EINVAL;
}

/* Flags. */

/* Reads the flag at flags[0]; *ret_used gets how many arguments it took. */
static int read_flag(struct reading *reading, char *const *flags, size_t *ret_used,
                     struct error *err)
{
    const char *flag = flags[0];
    char source[SETTING_NAME_BYTES];
    size_t len = strcspn(flag, "=");
    snprintf(source, sizeof(source), "%.*s", (int)len, flag);

    bool is_short = strcmp(flag, "-c") == 0;
    if (!is_short && strncmp(flag, "--", 2) != 0) {
        error_set(err, source, "is not a flag; `weir run --help` lists them all");
        return UV_EINVAL;
    }
    const char *name = is_short ? "config" : source + 2;
    const struct setting *setting = setting_find(name);
    if (!setting)
        return refuse_name(source, name, setting_flag, err);

    const char *value = flag[len] == '=' ? flag + len + 1 : flags[1];
    if (!value) {
        error_set(err, source, "needs a value: %s", setting->value);
        return UV_EINVAL;
    }
    *ret_used = flag[len] == '=' ? 1 : 2;
    return set_text(reading, LAYER_FLAG, setting, source, value);
}

static int read_flags(struct reading *reading, char *const *flags, struct error *err)
{
    int rc = 0;
    size_t used = 0;
    for (; rc == 0 && *flags; flags += used)
        rc = read_flag(reading, flags, &used, err);
    return rc;
}

/* The environment. */

static const char *find_variable(char *const *environment, struct str name)
{
    for (; *environment; environment++)
        if (strncmp(*environment, name.ptr, name.len) == 0 && (*environment)[name.len] == '=')
            return *environment + name.len + 1;
    return NULL;
}

/* Kubernetes tells every pod of each service of its namespace, so one called "weir" would put
 * WEIR_SERVICE_HOST, WEIR_PORT, WEIR_PORT_8000_TCP_ADDR and the like into our environment. */
static bool is_of_kubernetes(const char *name, const char *value)
{
    return strstr(name, "SERVICE_HOST") || strstr(name, "SERVICE_PORT") || strstr(name, "_TCP_") ||
           strstr(name, "_UDP_") || strncmp(value, "tcp://", 6) == 0 ||
           strncmp(value, "udp://", 6) == 0;
}

static int read_weir_variable(struct reading *reading, const char *variable, struct error *err)
{
    char source[SETTING_NAME_BYTES], name[SETTING_NAME_BYTES] = "";
    size_t len = strcspn(variable, "=");
    const char *value = variable[len] ? variable + len + 1 : "";
    snprintf(source, sizeof(source), "%.*s", (int)len, variable);
    const char *upper = source + strlen("WEIR_");
    for (size_t i = 0; upper[i]; i++)
        name[i] = str_lower_char(upper[i]);

    const struct setting *setting = setting_find(name);
    if (setting)
        return set_text(reading, LAYER_WEIR, setting, source, value);
    return is_of_kubernetes(upper, value) ? 0 : refuse_name(source, name, setting_variable, err);
}

/* The first of the setting's Kong variables that is set. */
static int read_kong_variables(struct reading *reading, const struct setting *setting,
                               struct error *err)
{
    struct str names = str_of(setting->kong);
    while (names.len > 0) {
        struct str name = str_cut(&names, ' ');
        char source[SETTING_NAME_BYTES], *from_file;
        const char *value = find_variable(reading->environment, name);
        int rc = kong_read_file_variable(reading->environment, name, value, &from_file, err);
        if (rc < 0)
            return rc;
        value = from_file ? from_file : value;
        snprintf(source, sizeof(source), "%.*s", STR_ARG(name));
        bool is_set = value && value[0];
        if (is_set)
            rc = set_text(reading, LAYER_KONG, setting, source, value);
        free(from_file);
        if (is_set)
            return rc;
    }
    return 0;
}

static int read_environment(struct reading *reading, struct error *err)
{
    int rc = 0;
    for (char *const *at = reading->environment; rc == 0 && *at; at++)
        if (strncmp(*at, "WEIR_", 5) == 0)
            rc = read_weir_variable(reading, *at, err);
    for (unsigned i = 0; rc == 0 && i < setting_count; i++) {
        const struct setting *setting = &settings[i];
        const char *value =
            setting->other ? find_variable(reading->environment, str_of(setting->other)) : NULL;
        if (value)
            rc = set_text(reading, LAYER_OTHER, setting, setting->other, value);
        if (rc == 0)
            rc = read_kong_variables(reading, setting, err);
    }
    return rc;
}

/* The file. */

static void spell_plainly(const char *name, char out[SETTING_NAME_BYTES])
{
    snprintf(out, SETTING_NAME_BYTES, "%s", name);
}

/* Without a comment: '#' at the start or after a blank, so that a value may hold one. */
static struct str without_comment(struct str line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] == '#' && (i == 0 || line.ptr[i - 1] == ' ' || line.ptr[i - 1] == '\t'))
            line.len = i;
    return str_trim(line);
}

static int read_line(struct reading *reading, struct str line, unsigned number, const char *path,
                     struct error *err)
{
    struct str value = without_comment(line);
    if (value.len == 0)
        return 0;
    struct str name = str_trim(str_cut(&value, '='));
    char source[SETTING_NAME_BYTES], text[4096];
    value = str_trim(value);
    if (!value.ptr || name.len == 0 || value.len >= sizeof(text)) {
        error_set(err, path, "line %u must be `name = value`", number);
        return UV_EINVAL;
    }
    snprintf(source, sizeof(source), "%.*s", STR_ARG(name));
    snprintf(text, sizeof(text), "%.*s", STR_ARG(value));
    const char *bare = strncmp(source, "weir_", 5) == 0 ? source + 5 : source;

    const struct setting *setting = setting_find(bare);
    if (!setting || setting == setting_find("config"))
        return refuse_name(source, bare, spell_plainly, err);
    reading->texts[LAYER_FILE][setting - settings].line = number;
    return set_text(reading, LAYER_FILE, setting, source, text);
}

/* Says where in which file the error is. */
static void add_place(struct error *err, const char *path, unsigned line)
{
    if (!err)
        return;
    size_t len = strlen(err->sentence);
    snprintf(err->sentence + len, sizeof(err->sentence) - len, " (%s, line %u)", path, line);
}

static int read_lines(struct reading *reading, FILE *file, const char *path, struct error *err)
{
    int rc = 0;
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    for (unsigned number = 1; rc == 0 && (len = getline(&line, &size, file)) >= 0; number++) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        struct str text = str_make(line, (size_t)len);
        if (memchr(line, '\0', text.len) || number > FILE_MAX_LINES) {
            error_set(err, path, "is not a file of settings");
            rc = UV_EINVAL;
        } else if ((rc = read_line(reading, text, number, path, err)) < 0 && err &&
                   strcmp(err->field, path) != 0) {
            add_place(err, path, number);
        }
    }
    if (rc == 0 && ferror(file)) {
        rc = -errno;
        error_set(err, path, "can't be read: %s", uv_strerror(rc));
    }
    free(line);
    return rc;
}

static int read_file(struct reading *reading, struct error *err)
{
    const struct text *config = find_text(reading, setting_find("config"));
    if (!config)
        return 0;
    FILE *file = fopen(config->value, "re");
    if (!file) {
        int rc = -errno;
        error_set(err, config->source, "can't read %s: %s", config->value, uv_strerror(rc));
        return rc;
    }
    int rc = read_lines(reading, file, config->value, err);
    fclose(file);
    return rc;
}

/* Values. */

/* Where data goes when nobody says: root's place where it can be written to (a container may be
 * read-only), else the user's. NULL with *err when there is none; the caller owns it. */
static char *usual_data_dir(char *const *environment, struct error *err)
{
    static const char root_dir[] = "/var/lib/weir";
    char *dir = NULL;
    if (geteuid() == 0 && (access(root_dir, W_OK) == 0 || access("/var/lib", W_OK) == 0))
        return strdup(root_dir);

    const char *base = find_variable(environment, STR("XDG_DATA_HOME"));
    const char *home = find_variable(environment, STR("HOME"));
    int len = -1;
    if (base && base[0] == '/')
        len = asprintf(&dir, "%s/weir", base);
    else if (home && home[0] == '/')
        len = asprintf(&dir, "%s/.local/share/weir", home);
    if (len < 0)
        error_set(err, "WEIR_DATA_DIR", "must be set, as HOME is not");
    return len < 0 ? NULL : dir;
}

static int use_setting(struct options *options, const struct reading *reading,
                       const struct setting *setting, struct error *err)
{
    char source[SETTING_NAME_BYTES];
    setting_variable(setting->name, source);
    const struct text *text = find_text(reading, setting);
    const char *kongs = kong_initial(setting->name, reading->environment);
    char **slot = &options->texts[setting - settings];
    if (text)
        *slot = strdup(text->value);
    else if (kongs)
        *slot = strdup(kongs);
    else if (setting->initial)
        *slot = strdup(setting->initial);
    else if (setting->offset == offsetof(struct options, data_dir))
        *slot = usual_data_dir(reading->environment, err);
    else
        return 0;
    if (!*slot)
        return UV_ENOMEM;

    int rc = setting->parse(setting, *slot, text ? text->source : source, options, err);
    if (rc < 0 && text && text->line > 0) {
        const struct text *config = find_text(reading, setting_find("config"));
        add_place(err, config->value, text->line);
    }
    return rc;
}

int options_init(struct options *options, char *const *flags, char *const *environment,
                 struct error *err)
{
    assert(options && flags && environment);

    memset(options, 0, sizeof(*options));
    error_set(err, "", "out of memory"); /* unless something more telling is wrong */
    int rc = UV_ENOMEM;
    struct reading *reading = calloc(1, sizeof(*reading));
    if (!reading)
        return rc;
    reading->environment = environment;

    rc = read_flags(reading, flags, err);
    if (rc == 0)
        rc = read_environment(reading, err);
    if (rc == 0)
        rc = read_file(reading, err);
    for (unsigned i = 0; rc == 0 && i < setting_count; i++)
        rc = use_setting(options, reading, &settings[i], err);

    for (int layer = 0; layer < LAYER_COUNT; layer++)
        for (unsigned i = 0; i < setting_count; i++)
            free(reading->texts[layer][i].value);
    free(reading);
    if (rc < 0)
        options_deinit(options);
    return rc;
}

void options_deinit(struct options *options)
{
    free(options->admin_tokens_file);
    free(options->admin_token_file);
    free(options->admin_cors_origins);
    free(options->admin_ssl_client_certificate);
    free(options->lua_ssl_trusted_certificate);
    free(options->ssl_cert);
    tls_wipe_text(options->ssl_cert_key);
    free(options->admin_ssl_cert);
    tls_wipe_text(options->admin_ssl_cert_key);
    free(options->status_ssl_cert);
    tls_wipe_text(options->status_ssl_cert_key);
    free(options->client_ssl_cert);
    tls_wipe_text(options->client_ssl_cert_key);
    free(options->ssl_stapling_file);
    free(options->acme_hosts);
    free(options->acme_directory);
    free(options->acme_email);
    free(options->acme_ca_file);
    free(options->acme_eab_kid);
    free(options->acme_eab_hmac_file);
    free(options->ssl_cipher_suite);
    free(options->ssl_ciphers);
    free(options->ssl_protocols);
    free(options->ssl_client_certificate);
    free(options->stream_ssl_alpn);
    free(options->ssl_ticket_secret_file);
    free(options->declarative_config);
    free(options->declarative_config_string);
    free(options->data_dir);
    free(options->pg_hosts);
    free(options->pg_user);
    free(options->pg_password);
    free(options->pg_database);
    free(options->pg_schema);
    free(options->pg_ca_file);
    free(options->pg_cert_file);
    free(options->pg_key_file);
    free(options->consul_url);
    free(options->consul_token);
    free(options->consul_token_file);
    free(options->consul_cacert);
    free(options->consul_client_cert);
    free(options->consul_client_key);
    free(options->consul_server_name);
    free(options->consul_node);
    free(options->zone);
    free(options->dns_servers);
    free(options->dns_forwards);
    log_format_destroy(options->access_log_format);
    free(options->access_log_path);
    free(options->real_ip_header);
    cidr_set_deinit(&options->trust.proxies);
    for (unsigned i = 0; i < setting_count; i++)
        free(options->texts[i]);
    memset(options, 0, sizeof(*options));
}

void options_store_settings(const struct options *options, struct store_settings *ret)
{
    *ret = (struct store_settings){
        .engine = options->database,
        .data_dir = options->data_dir,
        .pg =
            {
                .hosts = options->pg_hosts,
                .user = options->pg_user,
                .password = options->pg_password,
                .database = options->pg_database,
                .schema = options->pg_schema,
                .ca_file = options->pg_ca_file,
                .cert_file = options->pg_cert_file,
                .key_file = options->pg_key_file,
                .timeout_ms = options->pg_timeout_ms,
                .port = (uint16_t)options->pg_port,
                .has_tls = options->pg_has_tls,
                .verifies_tls = options->pg_verifies_tls,
            },
        .migrates = options->migrates,
    };
}
