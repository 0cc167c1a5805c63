#include "control/process_metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <uv.h>

static void print(struct metrics_text *text, const char *name, enum metrics_kind kind,
                  const char *help, double value)
{
    metrics_text_family(text, name, kind, help);
    metrics_text_real(text, NULL, 0, value);
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Without the one that is open for counting; 0: not known. */
static unsigned count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;
    if (!dir)
        return 0;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count - 1;
}

/* Since the epoch; 0: not known. The 22nd field of /proc/self/stat counts from the boot, and the
 * 2nd may hold anything, so the search begins behind its last parenthesis. */
static double start_time(void)
{
    char line[1024];
    unsigned long long ticks = 0;
    double uptime = 0;
    FILE *file = fopen("/proc/self/stat", "re");
    const char *end = file && fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
    if (file)
        fclose(file);
    if (!end ||
        sscanf(end,
               ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
               "%*d %*d %*d %llu",
               &ticks) != 1 ||
        uv_uptime(&uptime))
        return 0;
    struct timeval now;
    gettimeofday(&now, NULL);
    return seconds_of(now) - uptime + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

void process_metrics_print(struct metrics_text *text)
{
    size_t resident = 0;
    struct rusage usage;
    struct rlimit limit;
    unsigned descriptors = count_descriptors();
    double started = start_time();
    if (uv_resident_set_memory(&resident) == 0)
        print(text, "process_resident_memory_bytes", METRICS_GAUGE, "Resident memory size in bytes",
              (double)resident);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        print(text, "process_cpu_seconds_total", METRICS_COUNTER,
              "Total user and system CPU time spent in seconds",
              seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    if (descriptors > 0)
        print(text, "process_open_fds", METRICS_GAUGE, "Number of open file descriptors",
              descriptors);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        print(text, "process_max_fds", METRICS_GAUGE, "Maximum number of open file descriptors",
              (double)limit.rlim_cur);
    if (started > 0)
        print(text, "process_start_time_seconds", METRICS_GAUGE,
              "Start time of the process since unix epoch in seconds", started);
}
