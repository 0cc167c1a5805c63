#include "base/fd_write.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "unit/test.h"

static char bytes[100000];

/* Fills what is blocking and unread; that this comes back at all is the test. */
static size_t fill(int fd)
{
    size_t total = 0;
    for (;;) {
        ssize_t count = fd_write_now(fd, bytes, sizeof(bytes));
        if (count < 0) {
            assert_int_equal(count, UV_EAGAIN);
            return total;
        }
        total += (size_t)count;
    }
}

TEST(a_pipe_that_nobody_reads_takes_what_it_holds_and_blocks_nobody)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_true(fill(ends[1]) >= 4096);
    static char out[4096];
    assert_int_equal(read(ends[0], out, sizeof(out)), sizeof(out)); /* one reader's step */
    assert_int_equal(fd_write_now(ends[1], bytes, 10), 10);
    close(ends[0]);
    close(ends[1]);
}

TEST(so_does_a_socket)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_true(fill(ends[1]) > 0);
    close(ends[0]);
    close(ends[1]);
}

TEST(a_regular_file_takes_all)
{
    char path[] = "/tmp/weir-fd-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(fd_write_now(fd, bytes, sizeof(bytes)), sizeof(bytes));
    close(fd);
    unlink(path);
}

TEST(an_error_is_told)
{
    assert_int_equal(fd_write_now(-1, bytes, 1), UV_EBADF);
}

RUN(T(a_pipe_that_nobody_reads_takes_what_it_holds_and_blocks_nobody), T(so_does_a_socket),
    T(a_regular_file_takes_all), T(an_error_is_told))
