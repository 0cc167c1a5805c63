/* stapling.h - gets OCSP responses for the certificates that the node shows: from files, for those
 * of ssl_cert, or from the responder that a certificate names.
 *
 * A response is shown only while it is good (net/tls_staple.h). A responder is asked again when
 * half of the time of its last response is over, and after a failure with growing pauses.
 *
 * Thread: control. Memory: one heap object. */
#ifndef CONTROL_STAPLING_H
#define CONTROL_STAPLING_H

#include <stdbool.h>

#include <uv.h>

#include "base/error.h"
#include "base/metrics_text.h"

struct cert_expiry;
struct stapling;

struct stapling_settings {
    bool asks;                       /* responders */
    const char *files;               /* a comma list of paths, borrowed for its life; NULL: none */
    const struct cert_expiry *certs; /* borrowed for its life, started: all there are */
};

/* 0, UV_ENOMEM, or a negative UV_E… with *err for a file that can't be read. */
int stapling_create(uv_loop_t *loop, const struct stapling_settings *settings,
                    struct stapling **ret, struct error *err);
/* Frees it once its handles are closed. NULL is fine. */
void stapling_close(struct stapling *stapling);

void stapling_print(const struct stapling *stapling, struct metrics_text *text); /* NULL is fine */

#endif
