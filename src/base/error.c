#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

void error_set(struct error *err, const char *field, const char *format, ...)
{
    if (!err)
        return;
    snprintf(err->field, sizeof(err->field), "%s", field ? field : "");
    va_list args;
    va_start(args, format);
    vsnprintf(err->sentence, sizeof(err->sentence), format, args);
    va_end(args);
}
