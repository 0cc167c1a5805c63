#include "health/grpc_health.h"

#include <string.h>

#define PREFIX_BYTES 5 /* not compressed: 0, then the message's length in four bytes */
#define VARINT_MAX_BYTES 10

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

size_t grpc_health_write_request(struct str service, uint8_t out[GRPC_HEALTH_MAX_REQUEST])
{
    uint8_t *at = out + PREFIX_BYTES;
    if (service.len > 0) { /* field 1, of the kind that has a length: two bytes from 128 on */
        *at++ = 1 << 3 | WIRE_BYTES;
        if (service.len > 127) {
            *at++ = (uint8_t)(service.len & 127) | 128;
            *at++ = (uint8_t)(service.len >> 7);
        } else {
            *at++ = (uint8_t)service.len;
        }
        memcpy(at, service.ptr, service.len);
        at += service.len;
    }
    size_t len = (size_t)(at - out) - PREFIX_BYTES;
    const uint8_t prefix[PREFIX_BYTES] = {0, 0, 0, (uint8_t)(len >> 8), (uint8_t)len};
    memcpy(out, prefix, sizeof(prefix));
    return PREFIX_BYTES + len;
}

struct reader {
    const uint8_t *at;
    const uint8_t *end;
};

static bool read_varint(struct reader *reader, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_MAX_BYTES && reader->at < reader->end; i++) {
        uint8_t byte = *reader->at++;
        value |= (uint64_t)(byte & 127) << (7 * i);
        if (byte < 128) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool skip(struct reader *reader, uint64_t count)
{
    if (count > (uint64_t)(reader->end - reader->at))
        return false;
    reader->at += count;
    return true;
}

static bool skip_field(struct reader *reader, unsigned type)
{
    uint64_t number;
    switch (type) {
    case WIRE_VARINT:
        return read_varint(reader, &number);
    case WIRE_64:
        return skip(reader, 8);
    case WIRE_BYTES:
        return read_varint(reader, &number) && skip(reader, number);
    case WIRE_32:
        return skip(reader, 4);
    default:
        return false;
    }
}

bool grpc_health_read_response(const uint8_t *bytes, size_t len, enum grpc_health_status *ret)
{
    if (len < PREFIX_BYTES || bytes[0] != 0)
        return false;
    uint32_t message =
        (uint32_t)bytes[1] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 8 | bytes[4];
    if (message != len - PREFIX_BYTES)
        return false;
    struct reader reader = {bytes + PREFIX_BYTES, bytes + len};
    uint64_t status = 0; /* where the field is absent it is 0 */
    while (reader.at < reader.end) {
        uint64_t tag;
        if (!read_varint(&reader, &tag) || tag >> 3 == 0)
            return false;
        bool is_status = tag == (1 << 3 | WIRE_VARINT);
        if (!(is_status ? read_varint(&reader, &status) : skip_field(&reader, tag & 7)))
            return false;
    }
    *ret = status < GRPC_HEALTH_OTHER ? (enum grpc_health_status)status : GRPC_HEALTH_OTHER;
    return true;
}
