/* Object definitions in XML: what is taken can be looked up, and is within its bounds; what is refused has a reason. */
#include <stdlib.h>

#include "common/lwm2m/object_xml.h"

static void require(bool holds) {
    if (!holds)
        abort();
}

static void require_text(const char *text, size_t max) {
    require(strlen(text) <= max && slice_is_utf8(slice_str(text)));
}

static void look_up(const struct catalogue *catalogue, uint16_t id, uint16_t version) {
    struct catalogue_object object;
    require(catalogue_get(catalogue, id, version, &object) && object.source == CATALOGUE_FILE);
    require_text(object.name, OBJECT_XML_NAME_MAX);
    require_text(object.urn, OBJECT_XML_NAME_MAX);
    for (size_t i = 0; i < object.resource_count; i++) {
        struct catalogue_resource at = catalogue_resource_at(&object, i), found;
        require(i == 0 || at.id > catalogue_resource_at(&object, i - 1).id);
        require(catalogue_resource(catalogue, id, version, at.id, &found) && found.name == at.name);
        require_text(at.name, OBJECT_XML_NAME_MAX);
        require_text(at.range, OBJECT_XML_RANGE_MAX);
        require_text(at.units, OBJECT_XML_NAME_MAX);
        require(at.type <= LWM2M_CORELNK && at.operations <= CATALOGUE_EXECUTE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct object_xml_error error;
    struct catalogue catalogue = {0};
    struct catalogue_definition *definition = object_xml_parse(slice_of(data, size), &error);
    if (definition == NULL)
        require(error.text[0] != '\0');
    for (struct catalogue_definition *next; definition != NULL; definition = next) {
        uint16_t id = object_xml_id(definition), version = object_xml_version(definition);
        next = object_xml_next(definition);
        require(object_xml_line(definition) > 0 && catalogue_reserve(&catalogue, definition));
        catalogue_put(&catalogue, definition, CATALOGUE_FILE);
        look_up(&catalogue, id, version);
    }
    catalogue_free(&catalogue);
    return 0;
}
