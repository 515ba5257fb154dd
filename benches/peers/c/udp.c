/* The floor under every UDP echo: one call in, one call out. With `gro`, the system hands over many
 * datagrams of one flow in one call, and cuts the answer into the same pieces. */
#include "floor.h"

enum { ROUND = 64 };

static char scratch[64 * 1024];

/* The length of the pieces in what was received; 0 if it is one datagram. */
static int piece_length(struct msghdr *message)
{
    int length = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&length, CMSG_DATA(c), sizeof length);
    return length;
}

static bool echo_many(int fd)
{
    struct sockaddr_in from;
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec bytes = {scratch, sizeof scratch};
    struct msghdr message = {&from, sizeof from, &bytes, 1, control, sizeof control, 0};
    ssize_t got = recvmsg(fd, &message, 0);
    if (got < 0)
        return false;
    uint16_t piece = piece_length(&message);
    bytes.iov_len = got;
    message.msg_control = NULL;
    message.msg_controllen = 0;
    if (piece && piece < got) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof piece);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof piece);
        memcpy(CMSG_DATA(c), &piece, sizeof piece);
    }
    sendmsg(fd, &message, 0);
    return true;
}

static bool echo_one(int fd)
{
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t got = recvfrom(fd, scratch, sizeof scratch, 0, (struct sockaddr *)&from, &length);
    if (got < 0)
        return false;
    sendto(fd, scratch, got, 0, (struct sockaddr *)&from, length);
    return true;
}

int main(int count, char **argument)
{
    if (count != 3) {
        fprintf(stderr, "usage: udp plain|gro PORT\n");
        return 2;
    }
    prepare();
    int on = 1, epoll = must(epoll_create1(0), "epoll_create1");
    int fd = bound(SOCK_DGRAM, argument[2]);
    bool many = strcmp(argument[1], "gro") == 0;
    if (many)
        must(setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on), "UDP_GRO");
    watch(epoll, fd, EPOLLIN);
    for (;;) {
        struct epoll_event event;
        epoll_wait(epoll, &event, 1, -1);
        for (int n = 0; n < ROUND && (many ? echo_many(fd) : echo_one(fd)); n++)
            continue;
    }
}
