/* The floor under every relay: by copying through one buffer for all, or by splicing through pipes
 * that are borrowed only while they hold bytes. Faithful: both half-closes are passed on. */
#include "floor.h"

enum { CHUNK = 64 * 1024, PIPE = 256 * 1024, STEPS = 16 };

/* One end, found by its descriptor: what it is ready for, and its direction to the other one. */
static struct end {
    int other;
    bool readable, writable, closing, dialing, done, queued;
    int hole[2];      /* the pipe that holds bytes, if any */
    char *bytes;      /* or the bytes themselves */
    unsigned start, end;
} table[DESCRIPTORS];

static char scratch[CHUNK];
static bool splices;
static int idle_pipes[4096][2], idle_count;
static int queue[DESCRIPTORS], queue_length;

static bool holds(const struct end *end)
{
    return end->start < end->end;
}

static void forget(int fd)
{
    struct end *end = &table[fd];
    free(end->bytes);
    if (end->hole[0]) {
        close(end->hole[0]);
        close(end->hole[1]);
    }
    bool queued = end->queued;
    *end = (struct end){.other = -1, .queued = queued};
    close(fd);
}

static void drop(int fd)
{
    int other = table[fd].other;
    if (other < 0)
        return;
    forget(fd);
    forget(other);
}

static void enqueue(int fd)
{
    if (!table[fd].queued) {
        table[fd].queued = true;
        queue[queue_length++] = fd;
    }
}

static void borrow(struct end *from)
{
    if (from->hole[0])
        return;
    if (idle_count) {
        idle_count--;
        from->hole[0] = idle_pipes[idle_count][0];
        from->hole[1] = idle_pipes[idle_count][1];
    } else {
        must(pipe2(from->hole, O_NONBLOCK), "pipe2");
        fcntl(from->hole[0], F_SETPIPE_SZ, PIPE);
    }
}

static void give_back(struct end *from)
{
    if (!from->hole[0])
        return;
    if (idle_count < 4096) {
        idle_pipes[idle_count][0] = from->hole[0];
        idle_pipes[idle_count][1] = from->hole[1];
        idle_count++;
    } else {
        close(from->hole[0]);
        close(from->hole[1]);
    }
    from->hole[0] = from->hole[1] = 0;
}

static ssize_t take(int fd, struct end *from)
{
    if (!splices)
        return recv(fd, scratch, sizeof scratch, 0);
    borrow(from);
    return splice(fd, NULL, from->hole[1], NULL, PIPE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

static ssize_t give(int to, struct end *from)
{
    size_t length = from->end - from->start;
    if (splices)
        return splice(from->hole[0], NULL, to, NULL, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    return send(to, (from->bytes ? from->bytes : scratch) + from->start, length, 0);
}

/* What was not taken stays; of a copying relay that is the end of the shared buffer. */
static void keep(struct end *from)
{
    if (splices || from->bytes)
        return;
    from->bytes = malloc(from->end - from->start);
    if (!from->bytes)
        abort();
    memcpy(from->bytes, scratch + from->start, from->end - from->start);
    from->end -= from->start;
    from->start = 0;
}

/* Moves bytes from fd to its other end until one of them rests. False: the pair is gone. */
static bool pump(int fd)
{
    struct end *from = &table[fd], *to = &table[from->other];
    for (int step = 0; !from->done && to->writable && !to->dialing; step++) {
        if (step == STEPS) {
            enqueue(fd);
            break;
        }
        if (!holds(from)) {
            if (!from->readable)
                break;
            ssize_t got = take(fd, from);
            if (got < 0 && errno == EAGAIN) {
                from->readable = false;
                break;
            }
            if (got < 0)
                return drop(fd), false;
            if (got == 0) {
                from->done = true;
                shutdown(from->other, SHUT_WR);
                break;
            }
            from->start = 0;
            from->end = got;
            if (!splices && got < CHUNK && !from->closing)
                from->readable = false;
        }
        ssize_t sent = give(from->other, from);
        if (sent < 0 && errno != EAGAIN)
            return drop(fd), false;
        from->start += sent < 0 ? 0 : sent;
        if (sent < 0)
            to->writable = false;
        if (holds(from)) {
            keep(from);
        } else {
            free(from->bytes);
            from->bytes = NULL;
        }
    }
    if (!holds(from))
        give_back(from);
    return true;
}

static void serve(int fd, unsigned events)
{
    struct end *end = &table[fd];
    if (end->other < 0)
        return;
    end->readable |= (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    end->closing |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        end->writable = true;
        end->dialing = false;
    }
    int other = end->other;
    if (pump(fd) && pump(other) && table[fd].done && table[other].done)
        drop(fd);
}

static void welcome(int epoll, int client, const char *port)
{
    struct sockaddr_in at = loopback(port);
    int on = 1, target = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), "socket");
    setsockopt(target, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(target, (struct sockaddr *)&at, sizeof at) < 0 && errno != EINPROGRESS) {
        close(client);
        close(target);
        return;
    }
    table[client] = (struct end){.other = target, .queued = table[client].queued};
    table[target] = (struct end){.other = client, .dialing = true, .queued = table[target].queued};
    watch(epoll, client, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    watch(epoll, target, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int main(int count, char **argument)
{
    if (count != 4) {
        fprintf(stderr, "usage: relay copy|splice PORT TARGET_PORT\n");
        return 2;
    }
    prepare();
    splices = strcmp(argument[1], "splice") == 0;
    int epoll = must(epoll_create1(0), "epoll_create1");
    int listener = bound(SOCK_STREAM, argument[2]);
    watch(epoll, listener, EPOLLIN);
    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, queue_length ? 0 : -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                serve(fd, events[i].events);
                continue;
            }
            for (int n = 0; n < 64; n++) {
                int one = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (one < 0)
                    break;
                welcome(epoll, one, argument[3]);
            }
        }
        /* Who stopped early gets no new event: its turn comes from here. */
        int length = queue_length;
        for (int i = 0; i < length; i++) {
            table[queue[i]].queued = false;
            serve(queue[i], 0);
        }
        memmove(queue, queue + length, sizeof *queue * (queue_length - length));
        queue_length -= length;
    }
}
