/*
 * Taking PEM objects out of a text, one after the other (RFC 7468, read
 * leniently: text between objects is skipped, lines have any length).
 */
#ifndef SYS_CERT_PEM_H
#define SYS_CERT_PEM_H

#include "base/span.h"

#include <bearssl.h>
#include <stdbool.h>

enum pem_event {
    PEM_DONE,   /* the text is over */
    PEM_OBJECT, /* an object: see name and der */
    PEM_DAMAGED /* an object that is cut or no base64: see name */
};

struct pem_reader {
    br_pem_decoder_context decoder;
    struct span rest; /* text not read yet */
    uint8_t *mem;     /* the objects' bytes, one behind the other */
    size_t start;     /* where the last object begins in mem */
    size_t used;      /* where it ends */
    struct span der;  /* the last object's bytes, within mem */
    char name[128];   /* its label in upper case */
    bool inside;      /* an object has begun */
};

/*
 * Start reading text.
 * in:  mem  room for text.len bytes, the caller's; decoded objects stay in it
 */
void pem_init(struct pem_reader *r, struct span text, uint8_t *mem);

/*
 * The next object.
 * out:   r->name; and r->der, whose bytes stay in mem
 * needs: text and mem still there
 */
enum pem_event pem_next(struct pem_reader *r);

/* Wipe the bytes of the last object, damaged or not, from mem. */
void pem_forget(struct pem_reader *r);

#endif
