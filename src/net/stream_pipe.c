#include "net/stream_pipe.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/stream_parts.h"

/* With 64 KiB a body of 1 MiB costs a tenth more CPU, with more than this nothing less; and it
 * bounds what is queued for a client that doesn't keep up. */
#define PIPE_BYTES 131072

struct stream_pipe {
    int read_fd, write_fd;
};

int stream_pipe_create(struct stream_pipe **ret)
{
    int fds[2];
    struct stream_pipe *pipe = malloc(sizeof(*pipe));
    if (!pipe)
        return UV_ENOMEM;
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
        free(pipe);
        return uv_translate_sys_error(errno);
    }
    (void)fcntl(fds[1], F_SETPIPE_SZ,
                PIPE_BYTES); /* refused where pipes are rationed: stays small */
    *pipe = (struct stream_pipe){.read_fd = fds[0], .write_fd = fds[1]};
    *ret = pipe;
    return 0;
}

static void break_for_good(struct stream_pipe *pipe)
{
    close(pipe->read_fd);
    close(pipe->write_fd);
    pipe->read_fd = pipe->write_fd = -1; /* nothing can be moved any more */
}

void stream_pipe_destroy(struct stream_pipe *pipe)
{
    if (!pipe)
        return;
    if (pipe->read_fd >= 0)
        break_for_good(pipe);
    free(pipe);
}

/* splice(2), which is 0 for errors: who calls tries another way, and learns them there. */
static size_t move(int from, int to, size_t max)
{
    ssize_t count;
    do {
        count = splice(from, NULL, to, NULL, max, SPLICE_F_NONBLOCK);
    } while (count < 0 && errno == EINTR);
    return count > 0 ? (size_t)count : 0;
}

/* Takes the last `count` bytes out of the pipe, all of them whatever happens, and has them queued.
 */
static int queue_rest(struct stream_pipe *pipe, struct stream *to, size_t count)
{
    int rc = 0;
    while (count > 0) {
        size_t most = count < to->buffer->size ? count : to->buffer->size;
        ssize_t got = read(pipe->read_fd, to->buffer->bytes, most);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) { /* but they are in there: no stream shall find them */
            break_for_good(pipe);
            return UV_EIO;
        }
        uv_buf_t piece = uv_buf_init(to->buffer->bytes, (unsigned)got);
        if (rc == 0)
            rc = stream_send(to, &piece, 1);
        count -= (size_t)got;
    }
    return rc;
}

size_t stream_pipe_move(struct stream_pipe *pipe, struct stream *from, struct stream *to,
                        uint64_t max, int *ret_error)
{
    assert(!from->tls && !to->tls && stream_queued(to) == 0);
    size_t count =
        move(stream_fd(from), pipe->write_fd, max < PIPE_BYTES ? (size_t)max : PIPE_BYTES);
    size_t left = count, moved;
    while (left > 0 && (moved = move(pipe->read_fd, stream_fd(to), left)) > 0)
        left -= moved;
    *ret_error = queue_rest(pipe, to, left);
    return count;
}
