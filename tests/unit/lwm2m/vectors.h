/* The byte vectors of tests/data/vectors.json, for tests of codecs. */
#ifndef BERTH_TESTS_LWM2M_VECTORS_H
#define BERTH_TESTS_LWM2M_VECTORS_H

#include "common/lwm2m/node.h"

struct vector {
    char id[24];            /* TLV-01; V-01/0 of the value V-01 in format 0 */
    enum lwm2m_type type;   /* by the resource, of object 3442 */
    struct lwm2m_path path; /* the root when it is about a composite */
    struct slice bytes;
    bool accept; /* false: a decoder must refuse it */
};

/* The vectors whose ids begin with `prefix`, of the content format `cf`, in a list of the test's that vectors_free frees.
 * Fails the test when there are none. */
size_t vectors_load(const char *prefix, int cf, struct vector **vectors);
void vectors_free(struct vector *vectors, size_t count);

#endif
