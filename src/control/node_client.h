/* node_client.h - how the commands of the binary ask the node that has their settings.
 *
 * Thread: the process's first. Memory: embedded. */
#ifndef CONTROL_NODE_CLIENT_H
#define CONTROL_NODE_CLIENT_H

#include <stdbool.h>

#include <curl/curl.h>

#include "base/error.h"

struct options;

struct node_client {
    char address[80]; /* "127.0.0.1:8001" */
    bool is_admin;    /* the Admin API; else the proxy, where that is off */
    bool is_tls;
    struct curl_slist *headers; /* owned: the token, where there is one */
};

/* Copies what it needs of the options, which listen somewhere. A listener on all addresses is asked
 * at the loopback one. 0, or a negative UV_E… with *err. */
int node_client_init(struct node_client *client, const struct options *options, struct error *err);
void node_client_deinit(struct node_client *client);

/* Sets the URL of `path`, and what each request to the node has. */
void node_client_prepare(const struct node_client *client, CURL *curl, const char *path);

#endif
