/* Records: the first byte picks cipher, CIDs and draft. What was not sealed with the key is never taken, nothing is read
 * past the datagram, and what is sealed from the input comes back. */
#include <stdlib.h>

#include "common/net/record.h"

static void require(bool condition) {
    if (!condition)
        abort();
}

static struct dtls_keys keys_for(uint8_t choice) {
    static const enum record_aead aeads[] = {RECORD_CCM_8, RECORD_CCM, RECORD_GCM, RECORD_GCM};
    struct dtls_keys keys = {.aead = (uint8_t)aeads[choice & 3], .epoch = 1, .max_content = RECORD_CONTENT_MAX};
    keys.key_len = (choice & 3) == 3 ? 32 : 16;
    keys.number_limit = UINT64_MAX;
    keys.draft = (choice & 4) != 0;
    keys.cid_len = keys.peer_cid_len = (choice & 8) != 0 ? 8 : 0;
    memset(keys.cid, 'c', keys.cid_len);
    memset(keys.peer_cid, 'c', keys.peer_cid_len);
    memset(keys.read_key, 0x5a, sizeof keys.read_key);
    memset(keys.write_key, 0x5a, sizeof keys.write_key);
    return keys;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t copy[1 << 15], sealed[1 << 15];
    if (size == 0 || size > RECORD_CONTENT_MAX)
        return 0;
    struct dtls_keys keys = keys_for(data[0]);
    struct slice input = slice_of(data + 1, size - 1);
    struct record record;
    size_t used;
    memcpy(copy, input.data, input.len);
    for (size_t at = 0; at < input.len; at += used) {
        require(record_open(&keys, copy + at, input.len - at, &record, &used) != RECORD_CONTENT);
        require(used > 0 && used <= input.len - at);
    }
    struct buffer out = buffer_over(sealed, sizeof sealed);
    require(record_seal(&keys, RECORD_APPLICATION_DATA, input, &out) == RECORD_SEALED);
    require(record_open(&keys, sealed, out.len, &record, &used) == RECORD_CONTENT && used == out.len);
    require(record.type == RECORD_APPLICATION_DATA && slice_equal(record.content, input));
    return 0;
}
