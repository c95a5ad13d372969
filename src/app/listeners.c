#include "app/listeners.h"

#include "sys/net.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
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

/* An unknown name is more likely a slip than another purpose. */
static int read_name(const char *name, enum listener_kind *kind,
                     struct error *err)
{
    if (name == NULL || strcmp(name, "wss") == 0)
        *kind = LISTENER_TLS;
    else if (strcmp(name, "ws") == 0)
        *kind = LISTENER_PLAIN;
    else if (strcmp(name, "metrics") == 0)
        *kind = LISTENER_METRICS;
    else
        return error_set(err,
                         "its name is '%s'; use FileDescriptorName=wss, ws or "
                         "metrics",
                         name);
    return 0;
}

static int check_plain(int fd, struct error *err)
{
    struct net_address address;

    net_local(fd, &address);
    if (net_is_loopback(&address))
        return 0;
    return error_set(err, "tokens would cross the network in clear; use "
                          "127.0.0.1, or add --plain-anywhere when something "
                          "else encrypts");
}

static int take(struct listener *l, const char *name, bool plain_anywhere,
                struct error *err)
{
    if (read_name(name, &l->kind, err) != 0 || passed_adopt(l->fd, err) != 0)
        return -1;
    return l->kind != LISTENER_PLAIN || plain_anywhere
               ? 0
               : check_plain(l->fd, err);
}

int listeners_take(struct listeners *l, const struct passed *passed,
                   bool plain_anywhere, struct error *err)
{
    struct error why;

    assert(l->count + passed->count <= LISTENERS_MAX);
    for (size_t i = 0; i < passed->count; i++) {
        struct listener *next = &l->item[l->count];

        *next = (struct listener){.fd = PASSED_FIRST_FD + (int)i};
        if (take(next, passed->name[i], plain_anywhere, &why) != 0)
            return error_set(err, "socket %d that was passed on: %s", next->fd,
                             why.text);
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
