#include "web/inflate.h"

enum {
    BITS_MAX = 15,     /* of a code; RFC 1951 §3.2.7 */
    LENGTHS_MAX = 288, /* literals, the end, and lengths of copies; §3.2.6 */
    OWN_LENGTHS_MAX = 286,
    DISTANCES_MAX = 32,
    END_OF_BLOCK = 256,
};

struct input {
    struct slice rest;
    uint32_t held; /* bits that were taken from `rest` and are not used yet, the next one lowest */
    unsigned held_count;
    bool ended; /* more was asked for than there is */
};

static unsigned take_bits(struct input *in, unsigned count) {
    while (in->held_count < count) {
        if (in->rest.len == 0) {
            in->ended = true;
            return 0;
        }
        in->held |= (uint32_t)in->rest.data[0] << in->held_count;
        in->held_count += 8;
        in->rest = slice_from(in->rest, 1);
    }
    unsigned bits = in->held & ((1U << count) - 1);
    in->held >>= count;
    in->held_count -= count;
    return bits;
}

/* Codes of one length follow each other in the order of their symbols, and those of the next length follow them
 * (§3.2.2): so how many there are of each length, and the symbols in that order, are all of it. */
struct code {
    uint16_t count[BITS_MAX + 1];
    uint16_t symbols[LENGTHS_MAX];
};

/* lengths[i] is the length of symbol i's code, 0 where it has none. False when that many codes can't be told apart. */
static bool make_code(struct code *code, const uint8_t *lengths, size_t count) {
    uint16_t at[BITS_MAX + 2] = {0};
    int room = 1; /* codes of this length that are still free */
    memset(code->count, 0, sizeof code->count);
    for (size_t i = 0; i < count; i++)
        code->count[lengths[i]]++;
    code->count[0] = 0;
    for (size_t bits = 1; bits <= BITS_MAX; bits++) {
        room = room * 2 - code->count[bits];
        if (room < 0)
            return false;
        at[bits + 1] = (uint16_t)(at[bits] + code->count[bits]);
    }
    for (size_t i = 0; i < count; i++)
        if (lengths[i] != 0)
            code->symbols[at[lengths[i]]++] = (uint16_t)i;
    return true;
}

/* The next symbol, or -1 when what comes is no code. A code's first bit comes first, unlike a number's (§3.1.1). */
static int take_symbol(struct input *in, const struct code *code) {
    unsigned value = 0, first = 0, before = 0;
    for (size_t bits = 1; bits <= BITS_MAX && !in->ended; bits++) {
        value = value << 1 | take_bits(in, 1);
        if (value - first < code->count[bits])
            return in->ended ? -1 : code->symbols[before + value - first];
        before += code->count[bits];
        first = (first + code->count[bits]) << 1;
    }
    return -1;
}

/* §3.2.4 */
static bool put_stored(struct input *in, struct buffer *out) {
    in->held = 0;
    in->held_count = 0;
    unsigned len = take_bits(in, 16), inverted = take_bits(in, 16);
    if (in->ended || (len ^ inverted) != 0xffff || in->rest.len < len)
        return false;
    buffer_put(out, in->rest.data, len);
    in->rest = slice_from(in->rest, len);
    return true;
}

static bool put_copy(struct buffer *out, size_t distance, size_t len) {
    if (distance > out->len)
        return false;
    uint8_t *to = buffer_take(out, len);
    for (size_t i = 0; to != NULL && i < len; i++)
        to[i] = *(to + i - distance); /* what is copied may be what this copy writes */
    return to != NULL;
}

/* §3.2.5 */
static bool put_coded(struct input *in, struct buffer *out, const struct code *literals, const struct code *distances) {
    static const uint16_t lengths[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                       31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint16_t starts[] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                      33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                      1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    enum { LENGTHS = sizeof lengths / sizeof *lengths, STARTS = sizeof starts / sizeof *starts };
    while (!out->overflow) {
        int symbol = take_symbol(in, literals);
        if (symbol == END_OF_BLOCK)
            return true;
        if (symbol >= 0 && symbol < END_OF_BLOCK) {
            buffer_put_u8(out, (uint8_t)symbol);
            continue;
        }
        int kind = symbol - END_OF_BLOCK - 1;
        if (kind < 0 || kind >= LENGTHS)
            return false;
        unsigned more = kind < 8 || kind == LENGTHS - 1 ? 0 : (unsigned)kind / 4 - 1;
        size_t len = lengths[kind] + take_bits(in, more);
        int place = take_symbol(in, distances);
        if (place < 0 || place >= STARTS)
            return false;
        size_t distance = starts[place] + take_bits(in, place < 4 ? 0 : (unsigned)place / 2 - 1);
        if (in->ended || !put_copy(out, distance, len))
            return false;
    }
    return false;
}

/* §3.2.6 */
static bool put_with_fixed_codes(struct input *in, struct buffer *out) {
    struct code literals, distances;
    uint8_t lengths[LENGTHS_MAX];
    for (size_t i = 0; i < LENGTHS_MAX; i++)
        lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    make_code(&literals, lengths, LENGTHS_MAX);
    memset(lengths, 5, DISTANCES_MAX);
    make_code(&distances, lengths, DISTANCES_MAX);
    return put_coded(in, out, &literals, &distances);
}

/* The lengths of `total` codes, which are coded in turn: `lengths` has the code for that (§3.2.7). */
static bool take_lengths(struct input *in, const struct code *code, uint8_t *lengths, size_t total) {
    enum { REPEAT = 16, ZEROS = 17, MANY_ZEROS = 18 };
    for (size_t at = 0; at < total;) {
        int symbol = take_symbol(in, code);
        if (symbol < 0 || (symbol == REPEAT && at == 0))
            return false;
        uint8_t value = symbol == REPEAT ? lengths[at - 1] : symbol < REPEAT ? (uint8_t)symbol : 0;
        size_t times = symbol == REPEAT       ? 3 + take_bits(in, 2)
                       : symbol == ZEROS      ? 3 + take_bits(in, 3)
                       : symbol == MANY_ZEROS ? 11 + take_bits(in, 7)
                                              : 1;
        if (in->ended || times > total - at)
            return false;
        memset(lengths + at, value, times);
        at += times;
    }
    return true;
}

/* §3.2.7 */
static bool put_with_own_codes(struct input *in, struct buffer *out) {
    static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    struct code literals, distances;
    uint8_t lengths[LENGTHS_MAX + DISTANCES_MAX] = {0};
    size_t literal_count = take_bits(in, 5) + 257, distance_count = take_bits(in, 5) + 1, count = take_bits(in, 4) + 4;
    for (size_t i = 0; i < count; i++)
        lengths[order[i]] = (uint8_t)take_bits(in, 3);
    if (in->ended || literal_count > OWN_LENGTHS_MAX || !make_code(&literals, lengths, sizeof order) ||
        !take_lengths(in, &literals, lengths, literal_count + distance_count))
        return false;
    return make_code(&distances, lengths + literal_count, distance_count) &&
           make_code(&literals, lengths, literal_count) && put_coded(in, out, &literals, &distances);
}

bool inflate(struct slice packed, struct buffer *out) {
    struct input in = {.rest = packed};
    for (bool last = false; !last;) {
        last = take_bits(&in, 1) == 1;
        unsigned kind = take_bits(&in, 2);
        bool fine = !in.ended && (kind == 0   ? put_stored(&in, out)
                                  : kind == 1 ? put_with_fixed_codes(&in, out)
                                  : kind == 2 ? put_with_own_codes(&in, out)
                                              : false);
        if (!fine || out->overflow)
            return false;
    }
    return true;
}
