/* What a device costs on the wire: bytes of UDP payload, that is datagrams with all of their DTLS records, or the bytes of
 * a TCP or TLS connection, without the headers of UDP, TCP and IP. They are told apart by what they were for, and by transport,
 * DTLS with and without a connection ID.
 *
 * Counts lie with the link (link->traffic, 32 to 48 bytes from the first message on) and follow the device to the next
 * one when it moves, makes another session or registers anew. They are of this run of the server; bytes wrap at 2^32, counts at 2^26. */
#ifndef BERTH_SERVER_TRAFFIC_H
#define BERTH_SERVER_TRAFFIC_H

#include "server/server.h"

enum traffic_kind {
    TRAFFIC_HANDSHAKE,    /* whole ones, with the exchange of the cookie */
    TRAFFIC_RESUMPTION,   /* abbreviated ones */
    TRAFFIC_REGISTRATION, /* POST to /rd, its blocks and copies, and what acknowledges them */
    TRAFFIC_UPDATE,       /* POST (or PUT) to /rd/…, likewise */
    TRAFFIC_OTHER,        /* everything else, alerts and answers that come separately included */
    TRAFFIC_KINDS,
};

enum traffic_way { TRAFFIC_UDP, TRAFFIC_DTLS, TRAFFIC_DTLS_CID, TRAFFIC_TCP, TRAFFIC_TLS, TRAFFIC_WAYS };

/* `count`: handshakes, requests of that kind without their copies, or messages of the other kind, both ways. */
struct traffic_count {
    uint32_t count, bytes_in, bytes_out;
};

struct traffic_table {
    bool used[TRAFFIC_WAYS]; /* whether anything was counted */
    struct traffic_count counts[TRAFFIC_WAYS][TRAFFIC_KINDS];
};

/* "handshake" …, and "udp", "dtls", "dtls_cid", "tcp", "tls", as the API names them. */
const char *traffic_kind_name(enum traffic_kind kind);
const char *traffic_way_name(enum traffic_way way);

/* Watch the server's listeners. Before they are opened. False: out of memory. */
bool traffic_watch(struct server *server);

/* A session was made over `link`. */
void traffic_add_handshake(struct link *link, bool resumed, uint32_t bytes_in, uint32_t bytes_out);

/* A device goes on over another link: so do its counts. Nothing happens when it is the same one. */
void traffic_carry(struct link *from, struct link *to);

/* Where the trace may keep a number for the link, 0 at first; NULL: nothing was counted on it yet. */
uint32_t *traffic_trace_number(const struct link *link);

void traffic_of(const struct link *link, struct traffic_table *table);

#endif
