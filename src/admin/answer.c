#include "admin/answer.h"

#include <assert.h>
#include <time.h>

#include "admin/info.h"
#include "admin/problem.h"
#include "base/buf.h"

static void add_date(struct buf *out)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm t;
    gmtime_r(&now, &t);
    buf_printf(out, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[t.tm_wday], t.tm_mday,
               months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

static void add_cors(struct buf *out, const struct answer *answer)
{
    if (answer->varies_by_origin)
        buf_printf(out, "Vary: Origin\r\n");
    if (answer->allowed_origin.len == 0)
        return;
    buf_printf(out,
               "Access-Control-Allow-Origin: %.*s\r\nAccess-Control-Allow-Credentials: true\r\n",
               STR_ARG(answer->allowed_origin));
    if (answer->is_preflight && answer->allow) {
        struct str wanted =
            answer->wanted_headers.len > 0 ? answer->wanted_headers : STR("Content-Type");
        buf_printf(out,
                   "Access-Control-Allow-Methods: %s\r\nAccess-Control-Allow-Headers: %.*s\r\n",
                   answer->allow, STR_ARG(wanted));
    }
}

size_t answer_write_head(const struct answer *answer, char head[ANSWER_MAX_HEAD_BYTES])
{
    struct buf out;
    buf_init(&out, ANSWER_MAX_HEAD_BYTES);
    buf_printf(&out, "HTTP/1.1 %d %s\r\n", answer->status, admin_problem_reason(answer->status));
    add_date(&out);
    if (answer->body_len > 0)
        buf_printf(&out, "Content-Type: %s\r\n",
                   answer->type ? answer->type : "application/json; charset=utf-8");
    if (answer->status != 204) /* RFC 9110, section 8.6 */
        buf_printf(&out, "Content-Length: %zu\r\n", answer->body_len);
    buf_printf(&out, "Connection: %s\r\n", answer->keep_alive ? "keep-alive" : "close");
    if (answer->allow)
        buf_printf(&out, "Allow: %s\r\n", answer->allow);
    if (answer->retry_after_s > 0)
        buf_printf(&out, "Retry-After: %u\r\n", answer->retry_after_s);
    if (answer->challenge)
        buf_printf(&out, "WWW-Authenticate: %s\r\n", answer->challenge);
    if (answer->behind)
        buf_printf(&out, "X-Weir-Behind: %s\r\n", answer->behind);
    add_cors(&out, answer);
    buf_printf(&out, "X-Kong-Admin-Latency: %llu\r\nServer: kong/" ADMIN_KONG_VERSION "\r\n\r\n",
               (unsigned long long)answer->latency_ms);
    size_t len = buf_len(&out);
    assert(len <= ANSWER_MAX_HEAD_BYTES); /* what is echoed has its own limit */
    memcpy(head, buf_str(&out).ptr, len);
    buf_deinit(&out);
    return len;
}
