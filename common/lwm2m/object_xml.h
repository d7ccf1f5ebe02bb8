/* Object definitions as OMA writes them (LwM2M Core 1.2 Appendix D; schemas 1.0, 1.1 and 1.2): <LWM2M> with one or more
 * <Object>s. Read with expat, as what comes from outside: no DOCTYPE, so no entities; every count and length bounded.
 * Elements that a definition does not need, such as descriptions, are passed over. */
#ifndef BERTH_LWM2M_OBJECT_XML_H
#define BERTH_LWM2M_OBJECT_XML_H

#include "common/lwm2m/catalogue.h"

enum {
    OBJECT_XML_MAX = 1024 * 1024, /* bytes of a document */
    OBJECT_XML_DEPTH_MAX = 16,
    OBJECT_XML_OBJECTS_MAX = 100, /* in a document */
    OBJECT_XML_NAME_MAX = 256,    /* bytes of any text but <RangeEnumeration> */
    OBJECT_XML_RANGE_MAX = 4096,  /* bytes of that one */
};

struct object_xml_error {
    unsigned line;  /* the first is 1; 0 when it is about the whole document */
    char text[200]; /* a sentence without its full stop */
};

/* The definitions of a document, linked by `next`, in its order; or NULL and *error. */
struct catalogue_definition *object_xml_parse(struct slice xml, struct object_xml_error *error);

/* Of one definition, without which the next one is not found any more. */
void object_xml_free(struct catalogue_definition *definition);

/* What somebody who has parsed a document wants to know of a definition before it is in a catalogue. */
uint16_t object_xml_id(const struct catalogue_definition *definition);
uint16_t object_xml_version(const struct catalogue_definition *definition);
unsigned object_xml_line(const struct catalogue_definition *definition); /* of <ObjectID> */
struct catalogue_definition *object_xml_next(const struct catalogue_definition *definition);

#endif
