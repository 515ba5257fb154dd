/* Relay with libuv. Backpressure is what its guide recommends: reading stops while a write is
 * queued. Both half-closes are passed on. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BACKLOG = 4096 };

/* One side of a pair. The first member makes a pointer to it a pointer to its stream. */
struct side {
    uv_tcp_t tcp;
    struct side *other;
    bool ended;
};

struct pending {
    uv_write_t request;
    struct side *from;
    char bytes[];
};

static char scratch[64 * 1024];
static struct sockaddr_in target;

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer);

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(scratch, sizeof scratch);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void close_pair(struct side *side)
{
    struct side *both[] = {side, side->other};
    for (int i = 0; i < 2; i++)
        if (!uv_is_closing((uv_handle_t *)both[i]))
            uv_close((uv_handle_t *)both[i], on_closed);
}

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

static void on_written(uv_write_t *request, int status)
{
    struct pending *pending = (struct pending *)request;
    struct side *from = pending->from;
    free(pending);
    if (status == UV_ECANCELED || uv_is_closing((uv_handle_t *)from))
        return;
    if (status < 0)
        close_pair(from);
    else if (!from->ended)
        uv_read_start((uv_stream_t *)from, on_alloc, on_read);
}

static void on_end(struct side *side)
{
    side->ended = true;
    uv_read_stop((uv_stream_t *)side);
    if (side->other->ended) {
        close_pair(side);
        return;
    }
    uv_shutdown_t *request = malloc(sizeof *request);
    uv_shutdown(request, (uv_stream_t *)side->other, on_shut);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct side *side = (struct side *)stream;
    if (got == UV_EOF) {
        on_end(side);
        return;
    }
    if (got < 0) {
        close_pair(side);
        return;
    }
    uv_buf_t whole = uv_buf_init(buffer->base, got);
    int sent = got ? uv_try_write((uv_stream_t *)side->other, &whole, 1) : 0;
    size_t done = sent < 0 ? 0 : sent;
    if (done == (size_t)got)
        return;
    struct pending *pending = malloc(sizeof *pending + got - done);
    pending->from = side;
    memcpy(pending->bytes, buffer->base + done, got - done);
    uv_buf_t rest = uv_buf_init(pending->bytes, got - done);
    uv_read_stop(stream);
    uv_write(&pending->request, (uv_stream_t *)side->other, &rest, 1, on_written);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct side *upstream = (struct side *)request->handle;
    free(request);
    if (status < 0) {
        close_pair(upstream);
        return;
    }
    uv_read_start((uv_stream_t *)upstream, on_alloc, on_read);
    uv_read_start((uv_stream_t *)upstream->other, on_alloc, on_read);
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status < 0)
        return;
    struct side *client = calloc(1, sizeof *client), *upstream = calloc(1, sizeof *upstream);
    client->other = upstream;
    upstream->other = client;
    uv_tcp_init(listener->loop, &client->tcp);
    uv_tcp_init(listener->loop, &upstream->tcp);
    if (uv_accept(listener, (uv_stream_t *)client) < 0) {
        close_pair(client);
        return;
    }
    uv_tcp_nodelay(&client->tcp, 1);
    uv_tcp_nodelay(&upstream->tcp, 1);
    uv_connect_t *request = malloc(sizeof *request);
    if (uv_tcp_connect(request, &upstream->tcp, (struct sockaddr *)&target, on_connected) < 0) {
        free(request);
        close_pair(client);
    }
}

int main(int count, char **argument)
{
    if (count != 3) {
        fprintf(stderr, "usage: uv_relay PORT TARGET_PORT\n");
        return 2;
    }
    uv_tcp_t listener;
    struct sockaddr_in at;
    uv_ip4_addr("127.0.0.1", atoi(argument[1]), &at);
    uv_ip4_addr("127.0.0.1", atoi(argument[2]), &target);
    uv_tcp_init(uv_default_loop(), &listener);
    uv_tcp_bind(&listener, (struct sockaddr *)&at, 0);
    int failed = uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection);
    if (failed) {
        fprintf(stderr, "uv_listen: %s\n", uv_strerror(failed));
        return 1;
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
