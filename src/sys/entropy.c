#include "sys/entropy.h"

#include "base/wipe.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* getentropy gives no more than this in one call. */
#define ENTROPY_CHUNK 256

int entropy_fill(void *out, size_t len, struct error *err)
{
    uint8_t *p = out;
    size_t done = 0;

    while (done < len) {
        size_t n = len - done < ENTROPY_CHUNK ? len - done : ENTROPY_CHUNK;
        if (getentropy(p + done, n) != 0) {
            int reason = errno;
            wipe(out, len);
            return error_set(err, "the kernel gives no random bytes: %s",
                             strerror(reason));
        }
        done += n;
    }
    return 0;
}
