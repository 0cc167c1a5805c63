/* fd_write.h - writes to files that are not ours to make non-blocking: standard output and error,
 * which may be pipes that nobody reads.
 *
 * Thread: any; writes to pipes and terminals of one process take turns. */
#ifndef BASE_FD_WRITE_H
#define BASE_FD_WRITE_H

#include <stddef.h>
#include <sys/types.h>

/* Writes what is taken at once: all of it to a regular file, perhaps a part, up to 4 KiB, to a
 * pipe, socket or terminal. Returns the count, or a negative UV_E…: UV_EAGAIN when nothing is taken
 * now. */
ssize_t fd_write_now(int fd, const void *bytes, size_t count);

#endif
