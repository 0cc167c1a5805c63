#include "control/options.h"

#include <string.h>

#include <uv.h> /* error codes only */

#include "control/setting.h"

static const char *default_of(const struct setting *setting)
{
    return setting->initial ? setting->initial : setting->computed;
}

/* Help is made once, for people: the first failure is remembered in *rc, the rest is skipped. */
#define PRINT(...)                                                                                 \
    do {                                                                                           \
        if (rc == 0)                                                                               \
            rc = buf_printf(out, __VA_ARGS__);                                                     \
    } while (0)

static int print_other_names(struct buf *out, const struct setting *setting, const char *quote)
{
    int rc = 0;
    for (struct str names = str_of(setting->kong); names.len > 0;) {
        struct str name = str_cut(&names, ' ');
        PRINT(", %s%.*s%s", quote, STR_ARG(name), quote);
    }
    if (setting->other)
        PRINT(", %s%s%s", quote, setting->other, quote);
    return rc;
}

/* Text for a terminal, where backquotes only disturb. */
static int print_plain(struct buf *out, const char *label, const char *text)
{
    int rc = 0;
    PRINT("      %s", label);
    for (struct str rest = str_of(text); rc == 0 && rest.ptr;) {
        struct str part = str_cut(&rest, '`');
        PRINT("%.*s", STR_ARG(part));
    }
    PRINT("\n");
    return rc;
}

int options_help(struct buf *out)
{
    int rc = 0;
    PRINT("Usage: weir run [-c FILE] [--setting VALUE]…\n\n"
          "Starts the gateway. Each setting is a flag, a variable of the environment, or a line\n"
          "`name = value` of the file; flags win over variables, variables over the file.\n");
    for (unsigned i = 0; rc == 0 && i < setting_count; i++) {
        const struct setting *setting = &settings[i];
        char flag[SETTING_NAME_BYTES], variable[SETTING_NAME_BYTES];
        setting_flag(setting->name, flag);
        setting_variable(setting->name, variable);
        PRINT("\n  %s %s   (%s", flag, setting->value, variable);
        if (rc == 0)
            rc = print_other_names(out, setting, "");
        PRINT(")\n");
        if (rc == 0)
            rc = print_plain(out, "", setting->help);
        if (rc == 0)
            rc = print_plain(out, "Allowed: ", setting->allowed);
        if (rc == 0)
            rc = print_plain(out, "Default: ", default_of(setting));
    }
    return rc;
}

static const char markdown_intro[] =
    "# Configuration\n"
    "\n"
    "Every setting has a name, such as `proxy_listen`, and can be written as\n"
    "\n"
    "- a flag: `weir run --proxy-listen 0.0.0.0:8000` or `--proxy-listen=0.0.0.0:8000`;\n"
    "- a variable of the environment: `WEIR_PROXY_LISTEN=0.0.0.0:8000`;\n"
    "- a line of a file, `proxy_listen = 0.0.0.0:8000`, when weir is started with `weir run -c "
    "FILE`"
    "\n  or `WEIR_CONFIG=FILE`. `#` at the start of a line or after a space begins a comment.\n"
    "\n"
    "A flag wins over a variable, a variable over the file, the file over the default. Where a\n"
    "`WEIR_` variable isn't set, the `KONG_` variable of the same meaning is read; variables of\n"
    "Consul's tools come last, just before the default. An empty value counts as not set.\n"
    "\n"
    "A wrong value stops weir at its start, with exit code 1 and a line that says what is "
    "allowed.\n"
    "So does an unknown flag, an unknown name in the file or an unknown `WEIR_` variable; other\n"
    "`KONG_` variables are ignored. Sizes are bytes or have a `k`, `m` or `g` after the number;\n"
    "seconds may have a fraction.\n"
    "\n"
    "This page is made from the same table as `weir run --help`: `weir run --help=markdown`.\n";

int options_help_markdown(struct buf *out)
{
    int rc = 0;
    PRINT("%s", markdown_intro);
    for (unsigned i = 0; rc == 0 && i < setting_count; i++) {
        const struct setting *setting = &settings[i];
        char flag[SETTING_NAME_BYTES], variable[SETTING_NAME_BYTES];
        setting_flag(setting->name, flag);
        setting_variable(setting->name, variable);
        const char *quote = setting->initial ? "`" : "";
        PRINT("\n## %s\n\n%s\n\n", setting->name, setting->help);
        PRINT("- Flag: `%s %s`\n- Variables: `%s`", flag, setting->value, variable);
        if (rc == 0)
            rc = print_other_names(out, setting, "`");
        PRINT("\n- Allowed: %s%s\n", setting->allowed,
              setting->is_secret ? "; never shown or logged" : "");
        PRINT("- Default: %s%s%s\n", quote, default_of(setting), quote);
    }
    return rc;
}
