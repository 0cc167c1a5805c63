/* error.h - what went wrong with something a human wrote: the field's name and a sentence.
 *
 * Used for settings, files and start-up; the Admin API's field maps are built in model/. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

struct error {
    char field[96];     /* the setting, key or file at fault; empty when there is none */
    char sentence[400]; /* what is wrong with it, and what would be right */
};

/* Fills *err (NULL is fine); texts that do not fit are cut. */
void error_set(struct error *err, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
