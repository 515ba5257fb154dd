/* UDP echo with libuv: an answer is tried at once, and lost if the socket takes no more. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static char scratch[64 * 1024];

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(scratch, sizeof scratch);
}

static void on_datagram(uv_udp_t *socket, ssize_t got, const uv_buf_t *buffer,
                        const struct sockaddr *from, unsigned flags)
{
    (void)flags;
    if (got <= 0 || !from)
        return;
    uv_buf_t answer = uv_buf_init(buffer->base, got);
    uv_udp_try_send(socket, &answer, 1, from);
}

int main(int count, char **argument)
{
    if (count != 2) {
        fprintf(stderr, "usage: uv_udp PORT\n");
        return 2;
    }
    uv_udp_t socket;
    struct sockaddr_in at;
    uv_ip4_addr("127.0.0.1", atoi(argument[1]), &at);
    uv_udp_init(uv_default_loop(), &socket);
    int failed = uv_udp_bind(&socket, (struct sockaddr *)&at, 0);
    if (!failed)
        failed = uv_udp_recv_start(&socket, on_alloc, on_datagram);
    if (failed) {
        fprintf(stderr, "uv_udp: %s\n", uv_strerror(failed));
        return 1;
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
