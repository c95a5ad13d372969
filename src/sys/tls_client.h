/*
 * One request to a server with TLS, for a health check. The server's
 * certificate is not verified: what is asked is whether it answers, and
 * nothing secret is sent.
 */
#ifndef SYS_TLS_CLIENT_H
#define SYS_TLS_CLIENT_H

#include "base/error.h"
#include "base/span.h"

#include <stddef.h>

/*
 * Send a request and read what comes back, until cap bytes or the end.
 * in:      fd: connected, blocking, with time limits of its own
 * returns: bytes read, or -1 with the reason
 */
int tls_client_ask(int fd, struct span request, char *answer, size_t cap,
                   struct error *err);

#endif
