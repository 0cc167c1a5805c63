#include "base/fd_write.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uv.h> /* error codes only */

/* Between poll's answer and the write nobody else of this process may fill the pipe. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* A pipe that poll calls writable takes PIPE_BUF bytes without blocking (pipe(7)). */
static ssize_t write_in_turn(int fd, const void *bytes, size_t count)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    ssize_t written = -1;
    pthread_mutex_lock(&turn);
    if (poll(&ready, 1, 0) == 1)
        written = write(fd, bytes, count < PIPE_BUF ? count : PIPE_BUF);
    else
        errno = EAGAIN;
    pthread_mutex_unlock(&turn);
    return written;
}

ssize_t fd_write_now(int fd, const void *bytes, size_t count)
{
    struct stat stat;
    ssize_t written;
    if (fstat(fd, &stat))
        return uv_translate_sys_error(errno);
    do {
        if (S_ISREG(stat.st_mode))
            written = write(fd, bytes, count);
        else if (S_ISSOCK(stat.st_mode))
            written = send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        else
            written = write_in_turn(fd, bytes, count);
    } while (written < 0 && errno == EINTR);
    return written < 0 ? uv_translate_sys_error(errno) : written;
}
