#include "admin/paging.h"

#include <math.h>
#include <stdlib.h>

#include <openssl/evp.h>

#define MAX_OFFSET_BYTES 256 /* ours have 52 */

static void refuse(struct admin_request *request, enum violation_code code, const char *message)
{
    violation_set(&request->violation, code, NULL, "%s", message);
}

static bool parse_size(struct admin_request *request, struct page *page)
{
    struct str text;
    page->size = PAGING_DEFAULT_SIZE;
    if (!admin_request_query(request, "size", &text))
        return true;
    struct str terminated = arena_copy(&request->arena, text);
    char *end = NULL;
    double size = terminated.len > 0 ? strtod(terminated.ptr, &end) : 0;
    if (terminated.len == 0 || *end != '\0' || isnan(size)) {
        refuse(request, VIOLATION_SIZE, "size must be a number");
        return false;
    }
    if (size < 1 || size > PAGING_MAX_SIZE || size != (double)(unsigned)size) {
        refuse(request, VIOLATION_SIZE, "size must be an integer between 1 and 1000");
        return false;
    }
    page->size = (size_t)size;
    return true;
}

const char *page_offset(struct arena *arena, const char *id)
{
    size_t plain_size = strlen(id) + 5;
    char *plain = arena_alloc(arena, plain_size);
    char *token = arena_alloc(arena, (plain_size + 2) / 3 * 4 + 1);
    if (!plain || !token)
        return NULL;
    size_t len = (size_t)snprintf(plain, plain_size, "[\"%s\"]", id);
    EVP_EncodeBlock((unsigned char *)token, (const unsigned char *)plain, (int)len);
    token[strcspn(token, "=")] = '\0'; /* Kong's tokens aren't padded either */
    return token;
}

/* Decodes a token, padded or not; -1 when it is no base64. */
static int decode_token(struct str token, char *out)
{
    unsigned char padded[MAX_OFFSET_BYTES + 4];
    while (token.len > 0 && token.ptr[token.len - 1] == '=')
        token.len--;
    if (token.len == 0 || token.len > MAX_OFFSET_BYTES || token.len % 4 == 1)
        return -1;
    memcpy(padded, token.ptr, token.len);
    size_t padding = (4 - token.len % 4) % 4;
    memset(padded + token.len, '=', padding);
    int len = EVP_DecodeBlock((unsigned char *)out, padded, (int)(token.len + padding));
    return len < 0 ? -1 : len - (int)padding;
}

static bool parse_offset(struct admin_request *request, struct page *page)
{
    struct str token;
    page->after = NULL;
    if (!admin_request_query(request, "offset", &token))
        return true;
    char text[MAX_OFFSET_BYTES + 4];
    int len = decode_token(token, text);
    json_t *key = len > 0 ? json_loadb(text, (size_t)len, 0, NULL) : NULL;
    const char *id = json_string_value(json_array_get(key, 0));
    if (id)
        page->after = arena_copy(&request->arena, str_of(id)).ptr;
    json_decref(key);
    if (page->after)
        return true;
    json_t *shown = json_stringn(token.ptr ? token.ptr : "", token.len); /* NULL: no UTF-8 */
    violation_set(&request->violation, VIOLATION_OFFSET, NULL, "'%s' is not a valid offset: bad %s",
                  shown ? json_string_value(shown) : "", len < 0 ? "base64 encoding" : "content");
    json_decref(shown);
    return false;
}

static bool refuse_tags(struct admin_request *request, const char *why)
{
    violation_set(&request->violation, VIOLATION_OPTIONS, json_pack("{s:s}", "tags", why),
                  "invalid option (tags: %s)", why);
    return false;
}

static bool parse_tags(struct admin_request *request, struct page *page)
{
    struct str text;
    page->any_tag = false;
    page->tags[0] = NULL;
    if (!admin_request_query(request, "tags", &text))
        return true;
    if (text.len == 0)
        return refuse_tags(request, "cannot be null");
    page->any_tag = memchr(text.ptr, '/', text.len) != NULL;
    if (page->any_tag && memchr(text.ptr, ',', text.len))
        return refuse_tags(request, "invalid filter syntax");
    size_t count = 0;
    while (text.len > 0) {
        struct str tag = str_cut(&text, page->any_tag ? '/' : ',');
        if (tag.len == 0)
            return refuse_tags(request, "invalid filter syntax");
        if (count == PAGING_MAX_TAGS)
            return refuse_tags(request, "cannot query more than 5 tags");
        if (!(page->tags[count++] = arena_copy(&request->arena, tag).ptr))
            return refuse_tags(request, "out of memory");
    }
    page->tags[count] = NULL;
    return true;
}

bool page_parse(struct admin_request *request, bool with_tags, struct page *ret)
{
    *ret = (struct page){.size = 0};
    return parse_size(request, ret) && parse_offset(request, ret) &&
           (!with_tags || parse_tags(request, ret));
}
