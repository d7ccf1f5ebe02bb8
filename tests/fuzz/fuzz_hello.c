/* ClientHellos, whole and in pieces. Slices stay within the input, and what was put together is what is read. */
#include <stdlib.h>

#include "common/net/hello.h"

static void require(bool condition) {
    if (!condition)
        abort();
}

static void require_within(struct slice part, struct slice whole) {
    require(part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len));
}

static void read(struct slice body, bool whole) {
    struct client_hello hello;
    if (!hello_read(body, whole, &hello))
        return;
    require(hello.random.len == 32 && hello.session_id.len <= 32);
    require_within(hello.random, body);
    require_within(hello.session_id, body);
    require_within(hello.cookie, body);
    require_within(hello.cipher_suites, body);
    require_within(hello.server_name, body);
    hello_offers(&hello, 0xc0a8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct hello_assembly assembly;
    memset(&assembly, 0, sizeof assembly);
    read(slice_of(data, size), true);
    /* The input as a row of datagrams, each behind its length in one byte. */
    for (size_t at = 0; at < size;) {
        size_t len = data[at++];
        len = len < size - at ? len : size - at;
        struct slice datagram = slice_of(data + at, len);
        struct hello_fragment fragment;
        at += len;
        if (!hello_read_fragment(datagram, &fragment))
            continue;
        require_within(fragment.bytes, datagram);
        read(fragment.bytes, false);
        if (hello_assemble(&assembly, &fragment) && hello_is_whole(&assembly))
            read(slice_of(assembly.body, assembly.message_len), true);
    }
    return 0;
}
