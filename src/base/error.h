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
 * returns: always -1, so that a function can end with `return error_set(…)`
 */
#define error_set(err, ...) (error_format((err), __VA_ARGS__), error_result())

/* The functions behind error_set; a constant, so that compilers see it. */
static inline int error_result(void)
{
    return -1;
}

__attribute__((format(printf, 2, 3))) void
error_format(struct error *err, const char *format, ...);

#endif
