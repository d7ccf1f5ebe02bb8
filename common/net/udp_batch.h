/* Datagrams of UDP sockets in batches: recvmmsg(2) and sendmmsg(2), with the local address that each came to or is to leave
 * from. What the loop (udp.c) and the threads beside it (udp_worker.c) have in common. */
#ifndef BERTH_NET_UDP_BATCH_H
#define BERTH_NET_UDP_BATCH_H

#include "common/net/address.h"

enum {
    UDP_BATCH = 64,          /* datagrams a system call, both ways */
    UDP_DATAGRAM_IN = 65536, /* the largest there is; memory that is never touched is never used */
    UDP_DATAGRAM_OUT = 1408, /* more than we ever send: a message (RFC 7252 §4.6) in a DTLS record */
};

/* A socket that is bound to `address` and does not block, or a negative errno. `family`: AF_INET or AF_INET6. An IPv6
 * wildcard takes IPv4 too. */
int udp_socket_open(const struct address *address, int *family);

/* One more at the address to which `fd` is bound, which nobody else may have had: the system spreads peers over them
 * (SO_REUSEPORT, socket(7)), always the same one to the same socket. As above. */
int udp_socket_open_beside(int fd, const struct address *address);

/* The port that the system has chosen, if it was asked to. */
void udp_socket_read_port(int fd, struct address *address);

/* Datagrams that the system has dropped because nobody fetched them in time. It counts to 2^32. */
uint32_t udp_socket_dropped(int fd);

/* ---- in ---- */

struct udp_in;

/* Ends the process when out of memory. */
struct udp_in *udp_in_new(void);
void udp_in_free(struct udp_in *in);

/* Fetch what has come, UDP_BATCH datagrams at most, in place of what was fetched before. How many. */
size_t udp_in_fetch(struct udp_in *in, int fd);

/* The datagram at `i`, whose bytes are the caller's to change, and its addresses; the port of `local` is 0. False: not from
 * a peer that could be answered. */
bool udp_in_at(struct udp_in *in, size_t i, struct address *peer, struct address *local, uint8_t **bytes, size_t *len);

/* ---- out ---- */

struct udp_out;

struct udp_out_counters {
    uint64_t sent, sent_bytes, failed;
};

/* For a socket of `family`. Ends the process when out of memory. */
struct udp_out *udp_out_new(int family);
void udp_out_free(struct udp_out *out);

bool udp_out_is_empty(const struct udp_out *out);
bool udp_out_is_full(const struct udp_out *out);

/* To the batch, which is not full, a datagram of at most UDP_DATAGRAM_OUT bytes; they are copied. `local` may be NULL. */
void udp_out_put(struct udp_out *out, const struct address *peer, const struct address *local, struct slice datagram);

/* Send the batch. What can't go is lost, as on the way. */
void udp_out_send(struct udp_out *out, int fd, struct udp_out_counters *counters);

#endif
