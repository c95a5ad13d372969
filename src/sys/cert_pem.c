#include "sys/cert_pem.h"

#include "base/wipe.h"

#include <string.h>

static void keep_bytes(void *context, const void *bytes, size_t len)
{
    struct pem_reader *r = context;

    memcpy(r->mem + r->used, bytes, len);
    r->used += len;
}

/* BearSSL leaves the dashes behind the label on when a CR follows them. */
static void keep_label(struct pem_reader *r)
{
    const char *label = br_pem_decoder_name(&r->decoder);
    size_t len = strnlen(label, sizeof r->name - 1);

    while (len > 0 && strchr("- \t\r", label[len - 1]) != NULL)
        len--;
    memcpy(r->name, label, len);
    r->name[len] = '\0';
}

void pem_init(struct pem_reader *r, struct span text, uint8_t *mem)
{
    *r = (struct pem_reader){.rest = text, .mem = mem};
    br_pem_decoder_init(&r->decoder);
    br_pem_decoder_setdest(&r->decoder, keep_bytes, r);
}

/*
 * Feed the decoder up to its next event.
 * returns: the event, or 0 when the text is over
 */
static int next_event(struct pem_reader *r)
{
    while (r->rest.len > 0) {
        size_t n = br_pem_decoder_push(&r->decoder, r->rest.ptr, r->rest.len);
        r->rest.ptr += n;
        r->rest.len -= n;
        int event = br_pem_decoder_event(&r->decoder);
        if (event != 0)
            return event;
    }
    /* The last line may lack its newline; then this ends it. */
    br_pem_decoder_push(&r->decoder, "\n", 1);
    return br_pem_decoder_event(&r->decoder);
}

enum pem_event pem_next(struct pem_reader *r)
{
    r->start = r->used;
    for (;;) {
        int event = next_event(r);
        if (event == BR_PEM_BEGIN_OBJ) {
            keep_label(r);
            r->inside = true;
            continue;
        }
        bool was_inside = r->inside;
        r->inside = false;
        if (event == BR_PEM_END_OBJ) {
            r->der = (struct span){r->mem + r->start, r->used - r->start};
            return PEM_OBJECT;
        }
        return event == BR_PEM_ERROR || was_inside ? PEM_DAMAGED : PEM_DONE;
    }
}

void pem_forget(struct pem_reader *r)
{
    wipe(r->mem + r->start, r->used - r->start);
    r->used = r->start;
}
