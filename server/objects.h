/* Object definitions that users bring (common/lwm2m/catalogue.h): those of --objects, read before anything else, and
 * those of the API, which are stored and come back with the next start. */
#ifndef BERTH_SERVER_OBJECTS_H
#define BERTH_SERVER_OBJECTS_H

#include "server/server.h"

/* Bring back what is stored. What cannot be read any more is left out, with a line in the log. False: one line in
 * `error`. */
bool objects_load(struct server *server, char *error, size_t error_size);

/* Store a definition, made from `xml`, and use it from the commit on: in the place of an earlier one from the API, and
 * before all others of its id and version. Takes the definition over. False, and no call, when there are too many
 * definitions. Otherwise `done` is called, perhaps at once. */
bool objects_put(struct server *server, struct catalogue_definition *definition, struct slice xml, store_done_fn *done,
                 void *arg);

/* Delete a definition of the API; what it went before holds again. False, and no call, when there is none. */
bool objects_delete(struct server *server, uint16_t object_id, uint16_t version, store_done_fn *done, void *arg);

#endif
