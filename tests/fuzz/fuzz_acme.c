/* What an ACME authority sends, of any bytes; the first says what: a chain of certificates, edits
 * of one that is good (three bytes each: where, and what instead), or a problem document. A chain
 * is refused with a reason, or is a certificate for the host and key and nothing else; a problem is
 * one printable line. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/acme_cert.h"
#include "control/acme_client.h"
#include "net/tls_self_signed.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *good_cert, *good_key; /* for the process's life */

static void try_chain(struct str text)
{
    char *pem = NULL;
    const char *why = NULL;
    time_t from, until;
    int rc = acme_cert_check(text, good_key, "localhost", time(NULL), &pem, &why);
    MUST((rc == 0) == (pem != NULL) && (rc == 0) == (why == NULL));
    if (pem) {
        MUST(strncmp(pem, "-----BEGIN CERTIFICATE-----\n", 28) == 0);
        MUST(acme_cert_times(pem, &from, &until) && from < until);
    }
    free(pem);
}

static void try_edits(const uint8_t *data, size_t size)
{
    size_t len = strlen(good_cert);
    char *text = strdup(good_cert);
    for (; size >= 3; data += 3, size -= 3)
        text[(size_t)(data[0] << 8 | data[1]) % len] = (char)data[2];
    try_chain(str_make(text, len));
    free(text);
}

static void try_problem(const uint8_t *data, size_t size)
{
    json_t *problem = json_loadb((const char *)data, size, 0, NULL);
    struct acme_trouble trouble = {.kind = ACME_NO_TROUBLE};
    acme_trouble_read(&trouble, problem);
    MUST(trouble.kind != ACME_NO_TROUBLE && trouble.why[0] != '\0');
    for (const char *at = trouble.why; *at; at++)
        MUST(*at >= ' ' && *at <= '~');
    json_decref(problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!good_cert)
        MUST(tls_self_signed(TLS_KEY_ECDSA, &good_cert, &good_key) == 0);
    if (size == 0)
        return 0;
    if (data[0] % 3 == 0)
        try_chain(str_make((const char *)data + 1, size - 1));
    else if (data[0] % 3 == 1)
        try_edits(data + 1, size - 1);
    else
        try_problem(data + 1, size - 1);
    return 0;
}
