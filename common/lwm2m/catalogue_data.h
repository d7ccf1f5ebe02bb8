/* How definitions lie in memory: rows of numbers, and one table of NUL-terminated texts that they point into by offset,
 * the empty text at 0. Constant data without addresses in it, so processes share its pages and none is read before it
 * is needed. What is compiled in and what is loaded have the same form. */
#ifndef BERTH_LWM2M_CATALOGUE_DATA_H
#define BERTH_LWM2M_CATALOGUE_DATA_H

#include "common/lwm2m/catalogue.h"

enum { CATALOGUE_MULTIPLE = 16, CATALOGUE_MANDATORY = 32 };

/* A resource; rows of an object are sorted by id. */
struct catalogue_row {
    uint16_t id;
    uint8_t type;  /* enum lwm2m_type */
    uint8_t flags; /* operations, CATALOGUE_MULTIPLE, CATALOGUE_MANDATORY */
    uint32_t name, range, units;
};

/* An object of those compiled in, which are sorted by id and version. */
struct catalogue_entry {
    uint16_t id, version;
    uint8_t lwm2m, flags;
    uint16_t row_count;
    uint32_t first_row, name;
};

extern const struct catalogue_entry catalogue_entries[];
extern const size_t catalogue_entry_count;
extern const struct catalogue_row catalogue_rows[];
extern const char catalogue_texts[];

/* An object that was loaded: one block of memory, `rows` and `texts` point into it. */
struct catalogue_definition {
    struct catalogue_definition *next; /* of the same document; means nothing in a catalogue */
    unsigned line;                     /* of its <ObjectID>; line 1 is the first */
    size_t bytes;                      /* of the whole block */
    const struct catalogue_row *rows;
    const char *texts;
    uint32_t name, urn;
    uint16_t id, version, row_count;
    uint8_t lwm2m, source, flags;
};

#endif
