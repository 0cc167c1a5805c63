#include "control/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <uv.h> /* error codes only */

#include "base/log.h"

int notify_send(const char *lines)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;
    if (len == 0)
        return 0;
    if ((path[0] != '/' && path[0] != '@') || len >= sizeof(address.sun_path))
        return UV_EINVAL;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') /* a name that is no file */
        address.sun_path[0] = '\0';

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return uv_translate_sys_error(errno);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    ssize_t sent =
        sendto(fd, lines, strlen(lines), MSG_NOSIGNAL, (const struct sockaddr *)&address, size);
    int rc = sent < 0 ? uv_translate_sys_error(errno) : 0;
    close(fd);
    return rc;
}

static void send_or_log(const char *lines)
{
    int rc = notify_send(lines);
    if (rc)
        log_warn("the supervisor cannot be told",
                 LOG_CSTR("NOTIFY_SOCKET", getenv("NOTIFY_SOCKET")),
                 LOG_CSTR("error", uv_strerror(rc)));
}

void notify_ready(void)
{
    char lines[64];
    snprintf(lines, sizeof(lines), "READY=1\nMAINPID=%d", (int)getpid());
    send_or_log(lines);
}

void notify_stopping(void)
{
    send_or_log("STOPPING=1");
}
