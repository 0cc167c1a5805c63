#include "http/message.h"

#include <llhttp.h>

bool http_head_max_forwards(const struct http_head *head, uint64_t *ret)
{
    const struct http_field *field = http_head_find(head, HEADER_MAX_FORWARDS);
    return field && head->method == HTTP_OPTIONS && !field->is_hop_by_hop &&
           str_to_u64(http_field_value(head, field), ret);
}
