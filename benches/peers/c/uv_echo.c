/* Echo with libuv, written as its guide does: a buffer is allocated for a read, tried to be written
 * at once, and queued if that did not take all. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BACKLOG = 4096 };

struct pending {
    uv_write_t request;
    char bytes[];
};

static char scratch[64 * 1024];

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(scratch, sizeof scratch);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_written(uv_write_t *request, int status)
{
    uv_stream_t *stream = request->handle;
    free(request);
    if (status < 0 && !uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, on_closed);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    if (got < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    uv_buf_t whole = uv_buf_init(buffer->base, got);
    int sent = got ? uv_try_write(stream, &whole, 1) : 0;
    size_t done = sent < 0 ? 0 : sent;
    if (done == (size_t)got)
        return;
    struct pending *pending = malloc(sizeof *pending + got - done);
    memcpy(pending->bytes, buffer->base + done, got - done);
    uv_buf_t rest = uv_buf_init(pending->bytes, got - done);
    uv_write(&pending->request, stream, &rest, 1, on_written);
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status < 0)
        return;
    uv_tcp_t *client = malloc(sizeof *client);
    uv_tcp_init(listener->loop, client);
    if (uv_accept(listener, (uv_stream_t *)client) < 0) {
        uv_close((uv_handle_t *)client, on_closed);
        return;
    }
    uv_tcp_nodelay(client, 1);
    uv_read_start((uv_stream_t *)client, on_alloc, on_read);
}

int main(int count, char **argument)
{
    if (count != 2) {
        fprintf(stderr, "usage: uv_echo PORT\n");
        return 2;
    }
    uv_tcp_t listener;
    struct sockaddr_in at;
    uv_ip4_addr("127.0.0.1", atoi(argument[1]), &at);
    uv_tcp_init(uv_default_loop(), &listener);
    uv_tcp_bind(&listener, (struct sockaddr *)&at, 0);
    int failed = uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection);
    if (failed) {
        fprintf(stderr, "uv_listen: %s\n", uv_strerror(failed));
        return 1;
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
