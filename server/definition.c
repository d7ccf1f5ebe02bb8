#include "server/definition.h"

#include <stdlib.h>

#include "common/lwm2m/link_format.h"
#include "common/lwm2m/object_version.h"

struct definitions definitions_of(const struct server *server, const struct registration *registration) {
    return (struct definitions){.catalogue = server->catalogue, .registration = registration, .object = LWM2M_ID_NONE};
}

/* As announced with `ver=` on the object or an instance of it, else what the version of LwM2M implies. */
static uint16_t announced_version(const struct registration *r, uint16_t object) {
    struct link_format_cursor cursor;
    struct link_format_link link;
    struct lwm2m_path path;
    struct slice ver;
    uint16_t version;
    link_format_start(&cursor, registration_links(r));
    while (link_format_next(&cursor, &link)) {
        if (lwm2m_path_parse(link.target, &path, NULL) && path.len > 0 && path.ids[0] == object &&
            link_format_find(&link, "ver", &ver) && catalogue_version_parse(ver, &version))
            return version;
    }
    bool known = catalogue_version_parse(slice_str(lwm2m_object_version(r->version, object)), &version);
    return known ? version : CATALOGUE_ANY_VERSION;
}

static uint16_t version_of(struct definitions *definitions, uint16_t object) {
    if (definitions->registration == NULL)
        return CATALOGUE_ANY_VERSION;
    if (definitions->object != object) {
        definitions->object = object;
        definitions->version = announced_version(definitions->registration, object);
    }
    return definitions->version;
}

bool definition_find(struct definitions *definitions, const struct lwm2m_path *path,
                     struct catalogue_resource *resource) {
    return path->len >= 3 && catalogue_resource(definitions->catalogue, path->ids[0],
                                                version_of(definitions, path->ids[0]), path->ids[2], resource);
}

bool definition_of_object(struct definitions *definitions, uint16_t id, struct catalogue_object *object) {
    return catalogue_find(definitions->catalogue, id, version_of(definitions, id), object);
}

enum lwm2m_type definition_type_of(void *arg, const struct lwm2m_path *path) {
    struct catalogue_resource resource;
    return definition_find(arg, path, &resource) && resource.type != LWM2M_NONE ? resource.type : LWM2M_RAW;
}

const char *definition_name_of(void *arg, const struct lwm2m_path *path) {
    struct definitions *definitions = arg;
    struct catalogue_resource resource;
    struct catalogue_object object;
    if (path->len == 0)
        return NULL;
    if (path->len >= 3)
        return definition_find(definitions, path, &resource) ? resource.name : NULL;
    return catalogue_find(definitions->catalogue, path->ids[0], version_of(definitions, path->ids[0]), &object)
               ? object.name
               : NULL;
}

static bool read_number(struct slice text, double *number) {
    char digits[48], *end;
    if (text.len == 0 || text.len >= sizeof digits)
        return false;
    memcpy(digits, text.data, text.len);
    digits[text.len] = '\0';
    *number = strtod(digits, &end);
    return *end == '\0';
}

/* Of "0..100": false for any other text, there are many ("0..255 bytes", "1,2,5"). */
static bool read_range(const char *text, double *min, double *max) {
    const char *dots = strstr(text, "..");
    return dots != NULL && read_number(slice_of(text, (size_t)(dots - text)), min) &&
           read_number(slice_str(dots + 2), max) && *min <= *max;
}

static bool is_number(const struct lwm2m_value *value, double *number) {
    switch (value->type) {
    case LWM2M_INTEGER:
        *number = (double)value->integer;
        return true;
    case LWM2M_UNSIGNED:
        *number = (double)value->natural;
        return true;
    case LWM2M_FLOAT:
        *number = value->real;
        return true;
    default:
        return false;
    }
}

const char *definition_fault(struct definitions *definitions, const struct lwm2m_node *node) {
    struct catalogue_resource resource;
    double number, min, max;
    if (!definition_find(definitions, &node->path, &resource))
        return NULL;
    bool is_instance = node->path.len == 4 || node->value.type == LWM2M_NONE;
    if (is_instance != resource.multiple)
        return resource.multiple ? "the resource has instances, and this is a single value"
                                 : "the resource has a single value, and no instances";
    if (is_number(&node->value, &number) && read_range(resource.range, &min, &max) && !(number >= min && number <= max))
        return "the value is out of the range that the definition of the resource gives";
    return NULL;
}
