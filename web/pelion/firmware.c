/* /v3/firmware-images and /v3/firmware-manifests. An image is one of server/firmware_image.h whose name is its id, so that
 * devices fetch it over CoAP, too; forms are taken as they come. A manifest is a document. */
#include "server/firmware_image.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/text.h"
#include "web/document.h"
#include "web/multipart.h"
#include "web/pelion/pelion.h"
#include "web/v1/v1.h"

enum { FORM_SLACK = 1024 * 1024, NAME_MAX_LEN = 128, DESCRIPTION_MAX = 2000, FIELD_MAX = 2048, HOST_MAX = 128 };

static void set(json_t *object, const char *name, json_t *value) {
    json_object_set_new(object, name, value);
}

/* ---- forms ---- */

enum { FIELD_NAME, FIELD_DESCRIPTION, FIELD_COUNT };

/* The form of an image or a manifest, from the head of its request to the answer. */
struct form {
    struct pelion *pelion;
    struct http_request *request;
    struct multipart multipart;
    struct firmware_upload *upload; /* of an image, once its part has begun */
    struct buffer data;             /* of a manifest; without memory for an image */
    bool has_data;                  /* a part `datafile` has come */
    size_t taken, bytes;            /* of the form, of its data */
    int field;                      /* into which the part goes; FIELD_COUNT: into nothing, -1: the data */
    char fields[FIELD_COUNT][FIELD_MAX + 1];
    size_t field_lens[FIELD_COUNT];
    char id[PELION_ID_LEN + 1];
    char host[HOST_MAX + 1];
    unsigned status; /* with which it is refused; 0: it is not */
    const char *why;
};

static bool refuse(struct form *form, unsigned status, const char *why) {
    form->status = status;
    form->why = why;
    return false;
}

static bool refuse_image(struct form *form, enum firmware_refusal refusal) {
    switch (refusal) {
    case FIRMWARE_TOO_LARGE:
        return refuse(form, 413, "An image has at most 64 MiB.");
    case FIRMWARE_NO_ROOM:
        return refuse(form, 503, "All images together have at most 1 GiB.");
    case FIRMWARE_TOO_MANY:
        return refuse(form, 503, "There are 256 images, or 8 are being put: that is as many as may be.");
    case FIRMWARE_DISK:
        return refuse(form, 503, "The image can't be written to the data directory.");
    case FIRMWARE_IN_USE:
        return refuse(form, 409, "An update uses this image, or a change of it is under way.");
    case FIRMWARE_MISSING:
        return refuse(form, 404, "There is no such image.");
    case FIRMWARE_ACCEPTED:
        break;
    }
    return true;
}

static bool on_part(void *arg, struct slice name) {
    struct form *form = arg;
    enum firmware_refusal refusal;
    form->field = slice_is(name, "name") ? FIELD_NAME : slice_is(name, "description") ? FIELD_DESCRIPTION : FIELD_COUNT;
    if (!slice_is(name, "datafile"))
        return true;
    if (form->has_data)
        return refuse(form, 400, "The form has two datafiles.");
    form->has_data = true;
    form->field = -1;
    if (form->data.data != NULL)
        return true;
    form->upload = firmware_upload_begin(form->pelion->web->server->firmware_images, slice_str(form->id), &refusal);
    return form->upload != NULL || refuse_image(form, refusal);
}

static bool on_data(void *arg, struct slice bytes) {
    struct form *form = arg;
    if (form->field == FIELD_COUNT)
        return true;
    if (form->field >= 0) {
        size_t *len = &form->field_lens[form->field];
        if (*len + bytes.len > FIELD_MAX)
            return refuse(form, 400, "A field of the form is too long.");
        memcpy(form->fields[form->field] + *len, bytes.data, bytes.len);
        *len += bytes.len;
        return true;
    }
    form->bytes += bytes.len;
    if (form->upload != NULL) {
        enum firmware_refusal refusal = firmware_upload_add(form->upload, bytes);
        return refusal == FIRMWARE_ACCEPTED || refuse_image(form, refusal);
    }
    buffer_put_slice(&form->data, bytes);
    return !form->data.overflow || refuse(form, 400, "A manifest has at most 16384 bytes.");
}

static bool on_part_end(void *arg) {
    (void)arg;
    return true;
}

static const struct multipart_handlers handlers = {.begin = on_part, .data = on_data, .end = on_part_end};

static void put_host(struct form *form, const struct call *call) {
    struct slice host = http_header(call->request, "host");
    if (host.len > 0 && host.len <= HOST_MAX)
        snprintf(form->host, sizeof form->host, "%.*s", (int)host.len, (const char *)host.data);
    else
        snprintf(form->host, sizeof form->host, "127.0.0.1:%u", (unsigned)call->web->server->http_port);
}

/* NULL when out of memory. */
static struct form *form_new(const struct call *call) {
    struct form *form = calloc(1, sizeof *form);
    if (form == NULL)
        return NULL;
    form->pelion = call->web->pelion;
    form->request = call->request;
    form->field = FIELD_COUNT;
    pelion_make_id(form->pelion, form->id);
    put_host(form, call);
    if (!multipart_start(&form->multipart, http_header(call->request, "content-type"), &handlers, form))
        refuse(form, 400, "The body is not multipart/form-data with a boundary.");
    return form;
}

static void form_free(struct form *form) {
    if (form->upload != NULL)
        firmware_upload_abort(form->upload);
    free(form);
}

static void add(struct form *form, struct slice part) {
    if (form->status == 0 && !multipart_add(&form->multipart, part) && form->status == 0)
        refuse(form, 400, form->multipart.fault);
}

/* Whether everything has come that must. */
static bool is_whole(struct form *form) {
    if (form->status != 0)
        return false;
    if (!multipart_is_done(&form->multipart))
        return refuse(form, 400, "The form has no end.");
    if (!form->has_data)
        return refuse(form, 400, "The form has no part named datafile.");
    if (form->bytes == 0)
        return refuse(form, 400, "A datafile has one byte at least.");
    if (form->field_lens[FIELD_NAME] > NAME_MAX_LEN || form->field_lens[FIELD_DESCRIPTION] > DESCRIPTION_MAX)
        return refuse(form, 400, "A name has at most 128 bytes, a description 2000.");
    return true;
}

static json_t *field_json(const struct form *form, int field) {
    return document_text(slice_of(form->fields[field], form->field_lens[field]));
}

/* {name, description, created_at, url} */
static json_t *item_of(const struct form *form, const char *kind) {
    json_t *item = json_pack("{sososIso}", "name", field_json(form, FIELD_NAME), "description",
                             field_json(form, FIELD_DESCRIPTION), "created_at",
                             (json_int_t)clock_now_ms(&form->pelion->web->server->clock), "url",
                             json_sprintf("http://%s/v3/%s/%s/datafile", form->host, kind, form->id));
    if (form->field_lens[FIELD_NAME] == 0)
        set(item, "name", json_string(form->id));
    return item;
}

/* ---- images ---- */

static json_t *show_image(const struct call *call, const char *id, const json_t *item) {
    json_t *url = json_object_get(item, "url"), *name = json_object_get(item, "name");
    (void)call;
    return json_pack("{sssssOsOsOsOsOsOsosososb}", "object", "firmware-image", "id", id, "name", name, "description",
                     json_object_get(item, "description"), "datafile", url, "short_datafile", url, "datafile_checksum",
                     json_object_get(item, "checksum"), "datafile_size", json_object_get(item, "size"), "created_at",
                     pelion_item_time(item, "created_at"), "updated_at", pelion_item_time(item, "created_at"), "etag",
                     pelion_item_time(item, "created_at"), "datafile_encryption", 0);
}

static unsigned take(struct http_request *request, struct slice part, const char **why) {
    struct form *form = request->arg;
    form->taken += part.len;
    add(form, part); /* what is wrong is told when all has come, as an error of this API … */
    *why = "A form with an image has at most 65 MiB.";
    return form->taken > FIRMWARE_IMAGE_BYTES_MAX + FORM_SLACK ? 413 : 0; /* … unless it goes on and on */
}

static void dropped(struct http_request *request) {
    form_free(request->arg);
}

void pelion_images_begin(const struct call *call) {
    if (call->web->pelion == NULL && pelion_new(call->web) == NULL)
        return;
    struct form *form = form_new(call);
    if (form == NULL) /* the body is taken as any other, and refused in the end */
        return;
    call->request->arg = form;
    call->request->take = take;
    call->request->dropped = dropped;
}

static void on_uploaded(void *arg, enum store_result result) {
    struct form *form = arg;
    struct pelion *pelion = form->pelion;
    const struct firmware_image *image =
        result != STORE_OK ? NULL : firmware_image_find(pelion->web->server->firmware_images, slice_str(form->id));
    uint8_t memory[2 * FIRMWARE_DIGEST_LEN];
    struct buffer hex = buffer_over(memory, sizeof memory);
    if (image == NULL) {
        pelion_send_error(form->request, 503, "The database could not be written. Try again later.");
    } else {
        json_t *item = item_of(form, "firmware-images");
        text_put_hex(&hex, slice_of(image->digest, sizeof image->digest));
        set(item, "checksum", document_text(buffer_slice(&hex)));
        set(item, "size", json_integer((json_int_t)image->size));
        pelion_keep_and_answer(pelion, form->request, PELION_IMAGES, form->id, item, 201,
                               show_image(NULL, form->id, item));
    }
    free(form);
}

void pelion_images_post(const struct call *call) {
    struct form *form = call->request->take == NULL ? NULL : call->request->arg;
    if (form == NULL) {
        pelion_send_error(call->request, 400, "The body is not multipart/form-data with a part named datafile.");
        return;
    }
    call->request->take = NULL;
    if (!is_whole(form)) {
        pelion_send_error(call->request, form->status, form->why);
        form_free(form);
        return;
    }
    json_t *item = item_of(form, "firmware-images");
    struct firmware_upload *upload = form->upload;
    form->upload = NULL;
    firmware_upload_finish(upload, document_string(json_object_get(item, "url")), on_uploaded, form);
    json_decref(item);
}

void pelion_images_list(const struct call *call) {
    pelion_send_list(
        call, &(struct pelion_list){.items = call->web->pelion->tables[PELION_IMAGES],
                                    .show = show_image,
                                    .fields = "id name description datafile datafile_checksum datafile_size created_at "
                                              "updated_at etag timestamp"});
}

void pelion_images_get(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_IMAGES, id);
    if (item != NULL)
        pelion_send_json(call->request, 200, show_image(call, id, item));
}

/* As of any image: with ranges, and an ETag. */
void pelion_images_data(const struct call *call) {
    const struct firmware_images *images = call->web->server->firmware_images;
    if (pelion_item(call->web->pelion, PELION_IMAGES, call->args[0]) == NULL ||
        firmware_image_find(images, call->args[0]) == NULL)
        pelion_send_error(call->request, 404, "There is no such image.");
    else
        v1_firmware_get(call);
}

/* An image whose bytes are gone already is only forgotten. */
struct image_deletion {
    struct pelion *pelion;
    struct http_request *request;
    char id[PELION_ITEM_ID_MAX + 1];
};

static void on_image_deleted(void *arg, enum store_result result) {
    struct image_deletion *deletion = arg;
    if (result == STORE_OK)
        pelion_forget_and_answer(deletion->pelion, deletion->request, PELION_IMAGES, deletion->id);
    else
        pelion_send_error(deletion->request, 503, "The database could not be written. Try again later.");
    free(deletion);
}

void pelion_images_delete(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_IMAGES, id);
    struct image_deletion *deletion = item == NULL ? NULL : calloc(1, sizeof *deletion);
    if (item == NULL)
        return;
    if (deletion == NULL) {
        pelion_send_error(call->request, 503, "The server is out of memory.");
        return;
    }
    *deletion = (struct image_deletion){.pelion = call->web->pelion, .request = call->request};
    memcpy(deletion->id, id, sizeof id);
    enum firmware_refusal refusal =
        firmware_image_delete(call->web->server->firmware_images, slice_str(id), on_image_deleted, deletion);
    if (refusal == FIRMWARE_MISSING) {
        on_image_deleted(deletion, STORE_OK);
    } else if (refusal != FIRMWARE_ACCEPTED) {
        free(deletion);
        pelion_send_error(call->request, 409, "An update uses this image, or a change of it is under way.");
    }
}

const char *pelion_image_of(const struct pelion *pelion, struct slice manifest) {
    const char *id;
    json_t *item;
    json_object_foreach(pelion->tables[PELION_IMAGES], id, item) {
        if (memmem(manifest.data, manifest.len, id, strlen(id)) != NULL)
            return id;
    }
    return "";
}

/* ---- manifests ---- */

static json_t *show_manifest(const struct call *call, const char *id, const json_t *item) {
    json_t *url = json_object_get(item, "url");
    (void)call;
    return json_pack("{sssssOsOsOsOsOsssososososs}", "object", "firmware-manifest", "id", id, "name",
                     json_object_get(item, "name"), "description", json_object_get(item, "description"), "datafile",
                     url, "datafile_size", json_object_get(item, "size"), "short_datafile", url, "device_class", "",
                     "timestamp", pelion_item_time(item, "created_at"), "created_at",
                     pelion_item_time(item, "created_at"), "updated_at", pelion_item_time(item, "created_at"), "etag",
                     pelion_item_time(item, "created_at"), "key_table", "");
}

static json_t *bytes_json(struct slice bytes) {
    size_t max = bytes.len * 4 / 3 + 4;
    uint8_t *memory = malloc(max);
    struct buffer text = buffer_over(memory, memory == NULL ? 0 : max);
    text_put_base64(&text, bytes);
    json_t *json = memory == NULL ? NULL : document_text(buffer_slice(&text));
    free(memory);
    return json;
}

uint8_t *pelion_manifest_bytes(const json_t *manifest, size_t *len) {
    struct slice text = document_string(json_object_get(manifest, "data"));
    uint8_t *memory = malloc(text.len + 1);
    struct buffer bytes = buffer_over(memory, memory == NULL ? 0 : text.len + 1);
    if (memory != NULL && text_get_base64(text, &bytes)) {
        *len = bytes.len;
        return memory;
    }
    free(memory);
    return NULL;
}

void pelion_manifests_post(const struct call *call) {
    struct pelion *pelion = call->web->pelion;
    struct form *form = form_new(call);
    uint8_t memory[PELION_MANIFEST_MAX];
    if (form == NULL) {
        pelion_send_error(call->request, 503, "The server is out of memory.");
        return;
    }
    form->data = buffer_over(memory, sizeof memory);
    add(form, call->request->body);
    if (form->status == 0 && json_object_size(pelion->tables[PELION_MANIFESTS]) >= PELION_MANIFESTS_MAX)
        refuse(form, 503, "There are as many manifests as there may be.");
    if (!is_whole(form)) {
        pelion_send_error(call->request, form->status, form->why);
    } else {
        json_t *item = item_of(form, "firmware-manifests");
        set(item, "data", bytes_json(buffer_slice(&form->data)));
        set(item, "size", json_integer((json_int_t)form->data.len));
        pelion_keep_and_answer(pelion, call->request, PELION_MANIFESTS, form->id, item, 201,
                               show_manifest(call, form->id, item));
    }
    form_free(form);
}

void pelion_manifests_list(const struct call *call) {
    pelion_send_list(call, &(struct pelion_list){.items = call->web->pelion->tables[PELION_MANIFESTS],
                                                 .show = show_manifest,
                                                 .fields = "id name description datafile datafile_size device_class "
                                                           "timestamp created_at updated_at etag"});
}

void pelion_manifests_get(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    const json_t *item = pelion_find(call, PELION_MANIFESTS, id);
    if (item != NULL)
        pelion_send_json(call->request, 200, show_manifest(call, id, item));
}

void pelion_manifests_data(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    size_t len = 0;
    const json_t *item = pelion_find(call, PELION_MANIFESTS, id);
    uint8_t *bytes = item == NULL ? NULL : pelion_manifest_bytes(item, &len);
    if (bytes != NULL)
        http_respond(call->request, &(struct http_response){.status = 200,
                                                            .content_type = "application/octet-stream",
                                                            .body = slice_of(bytes, len)});
    else if (item != NULL)
        pelion_send_error(call->request, 503, "The server is out of memory.");
    free(bytes);
}

void pelion_manifests_delete(const struct call *call) {
    char id[PELION_ITEM_ID_MAX + 1];
    if (pelion_find(call, PELION_MANIFESTS, id) != NULL)
        pelion_forget_and_answer(call->web->pelion, call->request, PELION_MANIFESTS, id);
}
