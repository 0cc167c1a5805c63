#include "proxy/wall_clock.h"

#include <time.h>

/* strftime's %a and %b follow the locale; these headers may not. */
static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static char *put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

static char *put_number(char *out, int number, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return out + digits;
}

static char *put_time(char *out, const struct tm *tm)
{
    out = put_number(out, tm->tm_hour, 2);
    *out++ = ':';
    out = put_number(out, tm->tm_min, 2);
    *out++ = ':';
    return put_number(out, tm->tm_sec, 2);
}

static void write_http_text(char *out, const struct tm *tm)
{
    out = put(out, day_names[tm->tm_wday], 3);
    out = put(out, ", ", 2);
    out = put_number(out, tm->tm_mday, 2);
    *out++ = ' ';
    out = put(out, month_names[tm->tm_mon], 3);
    *out++ = ' ';
    out = put_number(out, tm->tm_year + 1900, 4);
    *out++ = ' ';
    out = put_time(out, tm);
    put(out, " GMT", 5);
}

static void write_log_text(char *out, const struct tm *tm)
{
    out = put_number(out, tm->tm_mday, 2);
    *out++ = '/';
    out = put(out, month_names[tm->tm_mon], 3);
    *out++ = '/';
    out = put_number(out, tm->tm_year + 1900, 4);
    *out++ = ':';
    out = put_time(out, tm);
    *out++ = ' ';
    long minutes = tm->tm_gmtoff / 60;
    *out++ = minutes < 0 ? '-' : '+';
    minutes = minutes < 0 ? -minutes : minutes;
    out = put_number(out, (int)(minutes / 60), 2);
    out = put_number(out, (int)(minutes % 60), 2);
    *out = '\0';
}

static void write_iso_text(char *out, const struct tm *tm)
{
    out = put_number(out, tm->tm_year + 1900, 4);
    *out++ = '-';
    out = put_number(out, tm->tm_mon + 1, 2);
    *out++ = '-';
    out = put_number(out, tm->tm_mday, 2);
    *out++ = 'T';
    out = put_time(out, tm);
    long minutes = tm->tm_gmtoff / 60;
    *out++ = minutes < 0 ? '-' : '+';
    minutes = minutes < 0 ? -minutes : minutes;
    out = put_number(out, (int)(minutes / 60), 2);
    *out++ = ':';
    out = put_number(out, (int)(minutes % 60), 2);
    *out = '\0';
}

void wall_clock_refresh(struct wall_clock *clock, uint64_t now_ms)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    clock->next_ms = now_ms + 1000 - (uint64_t)(now.tv_nsec / 1000000);
    gmtime_r(&now.tv_sec, &tm);
    write_http_text(clock->http_text, &tm);
    localtime_r(&now.tv_sec, &tm);
    write_log_text(clock->log_text, &tm);
    write_iso_text(clock->iso_text, &tm);
}
