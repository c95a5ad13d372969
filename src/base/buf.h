/*
 * A linear byte queue over storage that the caller owns.
 *
 * The capacity is fixed at init: a buffer never grows and never allocates.
 * Readable bytes are always contiguous. Invariant: head <= tail <= cap.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *mem; /* caller's storage, cap bytes */
    size_t cap;   /* bytes */
    size_t head;  /* first readable byte */
    size_t tail;  /* one past the last readable byte */
};

/*
 * Start empty over mem[0..cap).
 * owns: the caller keeps mem and must let it live as long as the buffer.
 */
void buf_init(struct buf *b, uint8_t *mem, size_t cap);

/* Number of readable bytes. */
size_t buf_len(const struct buf *b);

/* Bytes that can still be appended. */
size_t buf_room(const struct buf *b);

/* First readable byte; valid until the next change of the buffer. */
uint8_t *buf_peek(const struct buf *b);

/* Drop the first n readable bytes. needs: n <= buf_len(b) */
void buf_consume(struct buf *b, size_t n);

/*
 * Contiguous writable space for n bytes, made by moving the readable bytes to
 * the front when that is needed.
 * returns: the space, or NULL when n > buf_room(b); nothing changes then.
 */
uint8_t *buf_reserve(struct buf *b, size_t n);

/* Make n bytes of the reserved space readable. */
void buf_commit(struct buf *b, size_t n);

/* Append a copy of data. returns: false, unchanged, when there is no room. */
bool buf_append(struct buf *b, const void *data, size_t len);

/*
 * Insert a copy of data before the readable byte number `at`.
 * needs: at <= buf_len(b)
 * returns: false, unchanged, when there is no room.
 */
bool buf_insert(struct buf *b, size_t at, const void *data, size_t len);

#endif
