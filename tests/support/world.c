/* world.c - loaded before weir's libraries, it lets a test move the clocks and change what names
 * mean.
 *
 * The file $TEST_WORLD is mapped: seconds added to the wall clock, seconds that the machine is
 * said to have slept, seconds that have passed besides for timers, and an address for names that
 * end in ".test" (empty: they don't exist). */
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

struct world {
    int64_t wall_s, slept_s;
    char address[48];
    int64_t passed_s;
};

static struct world *world(void)
{
    static struct world *mapped;
    const char *path = getenv("TEST_WORLD");
    int fd;
    if (!mapped && path && (fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0)
        mapped = mmap(NULL, sizeof(*mapped), PROT_READ, MAP_SHARED, fd, 0);
    return mapped && mapped != MAP_FAILED ? mapped : NULL;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(clock, now);
    struct world *w = rc ? NULL : world();
    if (w && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += w->wall_s;
    if (w && clock == CLOCK_BOOTTIME)
        now->tv_sec += w->slept_s + w->passed_s;
    if (w && (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE ||
              clock == CLOCK_MONOTONIC_RAW))
        now->tv_sec += w->passed_s;
    return rc;
}

time_t time(time_t *ret)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    tv->tv_sec = now.tv_sec;
    tv->tv_usec = now.tv_nsec / 1000;
    return 0;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real)
        real = (int (*)(const char *, const char *, const struct addrinfo *,
                        struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");
    struct world *w = world();
    size_t len = name ? strlen(name) : 0;
    if (w && len > 5 && strcmp(name + len - 5, ".test") == 0) {
        if (!w->address[0])
            return EAI_NONAME;
        name = w->address;
    }
    return real(name, service, hints, ret);
}
