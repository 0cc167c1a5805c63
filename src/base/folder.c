#include "base/folder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include <uv.h> /* error codes only */

int folder_make(const char *path)
{
    char text[PATH_MAX];
    if (snprintf(text, sizeof(text), "%s", path) >= (int)sizeof(text))
        return UV_ENAMETOOLONG;
    for (char *at = text + 1; *at; at++) {
        if (*at != '/' || at[1] == '/' || at[1] == '\0')
            continue;
        *at = '\0';
        if (mkdir(text, 0755) < 0 && errno != EEXIST)
            return -errno;
        *at = '/';
    }
    return mkdir(text, 0700) < 0 && errno != EEXIST ? -errno : 0;
}
