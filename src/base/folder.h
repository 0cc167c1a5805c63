/* folder.h - makes the folders that a path needs.
 *
 * Thread: any. Memory: none. */
#ifndef BASE_FOLDER_H
#define BASE_FOLDER_H

/* Makes the folder, for its owner's eyes only, and those above it, as open as the umask has them: a
 * container's root may be shared. 0, also when it is there; or a negative UV_E…. */
int folder_make(const char *path);

#endif
