// Datagrams in batches over a connected UDP socket: calls that Swift cannot make, because their structures end in
// control messages.
#ifndef CK_DATAGRAM_H
#define CK_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    CK_DATAGRAM_SLOT = 65536, // bytes that one received batch may have
    CK_DATAGRAM_SLOTS = 16,   // batches that one call may receive
    CK_DATAGRAM_MOST = 64,    // datagrams that one call sends
};

// Sends `count` bytes as datagrams of `segment` bytes, the last one with what is left; at most CK_DATAGRAM_MOST of them
// and, with `offload`, 65,000 bytes. With `offload` the kernel cuts one large packet (UDP_SEGMENT), otherwise each
// datagram is a packet of one sendmmsg(2). Returns the bytes sent, whole datagrams, or -errno; -EAGAIN when the socket
// takes none.
long ck_datagram_send(int socket, const void *bytes, size_t count, size_t segment, int offload);

// What one slot received: `length` bytes, which are datagrams of `segment` bytes, the last one with what is left.
typedef struct {
    uint32_t length;
    uint32_t segment;
} ck_datagram_batch;

// Receives what is there into up to CK_DATAGRAM_SLOTS slots of CK_DATAGRAM_SLOT bytes each and does not wait. Returns
// the number of slots filled, or -errno; -EAGAIN when there is nothing.
int ck_datagram_receive(int socket, void *slots, int count, ck_datagram_batch *batches);

// Lets the kernel hand over datagrams of one sender joined (UDP_GRO), and makes room for `bytes` on both ways, beyond
// the system's limits where the process may. Returns 1 when datagrams come joined, else 0.
int ck_datagram_prepare(int socket, int bytes);

// Waits until the socket can be read (or written, with `writing`), at most that many seconds; 1 when it can.
int ck_datagram_wait(int socket, int writing, double seconds);

// Whether the kernel cuts packets for this socket (UDP_SEGMENT).
int ck_datagram_can_offload(int socket);

#endif
