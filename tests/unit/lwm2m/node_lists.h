/* Lists of nodes for tests of codecs. */
#ifndef BERTH_TESTS_LWM2M_NODE_LISTS_H
#define BERTH_TESTS_LWM2M_NODE_LISTS_H

#include "common/lwm2m/node.h"

/* Fails the test when it is none. */
struct lwm2m_path path_of(const char *text);

struct lwm2m_node node_of(const char *path, struct lwm2m_value value);

/* The bytes of hexadecimal digits, at most 1024; good for a few calls more. */
struct slice bytes_of(const char *hex);

/* The node has this path and value. */
void assert_node_is(const struct lwm2m_node *node, const char *path, struct lwm2m_value value);

/* A copy of `bytes` in memory of its own without a byte to spare, so that a sanitizer sees what reads past the end. */
uint8_t *exact_copy(struct slice bytes);

/* Some list below `base` (of zero to two ids), another for each seed: values of every type but CORELNK, single and
 * multi-instance resources. Returns how many nodes there are, at most `cap`, which is 64 or more. */
enum { RANDOM_LIST_MIN = 64 };
size_t random_list(unsigned seed, const struct lwm2m_path *base, struct lwm2m_node *nodes, size_t cap);

/* Both tell the same, when the values of `decoded` are converted to the types of `expected`. */
bool tells_the_same(const struct lwm2m_node *expected, size_t count, const struct lwm2m_nodes *decoded);

#endif
