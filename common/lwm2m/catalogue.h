/* Object definitions (LwM2M Core 1.2 Appendix D): what objects and resources are called, what type they are of and what
 * may be done with them. Those of the OMA registry are compiled in, as constant data; others are loaded from OMA XML
 * (object_xml.h), and where both have the same version of an object, the loaded one holds.
 *
 * Nothing here is needed to talk to a device: an object without a definition works, typed by what its format tells. */
#ifndef BERTH_LWM2M_CATALOGUE_H
#define BERTH_LWM2M_CATALOGUE_H

#include "common/lwm2m/node.h"

enum {
    CATALOGUE_DEFINITIONS_MAX = 1000,       /* loaded ones */
    CATALOGUE_BYTES_MAX = 16 * 1024 * 1024, /* what they may take altogether */
    CATALOGUE_RESOURCES_MAX = 2000,         /* of one object */
    CATALOGUE_VERSION_TEXT_MAX = sizeof "255.255",
};

/* A version X.Y as X * 256 + Y. 0.0 is no version: as an argument it means any, the newest being preferred. */
enum { CATALOGUE_ANY_VERSION = 0 };

/* Two numbers from 0 to 255 with a dot between them, not both 0; a third one (1.0.3) is passed over. */
bool catalogue_version_parse(struct slice text, uint16_t *version);

/* "1.1" in `text`, which is returned. */
const char *catalogue_version_text(uint16_t version, char text[CATALOGUE_VERSION_TEXT_MAX]);

/* Who defines an object. The later ones go before the earlier ones. */
enum catalogue_source { CATALOGUE_BUILT_IN, CATALOGUE_FILE, CATALOGUE_STORED };

/* What may be done with a resource; 0: only bootstrap reaches it. UNKNOWN stands alone: the definition does not tell. */
enum { CATALOGUE_READ = 1, CATALOGUE_WRITE = 2, CATALOGUE_EXECUTE = 4, CATALOGUE_UNKNOWN = 8 };

struct catalogue_resource {
    uint16_t id;
    enum lwm2m_type type; /* LWM2M_NONE: it has no value (Execute), or the definition does not tell */
    uint8_t operations;
    bool multiple, mandatory;
    const char *name, *range, *units; /* "" when there is none; they live as long as the definition */
};

/* A definition as it was found. Valid until the catalogue is changed. */
struct catalogue_object {
    uint16_t id, version;
    uint8_t lwm2m; /* the earliest LwM2M version that has it, times ten */
    enum catalogue_source source;
    bool multiple, mandatory;
    const char *name;
    const char *urn; /* "" unless its XML has one */
    uint16_t resource_count;
    const struct catalogue_row *rows; /* for catalogue.c, like the next */
    const char *texts;
};

/* A definition on its way into a catalogue: one block of memory, made by object_xml_parse. */
struct catalogue_definition;

/* Definitions besides those compiled in. All zero is an empty one. */
struct catalogue {
    struct catalogue_definition **loaded; /* sorted by id, version, source */
    size_t count, reserved;
    size_t bytes; /* of the definitions loaded */
};

void catalogue_free(struct catalogue *catalogue);

/* The definition of exactly this version. */
bool catalogue_get(const struct catalogue *catalogue, uint16_t object_id, uint16_t version,
                   struct catalogue_object *object);

/* The definition of this version, or else of the one that is nearest: the next later one of the same major version,
 * since a minor version only adds to an object (§7.2.2), then earlier ones, then other major versions. */
bool catalogue_find(const struct catalogue *catalogue, uint16_t object_id, uint16_t version,
                    struct catalogue_object *object);

/* The first definition that comes after (object_id, version) by id and version; (0, 0) is before all. */
bool catalogue_next(const struct catalogue *catalogue, uint16_t object_id, uint16_t version,
                    struct catalogue_object *object);

/* Resources of a definition in ascending order of id; `index` is less than resource_count. */
struct catalogue_resource catalogue_resource_at(const struct catalogue_object *object, size_t index);

/* A resource of the object: as catalogue_find, among the versions that have the resource. Devices use resources of
 * versions that they do not announce. */
bool catalogue_resource(const struct catalogue *catalogue, uint16_t object_id, uint16_t version, uint16_t resource_id,
                        struct catalogue_resource *resource);

/* The declared type of the resource at `path`, or of the resource that the instance at it belongs to. LWM2M_NONE when
 * it is not known, or the path is shorter. */
enum lwm2m_type catalogue_type(const struct catalogue *catalogue, uint16_t version, const struct lwm2m_path *path);

/* ---- loading ---- */

/* What catalogue_put may need is at hand: every success allows one put, or is taken back with catalogue_unreserve. False
 * when the definition would be one too many, would take too much memory, or there is none. */
bool catalogue_reserve(struct catalogue *catalogue, const struct catalogue_definition *definition);
void catalogue_unreserve(struct catalogue *catalogue, const struct catalogue_definition *definition);

/* Take the definition over, in the place of an earlier one of the same id, version and source. Reserve first. */
void catalogue_put(struct catalogue *catalogue, struct catalogue_definition *definition, enum catalogue_source source);

/* Whether there is one from this source; false from catalogue_remove: there was none. */
bool catalogue_has(const struct catalogue *catalogue, uint16_t object_id, uint16_t version,
                   enum catalogue_source source);
bool catalogue_remove(struct catalogue *catalogue, uint16_t object_id, uint16_t version, enum catalogue_source source);

#endif
