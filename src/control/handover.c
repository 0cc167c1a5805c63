#include "control/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define MARK "_WEIR_HANDOVER" /* not WEIR_…: it is no setting. Its value: the parent's id */
#define TELL_FD 3
#define ARGUMENTS_MAX_BYTES ((size_t)1 << 20)

struct handover {
    uv_process_t process;
    uv_pipe_t pipe;
    handover_cb done;
    void *arg;
    unsigned open_handles;
    char byte[8];
};

/* ---- the one that goes ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct handover *handover = handle->data;
    if (--handover->open_handles == 0)
        free(handover);
}

static void close_all(struct handover *handover)
{
    if (!uv_is_closing((uv_handle_t *)&handover->pipe))
        uv_close((uv_handle_t *)&handover->pipe, on_handle_closed);
    if (!uv_is_closing((uv_handle_t *)&handover->process))
        uv_close((uv_handle_t *)&handover->process, on_handle_closed); /* which lives on */
}

static void on_exit_of_child(uv_process_t *process, int64_t status, int signal)
{
    struct handover *handover = process->data;
    log_error("the new process ended", LOG_INT("pid", process->pid), LOG_INT("code", status),
              LOG_INT("signal", signal));
    close_all(handover);
    handover->done(handover->arg, false, 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct handover *handover = handle->data;
    (void)suggested;
    *buf = uv_buf_init(handover->byte, sizeof(handover->byte));
}

static void on_told(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct handover *handover = stream->data;
    if (count < 0) /* its end without a word; on_exit_of_child says how */
        uv_read_stop(stream);
    if (count <= 0)
        return;
    close_all(handover);
    handover->done(handover->arg, true, (unsigned char)buf->base[0]);
}

/* The path as it is now, when a new binary has taken the old one's place. */
static int find_binary(char path[PATH_MAX])
{
    static const char deleted[] = " (deleted)";
    ssize_t len = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (len < 0)
        return -errno;
    path[len] = '\0';
    size_t tail = sizeof(deleted) - 1;
    if ((size_t)len > tail && strcmp(path + len - tail, deleted) == 0)
        path[(size_t)len - tail] = '\0';
    return 0;
}

/* This process's arguments: one block of memory, of which *ret owns all. */
static int read_arguments(char ***ret)
{
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    char *text = fd >= 0 ? malloc(ARGUMENTS_MAX_BYTES) : NULL;
    ssize_t len = text ? read(fd, text, ARGUMENTS_MAX_BYTES - 1) : -1;
    if (fd >= 0)
        close(fd);
    char **arguments = NULL;
    if (len > 0) {
        size_t count = 0, at = 0;
        for (ssize_t i = 0; i < len; i++)
            count += text[i] == '\0';
        size_t table = (count + 1) * sizeof(char *);
        arguments = malloc(table + (size_t)len);
        for (size_t i = 0; arguments && i < count; i++) {
            arguments[i] = (char *)arguments + table + at;
            at += strlen(text + at) + 1;
        }
        if (arguments) {
            memcpy((char *)arguments + table, text, (size_t)len);
            arguments[count] = NULL;
        }
    }
    free(text);
    *ret = arguments;
    return arguments ? 0 : UV_ENOMEM;
}

/* The environment and the mark; the caller frees the table and its first entry. */
static char **marked_environment(void)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **table = calloc(count + 2, sizeof(*table));
    if (!table || asprintf(&table[0], MARK "=%d", (int)getpid()) < 0) {
        free(table);
        return NULL;
    }
    size_t at = 1;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], MARK "=", sizeof(MARK)) != 0)
            table[at++] = environ[i];
    return table;
}

static int spawn(struct handover *handover, uv_loop_t *loop)
{
    char path[PATH_MAX];
    char **arguments = NULL;
    char **environment = marked_environment();
    int rc = environment ? find_binary(path) : UV_ENOMEM;
    if (!rc)
        rc = read_arguments(&arguments);
    if (!rc) {
        uv_stdio_container_t stdio[TELL_FD + 1] = {
            {.flags = UV_INHERIT_FD, .data.fd = STDIN_FILENO},
            {.flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO},
            {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
            {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
             .data.stream = (uv_stream_t *)&handover->pipe},
        };
        uv_process_options_t options = {
            .exit_cb = on_exit_of_child,
            .file = path,
            .args = arguments,
            .env = environment,
            .stdio_count = TELL_FD + 1,
            .stdio = stdio,
        };
        rc = uv_spawn(loop, &handover->process, &options);
    }
    free(arguments);
    if (environment)
        free(environment[0]);
    free(environment);
    return rc;
}

int handover_start(uv_loop_t *loop, handover_cb done, void *arg)
{
    struct handover *handover = calloc(1, sizeof(*handover));
    if (!handover)
        return UV_ENOMEM;
    handover->done = done;
    handover->arg = arg;
    handover->process.data = handover->pipe.data = handover;
    int rc = uv_pipe_init(loop, &handover->pipe, 0);
    if (rc) {
        free(handover);
        return rc;
    }
    handover->open_handles = 2; /* uv_spawn initialises the process in any case */
    rc = spawn(handover, loop);
    if (!rc)
        rc = uv_read_start((uv_stream_t *)&handover->pipe, on_alloc, on_told);
    if (rc) {
        if (handover->process.type != UV_PROCESS) { /* it didn't come to uv_spawn */
            handover->open_handles--;
            uv_close((uv_handle_t *)&handover->pipe, on_handle_closed);
        } else {
            close_all(handover);
        }
        return rc;
    }
    log_notice("new process started", LOG_INT("pid", handover->process.pid));
    return 0;
}

int handover_steer(int fd, unsigned old_count, unsigned new_count)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)},
        {BPF_ALU | BPF_MOD | BPF_K, 0, 0, new_count},
        {BPF_ALU | BPF_ADD | BPF_K, 0, 0, old_count},
        {BPF_RET | BPF_A, 0, 0, 0},
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    if (new_count == 0)
        return UV_EINVAL;
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) < 0
               ? -errno
               : 0;
}

/* ---- the one that comes ---- */

bool handover_is_receiver(void)
{
    const char *mark = getenv(MARK);
    return mark && atoi(mark) == (int)getppid() && fcntl(TELL_FD, F_GETFD) >= 0;
}

void handover_tell(unsigned workers)
{
    unsigned char count = (unsigned char)(workers < UCHAR_MAX ? workers : UCHAR_MAX);
    if (!handover_is_receiver())
        return;
    if (write(TELL_FD, &count, 1) != 1)
        log_warn("the process before cannot be told", LOG_CSTR("error", strerror(errno)));
    close(TELL_FD);
    unsetenv(MARK);
}
