/* The floor under every echo: what is the least that a program can do on epoll?
 *
 * One buffer for all, registered once and edge-triggered, a short read counts as the last one, and
 * nothing is kept but the bytes that the peer did not take. */
#include "floor.h"

static char scratch[64 * 1024];

/* Bytes that were read and not yet written. Untouched pages of this table cost nothing. */
static struct kept {
    char *bytes;
    unsigned start, end;
    bool writable;
} table[DESCRIPTORS];

static void drop(int fd)
{
    free(table[fd].bytes);
    table[fd] = (struct kept){0};
    close(fd);
}

/* False: the connection is gone, or its peer takes nothing more now. */
static bool flush(int fd)
{
    struct kept *kept = &table[fd];
    ssize_t sent = send(fd, kept->bytes + kept->start, kept->end - kept->start, 0);
    if (sent < 0) {
        if (errno != EAGAIN)
            drop(fd);
        return false;
    }
    kept->start += sent;
    if (kept->start < kept->end)
        return false;
    free(kept->bytes);
    kept->bytes = NULL;
    return true;
}

static void keep(int fd, size_t from, size_t to)
{
    struct kept *kept = &table[fd];
    kept->start = 0;
    kept->end = to - from;
    kept->bytes = malloc(kept->end);
    if (!kept->bytes)
        abort();
    memcpy(kept->bytes, scratch + from, kept->end);
}

static void serve(int fd, bool closing)
{
    if (table[fd].bytes && !flush(fd))
        return;
    for (;;) {
        ssize_t got = recv(fd, scratch, sizeof scratch, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            return drop(fd);
        ssize_t sent = send(fd, scratch, got, 0);
        if (sent < 0 && errno != EAGAIN)
            return drop(fd);
        if (sent < got)
            return keep(fd, sent < 0 ? 0 : sent, got);
        if ((size_t)got < sizeof scratch && !closing)
            return;
    }
}

int main(int count, char **argument)
{
    if (count != 2) {
        fprintf(stderr, "usage: echo PORT\n");
        return 2;
    }
    prepare();
    int epoll = must(epoll_create1(0), "epoll_create1");
    int listener = bound(SOCK_STREAM, argument[1]);
    watch(epoll, listener, EPOLLIN);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                serve(fd, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
                continue;
            }
            for (int n = 0; n < 64; n++) {
                int one = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (one < 0)
                    break;
                watch(epoll, one, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
            }
        }
    }
}
