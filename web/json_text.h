/* JSON written as text, for answers that are asked for so often that a tree of them (web/document.h) would be most of the
 * work. Byte for byte what the tree would have been written as, without white space. Nothing is checked: whoever writes
 * closes what was opened, and gives no name twice. */
#ifndef BERTH_WEB_JSON_TEXT_H
#define BERTH_WEB_JSON_TEXT_H

#include <jansson.h>

#include "common/net/address.h"

/* A comma where one is due: before every entry of an array. */
void json_text_entry(struct buffer *out);

/* "name": and a comma before it where one is due. The name is ours: it has nothing to escape. */
void json_text_name(struct buffer *out, const char *name);

/* Values. Strings of bytes from outside as document_text makes them; `text` is ours. */
void json_text_string(struct buffer *out, struct slice bytes);
void json_text_string_after(struct buffer *out, const char *text, struct slice bytes);
void json_text_plain(struct buffer *out, const char *text);
void json_text_truth(struct buffer *out, bool truth);
void json_text_null(struct buffer *out);
void json_text_time(struct buffer *out, uint64_t unix_ms);
void json_text_address(struct buffer *out, const struct address *address);

/* What is a tree, and given up; null when that is NULL. */
void json_text_tree(struct buffer *out, json_t *tree);

/* Twice the memory of `out`, which is malloc's or none yet, with `len` bytes of what is in it, so that whoever has overflowed
 * goes on from there. False when out of memory. */
bool json_text_grow(struct buffer *out, size_t len);

#endif
