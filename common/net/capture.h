/* A capture file for Wireshark (pcapng, draft-ietf-opsawg-pcapng-02), made in memory from what was sent and received:
 * each datagram becomes an IP packet with UDP, bytes of a connection become segments of TCP. There is one interface, whose
 * packets begin with their IP header (LINKTYPE_RAW). Checksums are right; sequence numbers begin at 0 for each connection,
 * which has an opening handshake when its first bytes are there. */
#ifndef BERTH_NET_CAPTURE_H
#define BERTH_NET_CAPTURE_H

#include "common/net/address.h"

struct capture;

/* `application` is named as what has written the file. NULL when out of memory. */
struct capture *capture_new(const char *application);

/* TLS secrets in NSS key log format, lines with their newlines (pcapng §4.7). Before the packets that they open. */
void capture_add_secrets(struct capture *capture, struct slice lines);

struct capture_packet {
    uint64_t time_ms; /* Unix time */
    bool sent;        /* by us; else it came from the peer, which opens connections */
    bool is_stream;   /* bytes of a connection, else a datagram */
    bool has_offset;  /* `offset` is known; else the bytes follow those before */
    uint32_t offset;  /* of the first byte in what went this way over the connection; it wraps */
    struct address peer, local;
    struct slice bytes;  /* a datagram: at most 65,507 */
    struct slice remark; /* a comment on the packet; empty: none */
};

/* Both addresses are of the same family; else the packet is left out. */
void capture_add(struct capture *capture, const struct capture_packet *packet);

/* The file so far; empty when there was no memory for all of it. */
struct slice capture_bytes(const struct capture *capture);

/* Its memory is zeroed. */
void capture_free(struct capture *capture);

#endif
