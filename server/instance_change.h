/* Create and Delete change what a device has, and its registration says so before the device does with its next Update. */
#ifndef BERTH_SERVER_INSTANCE_CHANGE_H
#define BERTH_SERVER_INSTANCE_CHANGE_H

#include "common/lwm2m/path.h"
#include "server/server.h"

/* The device has created (`exists`) or deleted the object instance at `path`, two ids. */
void instance_change(struct server *server, struct slice endpoint, const struct lwm2m_path *path, bool exists);

#endif
