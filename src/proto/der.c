#include "proto/der.h"

#include "base/civil.h"

#include <assert.h>

void der_init(struct der *d, uint8_t *mem, size_t cap)
{
    buf_init(&d->out, mem, cap);
    d->full = false;
}

void der_put_raw(struct der *d, struct span bytes)
{
    if (!d->full && !buf_append(&d->out, bytes.ptr, bytes.len))
        d->full = true;
}

size_t der_open(struct der *d, uint8_t tag)
{
    der_put_raw(d, (struct span){&tag, 1});
    return buf_len(&d->out);
}

/*
 * The length is not known before the content is there, so it is inserted and
 * the content moves up. Certificates are small and this writes them forward,
 * in the order in which the specification shows them.
 */
void der_close(struct der *d, size_t mark)
{
    uint8_t head[1 + sizeof(uint32_t)];
    size_t head_len = 1;

    if (d->full)
        return;
    size_t len = buf_len(&d->out) - mark;
    assert(len <= UINT32_MAX);
    if (len < 0x80) {
        head[0] = (uint8_t)len;
    } else {
        int bytes = len <= 0xFF       ? 1
                    : len <= 0xFFFF   ? 2
                    : len <= 0xFFFFFF ? 3
                                      : 4;
        head[0] = (uint8_t)(0x80 | bytes);
        while (bytes-- > 0)
            head[head_len++] = (uint8_t)(len >> (8 * bytes));
    }
    if (!buf_insert(&d->out, mark, head, head_len))
        d->full = true;
}

void der_put(struct der *d, uint8_t tag, struct span content)
{
    size_t mark = der_open(d, tag);

    der_put_raw(d, content);
    der_close(d, mark);
}

void der_put_unsigned(struct der *d, struct span magnitude)
{
    static const uint8_t zero = 0;

    while (magnitude.len > 0 && magnitude.ptr[0] == 0) {
        magnitude.ptr++;
        magnitude.len--;
    }
    size_t mark = der_open(d, DER_INTEGER);
    /* A leading zero keeps a number with its top bit set positive. */
    if (magnitude.len == 0 || magnitude.ptr[0] >= 0x80)
        der_put_raw(d, (struct span){&zero, 1});
    der_put_raw(d, magnitude);
    der_close(d, mark);
}

void der_put_bool(struct der *d, bool value)
{
    uint8_t content = value ? 0xFF : 0;

    der_put(d, DER_BOOLEAN, (struct span){&content, 1});
}

void der_put_bits(struct der *d, struct span bits, uint8_t unused)
{
    assert(unused < 8 && (bits.len > 0 || unused == 0));
    size_t mark = der_open(d, DER_BIT_STRING);
    der_put_raw(d, (struct span){&unused, 1});
    der_put_raw(d, bits);
    der_close(d, mark);
}

/* Two decimal digits at p. */
static void put_two(uint8_t *p, int value)
{
    p[0] = (uint8_t)('0' + value / 10);
    p[1] = (uint8_t)('0' + value % 10);
}

void der_put_time(struct der *d, int64_t unix_s)
{
    /* 0000-01-01 to 9999-12-31T23:59:59 */
    if (unix_s < INT64_C(-62167219200) || unix_s > INT64_C(253402300799)) {
        d->full = true;
        return;
    }
    struct civil c = civil_from_unix(unix_s);
    uint8_t text[15];

    put_two(text, c.year / 100);
    put_two(text + 2, c.year % 100);
    put_two(text + 4, c.month);
    put_two(text + 6, c.day);
    put_two(text + 8, c.hour);
    put_two(text + 10, c.minute);
    put_two(text + 12, c.second);
    text[14] = 'Z';
    if (c.year >= 1950 && c.year <= 2049)
        der_put(d, DER_UTC_TIME, (struct span){text + 2, sizeof text - 2});
    else
        der_put(d, DER_GENERALIZED_TIME, (struct span){text, sizeof text});
}

bool der_finish(const struct der *d, struct span *written)
{
    if (d->full)
        return false;
    *written = (struct span){buf_peek(&d->out), buf_len(&d->out)};
    return true;
}

/*
 * Read the length octets at in[*pos]; *pos moves past them.
 * returns: false when they are cut or not DER
 */
static bool read_length(struct span in, size_t *pos, size_t *len)
{
    if (*pos >= in.len)
        return false;
    uint8_t first = in.ptr[(*pos)++];
    if (first < 0x80) {
        *len = first;
        return true;
    }
    size_t octets = first & 0x7F;
    if (octets < 1 || octets > 4 || octets > in.len - *pos)
        return false;
    uint32_t value = 0;
    for (size_t i = 0; i < octets; i++)
        value = value << 8 | in.ptr[(*pos)++];
    *len = value;
    /* Shortest form: no smaller one would have held it. */
    return value >= 0x80 && (octets == 1 || value >> (8 * (octets - 1)) != 0);
}

bool der_next(struct span *rest, struct der_element *e)
{
    size_t pos = 1;
    size_t len;

    if (rest->len < 2 || (rest->ptr[0] & 0x1F) == 0x1F)
        return false;
    if (!read_length(*rest, &pos, &len) || len > rest->len - pos)
        return false;
    e->tag = rest->ptr[0];
    e->content = (struct span){rest->ptr + pos, len};
    e->whole = (struct span){rest->ptr, pos + len};
    rest->ptr += pos + len;
    rest->len -= pos + len;
    return true;
}

bool der_expect(struct span *rest, uint8_t tag, struct der_element *e)
{
    return rest->len > 0 && rest->ptr[0] == tag && der_next(rest, e);
}

/* Take two decimal digits off *text. */
static bool take_two(struct span *text, int *value)
{
    if (text->len < 2)
        return false;
    int high = text->ptr[0] - '0';
    int low = text->ptr[1] - '0';
    if (high < 0 || high > 9 || low < 0 || low > 9)
        return false;
    *value = high * 10 + low;
    text->ptr += 2;
    text->len -= 2;
    return true;
}

static bool take_year(struct span *text, uint8_t tag, int *year)
{
    int high = 0;
    int low;

    if (tag == DER_GENERALIZED_TIME && !take_two(text, &high))
        return false;
    if (!take_two(text, &low))
        return false;
    if (tag == DER_UTC_TIME)
        high = low >= 50 ? 19 : 20;
    *year = high * 100 + low;
    return true;
}

bool der_parse_time(const struct der_element *e, int64_t *unix_s)
{
    struct span text = e->content;
    struct civil c;

    if (e->tag != DER_UTC_TIME && e->tag != DER_GENERALIZED_TIME)
        return false;
    if (!take_year(&text, e->tag, &c.year) || !take_two(&text, &c.month) ||
        !take_two(&text, &c.day) || !take_two(&text, &c.hour) ||
        !take_two(&text, &c.minute) || !take_two(&text, &c.second))
        return false;
    if (text.len != 1 || text.ptr[0] != 'Z')
        return false;
    if (!civil_is_date(&c))
        return false;
    if (c.hour > 23 || c.minute > 59 || c.second > 59)
        return false;
    *unix_s = civil_to_unix(&c);
    return true;
}
