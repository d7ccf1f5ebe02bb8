/* Small blocks of memory that live long and are many: one for each device, session, credential. malloc has 8 to 23 bytes
 * of its own in each, and puts them between what a handshake has for a second, whose holes then stay for as long as the
 * device does. Here blocks of a size lie side by side in chunks that hold nothing else.
 *
 *   chunk, 64 KiB at a multiple of 64 KiB:  [ header | block | block | ... | never used yet ]
 *
 * A block takes its length, rounded up to 8 bytes. The header is found by the address of a block, so nothing else needs to
 * be known to give one back. A chunk without blocks goes back to the system, unless it is the last of its size. All of it
 * belongs to one thread at a time.
 *
 * Under AddressSanitizer every block is one of malloc, so that it is watched like any other. */
#ifndef BERTH_BASE_SLAB_H
#define BERTH_BASE_SLAB_H

#include <stdbool.h>
#include <stddef.h>

enum { SLAB_BLOCK_MAX = 512 }; /* longer ones are malloc's */

struct slab;

/* NULL when out of memory. Takes 600 bytes, and chunks as they are needed. */
struct slab *slab_new(void);

/* Blocks that are out stay good: the memory goes with the last of them. */
void slab_free(struct slab *slab);

/* A block of `len` bytes, aligned for pointers and 64-bit numbers; its bytes are anything. NULL when out of memory. */
void *slab_take(struct slab *slab, size_t len);

/* Give back a block that was taken with this `len`; NULL is none. Whoever had secrets in it has zeroed them. */
void slab_give(void *block, size_t len);

/* What a block of `len` bytes takes. */
size_t slab_block_bytes(size_t len);

/* Memory in chunks. */
size_t slab_bytes(const struct slab *slab);

/* From now on blocks are laid into chunks whatever watches; before the first one is taken. For the test of slabs. */
void slab_pack(void);

#endif
