#include "discovery/consul_head.h"

static bool header_value(struct str line, struct str name, struct str *ret)
{
    if (line.len <= name.len || line.ptr[name.len] != ':' ||
        !str_equal_nocase(str_make(line.ptr, name.len), name))
        return false;
    struct str value = str_make(line.ptr + name.len + 1, line.len - name.len - 1);
    while (value.len > 0 && (value.ptr[value.len - 1] == '\n' || value.ptr[value.len - 1] == '\r'))
        value.len--;
    *ret = str_trim(value);
    return true;
}

bool consul_head_take(struct consul_head *head, struct str line)
{
    struct str value;
    bool is_first = str_starts_with(line, STR("HTTP/"));
    if (is_first)
        *head = (struct consul_head){0}; /* an answer after an interim one, or a second try */
    if (header_value(line, STR("X-Consul-Index"), &value))
        head->has_index = str_to_u64(value, &head->index) && head->index > 0;
    else if (header_value(line, STR("X-Consul-Results-Filtered-By-ACLs"), &value))
        head->is_filtered = str_equal_nocase(value, STR("true"));
    else if (header_value(line, STR("X-Consul-Default-Acl-Policy"), &value))
        head->is_denied = str_equal_nocase(value, STR("deny"));
    else if (header_value(line, STR("X-Consul-Query-Backend"), &value))
        head->is_streaming = str_equal_nocase(value, STR("streaming"));
    else if (header_value(line, STR("X-Consul-KnownLeader"), &value))
        head->is_leaderless = str_equal_nocase(value, STR("false"));
    else if (header_value(line, STR("X-Consul-LastContact"), &value))
        str_to_u64(value, &head->lag_ms);
    else if (header_value(line, STR("Age"), &value))
        str_to_u64(value, &head->age_s);
    else if (header_value(line, STR("Retry-After"), &value))
        str_to_u64(value, &head->retry_after_s);
    return is_first;
}
