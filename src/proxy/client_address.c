#include "proxy/client_address.h"

#include <string.h>

#include <uv.h>

/* Without the port of "10.0.0.1:80" or "[::1]:80". */
static struct str without_port(struct str text)
{
    const char *colon = memchr(text.ptr, ':', text.len);
    const char *bracket = memchr(text.ptr, ']', text.len);
    if (bracket && text.ptr[0] == '[')
        return str_make(text.ptr, (size_t)(bracket - text.ptr) + 1);
    if (colon && !memchr(colon + 1, ':', text.len - (size_t)(colon + 1 - text.ptr)))
        return str_make(text.ptr, (size_t)(colon - text.ptr));
    return text;
}

struct str client_address_write(const struct cidr_address *address, char out[CLIENT_ADDRESS_BYTES])
{
    bool is_v4 = cidr_is_v4(address);
    int rc = uv_inet_ntop(is_v4 ? AF_INET : AF_INET6, address->bytes + (is_v4 ? 12 : 0), out,
                          CLIENT_ADDRESS_BYTES);
    return rc ? STR_EMPTY : str_of(out);
}

/* Cuts the last item off a comma list. */
static struct str cut_last(struct str *list)
{
    size_t start = list->len;
    while (start > 0 && list->ptr[start - 1] != ',')
        start--;
    struct str item = str_trim(str_make(list->ptr + start, list->len - start));
    list->len = start > 0 ? start - 1 : 0;
    return item;
}

struct str client_address_find(const struct client_trust *trust, const struct http_head *head,
                               char out[CLIENT_ADDRESS_BYTES])
{
    struct cidr_address found;
    bool has_found = false;
    for (unsigned i = head->field_count; i-- > 0;) {
        const struct http_field *field = &head->fields[i];
        if (field->name_len != trust->header.len ||
            !str_equal_nocase(http_field_name(head, field), trust->header))
            continue;
        struct str list = http_field_value(head, field);
        while (list.len > 0) {
            struct cidr_address address;
            if (!cidr_read_address(without_port(cut_last(&list)), &address))
                goto end;
            found = address;
            has_found = true;
            if (!trust->is_recursive || !cidr_set_has(&trust->proxies, &found))
                goto end;
        }
    }
end:
    return has_found ? client_address_write(&found, out) : STR_EMPTY;
}
