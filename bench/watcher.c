/* watcher.c - the least that a client of Consul can do: it asks for a service by blocking queries
 * over one connection, and notes when each answer has come in whole.
 *
 * The last stamp (CLOCK_MONOTONIC, nanoseconds) and the number of answers are in a file that is
 * mapped. It stands for the floor: what comes later than it sees a change is the gateway's own
 * doing.
 *
 * usage: watcher consul-port service file */
#include "loopback.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INPUT_BYTES (16 << 20)

struct seen {
    volatile uint64_t stamp_ns, count;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* More bytes behind those that are there; false: the connection has ended. */
static bool receive(int fd, char *input, size_t *used)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (poll(&wait, 1, -1) != 1 || *used + 1 >= INPUT_BYTES)
        return false;
    ssize_t got = recv(fd, input + *used, INPUT_BYTES - 1 - *used, 0);
    if (got <= 0)
        return false;
    *used += (size_t)got;
    input[*used] = '\0';
    return true;
}

/* Reads one answer, with a length or in chunks; its index, or 0 when the connection ended. */
static unsigned long read_answer(int fd, char *input)
{
    size_t used = 0;
    const char *end;
    input[0] = '\0';
    while (!(end = strstr(input, "\r\n\r\n")))
        if (!receive(fd, input, &used))
            return 0;
    const char *index = strcasestr(input, "\r\nx-consul-index:");
    const char *length = strcasestr(input, "\r\ncontent-length:");
    unsigned long found = index && index < end ? strtoul(index + 17, NULL, 10) : 0;
    size_t head = (size_t)(end - input) + 4;
    if (length && length < end) {
        size_t whole = head + strtoul(length + 17, NULL, 10);
        while (used < whole)
            if (!receive(fd, input, &used))
                return 0;
    } else {
        while (used < head + 5 || memcmp(input + used - 5, "0\r\n\r\n", 5) != 0)
            if (!receive(fd, input, &used))
                return 0;
    }
    return found;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        loopback_die("usage: watcher consul-port service file");
    int file = open(argv[3], O_RDWR | O_CLOEXEC);
    struct seen *seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *input = malloc(INPUT_BYTES);
    if (file < 0 || seen == MAP_FAILED || !input)
        loopback_die("start");
    for (unsigned long index = 0;; index = 0) {
        int fd = loopback_connect(loopback_port(argv[1]));
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        poll(&wait, 1, 1000);
        for (;;) {
            char query[512];
            int len = snprintf(query, sizeof(query),
                               "GET /v1/health/service/%s?stale&index=%lu&wait=60s HTTP/1.1\r\n"
                               "Host: consul\r\n\r\n",
                               argv[2], index);
            if (send(fd, query, (size_t)len, MSG_NOSIGNAL) != len ||
                !(index = read_answer(fd, input)))
                break;
            seen->stamp_ns = now_ns();
            seen->count++;
        }
        close(fd);
        usleep(10000);
    }
}
