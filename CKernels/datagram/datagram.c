#define _GNU_SOURCE
#include "datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SOL_UDP
#define SOL_UDP 17
#endif
// Of <linux/udp.h>, which clashes with the C library's headers.
#define SEGMENT_OPTION 103
#define JOIN_OPTION 104

static long send_joined(int socket, const char *bytes, size_t count, size_t segment) {
    struct iovec part = {(void *)bytes, count};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
    } control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > segment) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_UDP;
        header->cmsg_type = SEGMENT_OPTION;
        header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        const uint16_t size = (uint16_t)segment;
        memcpy(CMSG_DATA(header), &size, sizeof size);
    }
    const ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : (long)sent;
}

long ck_datagram_send(int socket, const void *bytes, size_t count, size_t segment, int offload) {
    const char *at = bytes;
    if (offload) return send_joined(socket, at, count, segment);
    struct mmsghdr messages[CK_DATAGRAM_MOST];
    struct iovec parts[CK_DATAGRAM_MOST];
    memset(messages, 0, sizeof messages);
    unsigned number = 0;
    for (size_t left = count; left > 0 && number < CK_DATAGRAM_MOST; number++) {
        const size_t size = left < segment ? left : segment;
        parts[number] = (struct iovec){(void *)at, size};
        messages[number].msg_hdr.msg_iov = &parts[number];
        messages[number].msg_hdr.msg_iovlen = 1;
        at += size, left -= size;
    }
    const int sent = sendmmsg(socket, messages, number, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return -errno;
    long total = 0;
    for (int i = 0; i < sent; i++) total += (long)parts[i].iov_len;
    return total;
}

int ck_datagram_receive(int socket, void *slots, int count, ck_datagram_batch *batches) {
    struct mmsghdr messages[CK_DATAGRAM_SLOTS];
    struct iovec parts[CK_DATAGRAM_SLOTS];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } controls[CK_DATAGRAM_SLOTS];
    if (count > CK_DATAGRAM_SLOTS) count = CK_DATAGRAM_SLOTS;
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < count; i++) {
        parts[i] = (struct iovec){(char *)slots + (size_t)i * CK_DATAGRAM_SLOT, CK_DATAGRAM_SLOT};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_control = controls[i].bytes;
        messages[i].msg_hdr.msg_controllen = sizeof controls[i].bytes;
    }
    const int got = recvmmsg(socket, messages, (unsigned)count, MSG_DONTWAIT, NULL);
    if (got < 0) return -errno;
    for (int i = 0; i < got; i++) {
        const uint32_t length = messages[i].msg_len;
        uint32_t segment = length;
        struct msghdr *header = &messages[i].msg_hdr;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
            if (c->cmsg_level != SOL_UDP || c->cmsg_type != JOIN_OPTION) continue;
            int size = 0;
            memcpy(&size, CMSG_DATA(c), sizeof size);
            if (size > 0 && (uint32_t)size < length) segment = (uint32_t)size;
        }
        batches[i] = (ck_datagram_batch){length, segment};
    }
    return got;
}

int ck_datagram_prepare(int socket, int bytes) {
    if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    const int on = 1;
    return setsockopt(socket, SOL_UDP, JOIN_OPTION, &on, sizeof on) == 0;
}

int ck_datagram_wait(int socket, int writing, double seconds) {
    struct pollfd poller = {.fd = socket, .events = writing ? POLLOUT : POLLIN};
    if (!(seconds > 0)) seconds = 0;
    if (seconds > 1e6) seconds = 1e6;
    struct timespec time = {(time_t)seconds, 0};
    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    return ppoll(&poller, 1, &time, NULL) > 0;
}

int ck_datagram_can_offload(int socket) {
    const int off = 0;
    return setsockopt(socket, SOL_UDP, SEGMENT_OPTION, &off, sizeof off) == 0;
}
