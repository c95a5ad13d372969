/*
 * Why an operation failed, as one line for a person: it names the thing (file,
 * line, option) and the way out. It never holds a token or a key.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

struct error {
    char text[512]; /* NUL-terminated, no newline */
};

/*
 * Write the reason, cut at the size of the text.
 * returns: always -1, so that a function can end with `return error_set(…)`.
 */
__attribute__((format(printf, 2, 3))) int error_set(struct error *e,
                                                    const char *format, ...);

#endif
