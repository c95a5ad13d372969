#include "app/listeners.h"

#include "sys/net.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

int listeners_open(struct listeners *l, const struct option_list *addresses,
                   enum listener_kind kind, struct error *err)
{
    for (size_t i = 0; i < addresses->count; i++) {
        struct listener *next = &l->item[l->count];
        struct net_address address;

        assert(l->count < LISTENERS_MAX);
        if (net_parse(addresses->item[i], &address, err) != 0)
            return -1;
        *next =
            (struct listener){.fd = net_listen(&address, err), .kind = kind};
        if (next->fd < 0)
            return -1;
        l->count++;
    }
    return 0;
}

void listeners_log(const struct listeners *l, struct log *log)
{
    static const struct {
        const char *scheme, *path;
    } kinds[] = {
        [LISTENER_TLS] = {"wss", "ws"},
        [LISTENER_PLAIN] = {"ws", "ws"},
        [LISTENER_METRICS] = {"http", "metrics"},
    };

    for (size_t i = 0; i < l->count; i++) {
        enum listener_kind kind = l->item[i].kind;
        char url[NET_NAME_MAX + sizeof "http:///metrics"], name[NET_NAME_MAX];
        struct net_address address;

        net_local(l->item[i].fd, &address);
        net_format(&address, name);
        snprintf(url, sizeof url, "%s://%s/%s", kinds[kind].scheme, name,
                 kinds[kind].path);
        log_event(log, LOG_INFO, "listening", LOG_WORD("url", url));
    }
}

void listeners_close(struct listeners *l)
{
    for (size_t i = 0; i < l->count; i++)
        close(l->item[i].fd);
    l->count = 0;
}
