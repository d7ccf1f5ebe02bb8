/* Delete (Core 1.2 §6.3.7). */
#include "client/device.h"
#include "client/request.h"

static void delete_instance(struct device *device, const struct target *target, struct answer *answer) {
    if (!target->object->creatable) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "instances of this object cannot be deleted");
        return;
    }
    object_delete(target->object, target->path.ids[1]);
    attribute_list_remove(&device->attributes, &target->path);
    registration_update_soon(&device->registration); /* with the new object list (§6.2.2) */
    answer->code = COAP_2_02_DELETED;
}

static void delete_resource_instance(struct device *device, const struct target *target, struct answer *answer) {
    if (!target_exists(target)) {
        answer_with(answer, COAP_4_04_NOT_FOUND, NULL);
        return;
    }
    if ((target->resource->operations & OPERATION_W) == 0) {
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "the resource cannot be written");
        return;
    }
    object_remove(target->object, target->instance, target->resource->id, target->path.ids[3]);
    attribute_list_remove(&device->attributes, &target->path);
    answer->code = COAP_2_02_DELETED;
}

void delete_answer(struct device *device, const struct target *target, struct answer *answer) {
    switch (target->path.len) {
    case 2:
        delete_instance(device, target, answer);
        return;
    case 4:
        delete_resource_instance(device, target, answer);
        return;
    default:
        answer_with(answer, COAP_4_05_METHOD_NOT_ALLOWED, "only instances can be deleted");
        return;
    }
}
