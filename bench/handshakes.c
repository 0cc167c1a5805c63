/* handshakes.c - TLS 1.3 handshakes with a server, one after another for some seconds.
 *
 *     handshakes PORT SECONDS full|resumed
 *
 * Each connection shakes hands, says goodbye and waits for the server's end, on the way to which it
 * reads the tickets. Prints "bench {json}". */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

static SSL_SESSION *last;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(last);
    last = session;
    return 1;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    /* No TIME_WAIT here: there are more connections than ports. */
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

/* True when a session was resumed. */
static int shake_hands(SSL_CTX *context, int port, int with_session)
{
    char answer[4096];
    int fd = connect_to(port);
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, "bench.example");
    if (with_session && last)
        SSL_set_session(ssl, last);
    if (SSL_connect(ssl) != 1) {
        fputs("the handshake failed\n", stderr);
        exit(1);
    }
    int was_resumed = SSL_session_reused(ssl);
    SSL_shutdown(ssl); /* its tickets are read on the way to its own goodbye */
    while (SSL_read(ssl, answer, sizeof(answer)) > 0)
        ;
    SSL_free(ssl);
    close(fd);
    return was_resumed;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: handshakes PORT SECONDS full|resumed\n", stderr);
        return 2;
    }
    int port = atoi(argv[1]), is_resumed = strcmp(argv[3], "resumed") == 0;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, on_session);
    shake_hands(context, port, 0);
    double began = now(), end = began + atof(argv[2]);
    long count = 0, resumed = 0;
    for (; now() < end; count++)
        resumed += shake_hands(context, port, is_resumed);
    printf("bench {\"handshakes\": %ld, \"resumed\": %ld, \"seconds\": %f}\n", count, resumed,
           now() - began);
    SSL_SESSION_free(last);
    SSL_CTX_free(context);
    return 0;
}
