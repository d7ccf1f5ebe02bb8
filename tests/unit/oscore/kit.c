#include "tests/unit/oscore/kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/text.h"

struct slice kit_bytes(const char *hex) {
    static uint8_t memory[32][2048];
    static size_t turn;
    struct buffer out = buffer_over(memory[turn++ % 32], sizeof memory[0]);
    assert_true(text_get_hex(slice_str(hex), &out));
    return buffer_slice(&out);
}

void kit_assert_hex(struct slice bytes, const char *hex, const char *file, int line) {
    char text[4096];
    struct buffer out = buffer_over(text, sizeof text - 1);
    text_put_hex(&out, bytes);
    text[out.len] = '\0';
    if (strcmp(text, hex) != 0) {
        print_error("%s is not %s\n", text, hex);
        _fail(file, line);
    }
}

struct oscore_secrets kit_secrets(enum kit_case which, bool server) {
    struct slice client = which == KIT_C2 ? kit_bytes("00") : SLICE_NONE, other = kit_bytes("01");
    return (struct oscore_secrets){
        .master_secret = kit_bytes("0102030405060708090a0b0c0d0e0f10"),
        .master_salt = which == KIT_C2 ? SLICE_NONE : kit_bytes("9e7ca92223786340"),
        .id_context = which == KIT_C3 ? kit_bytes("37cbf3210017a2d3") : SLICE_NONE,
        .sender_id = server ? other : client,
        .recipient_id = server ? client : other,
        .aead = 10,
        .hkdf = OSCORE_HKDF_SHA_256,
    };
}

struct oscore_context kit_context(enum kit_case which, bool server, uint64_t next) {
    struct oscore_context context;
    struct oscore_secrets secrets = kit_secrets(which, server);
    assert_true(oscore_context_derive(&context, &secrets));
    context.next_number = next;
    context.number_limit = OSCORE_NUMBER_END;
    oscore_window_fresh(&context.window);
    return context;
}
