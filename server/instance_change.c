#include "server/instance_change.h"

#include <stdlib.h>

#include "server/object_list.h"
#include "server/persist.h"

/* `</2/5>`, as the vendor's client tells changes; its `;d` removes. */
static void put_change(struct buffer *out, struct slice root, const struct lwm2m_path *path, bool exists) {
    buffer_put_u8(out, '<');
    if (root.len > 0 && root.data[0] != '/')
        buffer_put_u8(out, '/');
    buffer_put_slice(out, root);
    lwm2m_path_put(out, path);
    buffer_put_str(out, exists ? ">" : ">;d");
}

void instance_change(struct server *server, struct slice endpoint, const struct lwm2m_path *path, bool exists) {
    struct registration *r = directory_find(server->directory, endpoint);
    uint8_t memory[128];
    struct buffer change = buffer_over(memory, sizeof memory);
    struct object_list list = {0};
    if (r == NULL)
        return;
    put_change(&change, registration_root(r), path, exists);
    if (change.overflow || !object_list_build(&list, buffer_slice(&change), registration_links(r), registration_root(r),
                                              OBJECT_LIST_DELTA))
        return;
    struct registration_content content = {.root = registration_root(r),
                                           .query = registration_query(r),
                                           .sms = registration_sms(r),
                                           .links = slice_of(list.text, list.len)};
    if (directory_rewrite(server->directory, r, &content))
        persist_soon(server, r, UNSAVED_ALL);
    free(list.text);
}
