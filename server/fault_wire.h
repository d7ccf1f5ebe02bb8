/* Where faults meet the wire: every message that comes and every one that is sent, the datagrams of DTLS, and requests that
 * are about to be answered. Called only while server->provoked says so. */
#ifndef BERTH_SERVER_FAULT_WIRE_H
#define BERTH_SERVER_FAULT_WIRE_H

#include "server/server.h"

bool fault_wire_start(struct server *server);
void fault_wire_stop(struct server *server); /* what is held back is lost */

/* Whether there are faults that can act. While messages are held back the wire is watched all the same. */
void fault_wire_attend(struct server *server, bool has_faults);

/* A fault has been deleted: what it holds back goes now. */
void fault_wire_release(struct server *server, uint64_t fault);

/* Read nothing from the connection of `link`, if it is one, until the fault lets go. */
void fault_wire_stall(struct server *server, uint64_t fault, struct link *link);
void fault_wire_let_go(struct server *server, uint64_t fault);

/* A message has come. */
void fault_wire_receive(struct server *server, struct link *link, struct slice message);

/* A datagram of DTLS has come, or is to be sent (then as udp_send). */
void fault_wire_receive_datagram(struct server *server, struct listener *listener, const struct address *peer,
                                 const struct address *local, struct slice datagram);
int fault_wire_send_datagram(struct server *server, struct listener *listener, const struct address *peer,
                             const struct address *local, struct slice datagram);

/* A whole request has come. True: a fault has seen to its answer, or that there is none. */
bool fault_wire_answer(struct server *server, const struct coap_request *request);

#endif
