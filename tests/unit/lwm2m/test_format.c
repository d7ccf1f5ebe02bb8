#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/lwm2m/format.h"
#include "tests/unit/lwm2m/node_lists.h"
#include "tests/unit/lwm2m/vectors.h"

enum { NODES = 64, BYTES = 16384 };

static const int64_t now_ms = INT64_C(1600000000000);
static const int every_format[] = {0, 42, 60, 110, 112, 320, 322, 11542, 11543, 11544};

enum { FORMATS = sizeof every_format / sizeof every_format[0] };

/* ---- what a payload tells ---- */

struct contents {
    bool good;
    struct lwm2m_nodes nodes;
    struct lwm2m_node memory[NODES];
    uint8_t scratch[BYTES];
};

static struct contents first, second;

/* Types as the definitions of the objects that the vectors are about have them. */
static enum lwm2m_type type_in_definition(void *arg, const struct lwm2m_path *path) {
    static const struct {
        uint16_t object, resource;
        enum lwm2m_type type;
    } types[] = {
        {3442, 110, LWM2M_STRING},  {3442, 120, LWM2M_INTEGER}, {3442, 125, LWM2M_UNSIGNED}, {3442, 130, LWM2M_FLOAT},
        {3442, 140, LWM2M_BOOLEAN}, {3442, 150, LWM2M_OPAQUE},  {3442, 160, LWM2M_TIME},     {3442, 170, LWM2M_OBJLNK},
        {3442, 180, LWM2M_CORELNK}, {3, 0, LWM2M_STRING},       {3, 1, LWM2M_STRING},        {3, 2, LWM2M_STRING},
        {3, 3, LWM2M_STRING},       {3, 6, LWM2M_INTEGER},      {3, 7, LWM2M_INTEGER},       {3, 8, LWM2M_INTEGER},
        {3, 9, LWM2M_INTEGER},      {3, 10, LWM2M_INTEGER},     {3, 11, LWM2M_INTEGER},      {3, 13, LWM2M_TIME},
        {3, 14, LWM2M_STRING},      {3, 15, LWM2M_STRING},      {3, 16, LWM2M_STRING},       {1, 0, LWM2M_INTEGER},
        {1, 1, LWM2M_INTEGER},      {1, 2, LWM2M_INTEGER},      {1, 3, LWM2M_INTEGER},       {1, 5, LWM2M_INTEGER},
        {1, 6, LWM2M_BOOLEAN},      {1, 7, LWM2M_STRING},       {2, 0, LWM2M_INTEGER},       {2, 1, LWM2M_INTEGER},
        {2, 2, LWM2M_INTEGER},      {2, 3, LWM2M_INTEGER},      {3303, 5700, LWM2M_FLOAT},   {65, 0, LWM2M_OBJLNK},
        {65, 1, LWM2M_STRING},      {65, 2, LWM2M_INTEGER},     {5, 0, LWM2M_OPAQUE},        {5, 1, LWM2M_STRING},
        {72, 2, LWM2M_FLOAT},       {16, 0, LWM2M_STRING},      {13, 1, LWM2M_INTEGER},
    };
    (void)arg;
    for (size_t i = 0; path->len > 2 && i < sizeof types / sizeof types[0]; i++) {
        if (types[i].object == path->ids[0] && types[i].resource == path->ids[2])
            return types[i].type;
    }
    return LWM2M_RAW;
}

static void decode_with(struct contents *contents, int format, struct slice payload,
                        const struct lwm2m_decode_context *context) {
    struct buffer scratch = buffer_over(contents->scratch, 2 * payload.len);
    contents->nodes = lwm2m_nodes_over(contents->memory, NODES);
    assert_true(scratch.cap <= BYTES);
    contents->good = lwm2m_decode(format, payload, context, &scratch, &contents->nodes);
    assert_true(contents->good || contents->nodes.remark != NULL);
}

static void decode(struct contents *contents, int format, struct slice payload, const char *base) {
    struct lwm2m_decode_context context = {.base = path_of(base), .now_ms = now_ms, .type_of = type_in_definition};
    decode_with(contents, format, payload, &context);
}

static void accept(struct contents *contents, int format, struct slice payload, const char *base) {
    decode(contents, format, payload, base);
    if (!contents->good)
        fail_msg("%d at %s was refused: %s", format, base, contents->nodes.remark);
}

static void assert_same(const struct contents *a, const struct contents *b, const char *what) {
    bool same = a->nodes.count == b->nodes.count;
    for (size_t i = 0; same && i < a->nodes.count; i++) {
        const struct lwm2m_node *left = &a->memory[i], *right = &b->memory[i];
        same = lwm2m_path_equal(&left->path, &right->path) && lwm2m_value_equal(&left->value, &right->value) &&
               left->has_time == right->has_time && left->time_ms == right->time_ms;
    }
    if (!same)
        fail_msg("%s", what);
}

/* ---- vectors ---- */

static const struct vector_set {
    const char *prefix;
    int cf;
    size_t count;
} sets[] = {
    {"V-", 0, 27},     {"V-", 42, 2},      {"V-", 60, 27},      {"V-", 110, 27}, {"V-", 112, 27}, {"V-", 11542, 27},
    {"V-", 11543, 27}, {"V-", 11544, 27},  {"TLV-", 11542, 23}, {"SJ-", 110, 9}, {"SC-", 112, 5}, {"ETCH-", 320, 2},
    {"ETCH-", 322, 2}, {"LC-", 11544, 13}, {"OJ-", 11543, 3},   {"NT-", 0, 16},  {"NC-", 60, 15}, {"NL-", 11542, 15},
    {"NJ-", 110, 25},  {"NS-", 112, 12},   {"NB-", 11544, 17},
};

enum { SETS = sizeof sets / sizeof sets[0], VECTORS_WITH_A_FORMAT = 348 };

static enum senml_mode mode_of(const char *id) {
    static const char *const fetches[] = {"SJ-05", "SJ-06", "SJ-09", "SC-02", "ETCH-01", "ETCH-02"};
    for (size_t i = 0; i < sizeof fetches / sizeof fetches[0]; i++) {
        if (strcmp(id, fetches[i]) == 0)
            return SENML_FETCH;
    }
    return strcmp(id, "ETCH-03") == 0 || strcmp(id, "ETCH-04") == 0 ? SENML_PATCH : SENML_CONTENT;
}

static struct lwm2m_decode_context context_of(const struct vector *vector) {
    struct lwm2m_decode_context context = {
        .base = vector->path, .now_ms = now_ms, .mode = mode_of(vector->id), .type_of = type_in_definition};
    if (strcmp(vector->id, "TLV-21") == 0) /* Create without instance id */
        context.base = lwm2m_path_child(&vector->path, LWM2M_ID_NONE);
    return context;
}

static bool is_wanted(const struct vector *vector) {
    return vector->accept && strcmp(vector->id, "TLV-19") != 0; /* a misprint, which TLV-19b corrects */
}

static void for_each_vector(void (*check)(const struct vector *vector, int cf)) {
    size_t total = 0;
    for (size_t set = 0; set < SETS; set++) {
        struct vector *vectors;
        size_t count = vectors_load(sets[set].prefix, sets[set].cf, &vectors);
        assert_int_equal(count, sets[set].count);
        for (size_t i = 0; i < count; i++)
            check(&vectors[i], sets[set].cf);
        total += count;
        vectors_free(vectors, count);
    }
    assert_int_equal(total, VECTORS_WITH_A_FORMAT);
}

static void check_verdict(const struct vector *vector, int cf) {
    struct lwm2m_decode_context context = context_of(vector);
    decode_with(&first, cf, vector->bytes, &context);
    if (first.good != is_wanted(vector))
        fail_msg("%s: %s", vector->id, first.good ? "was taken" : first.nodes.remark);
}

static void test_FMT_01_TYP_01_every_vector_is_taken_or_refused_as_wanted(void **state) {
    (void)state;
    for_each_vector(check_verdict);
}

static void check_return(const struct vector *vector, int cf) {
    static uint8_t bytes[BYTES];
    struct lwm2m_decode_context context = context_of(vector);
    struct lwm2m_encode_context encode_context = {.base = context.base, .mode = context.mode};
    struct buffer out = buffer_over(bytes, sizeof bytes);
    if (!is_wanted(vector))
        return;
    decode_with(&first, cf, vector->bytes, &context);
    if (!lwm2m_encode(cf, first.memory, first.nodes.count, &encode_context, &out))
        fail_msg("%s is not encoded", vector->id);
    if (strncmp(vector->id, "V-", 2) == 0 && !slice_equal(buffer_slice(&out), vector->bytes))
        fail_msg("%s is encoded to other bytes", vector->id);
    decode_with(&second, cf, buffer_slice(&out), &context);
    if (!second.good)
        fail_msg("%s does not come back: %s", vector->id, second.nodes.remark);
    assert_same(&first, &second, vector->id);
}

static void test_FMT_01_every_vector_comes_back(void **state) {
    (void)state;
    for_each_vector(check_return);
}

/* Out of order, so that they must be arranged; a decoder that were not linear would take minutes. */
static void test_FMT_03_a_hundred_thousand_values(void **state) {
    (void)state;
    enum { VALUES = 100000, ROOM = 64 * VALUES };
    static const int formats[] = {110, 112, 11543, 11544, 11542};
    struct lwm2m_node *list = calloc(VALUES, sizeof *list), *memory = calloc(VALUES, sizeof *memory);
    uint8_t *bytes = malloc(ROOM), *scratch_memory = malloc(2 * ROOM);
    struct lwm2m_decode_context decoding = {.base = path_of("/3442"), .now_ms = now_ms, .type_of = type_in_definition};
    struct lwm2m_encode_context encoding = {.base = decoding.base};
    assert_true(list != NULL && memory != NULL && bytes != NULL && scratch_memory != NULL);
    for (size_t i = 0; i < VALUES; i++) {
        uint16_t instance = (uint16_t)((i / 1000 * 37) % 100), index = (uint16_t)(i % 1000 * 7 % 1000);
        list[i].path = (struct lwm2m_path){.ids = {3442, instance, 120, index}, .len = 4};
        list[i].value = lwm2m_integer((int64_t)i);
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct buffer out = buffer_over(bytes, ROOM), scratch = buffer_over(scratch_memory, 2 * ROOM);
        struct lwm2m_nodes nodes = lwm2m_nodes_over(memory, VALUES);
        assert_true(lwm2m_encode(formats[i], list, VALUES, &encoding, &out));
        if (!lwm2m_decode(formats[i], buffer_slice(&out), &decoding, &scratch, &nodes))
            fail_msg("%d: %s", formats[i], nodes.remark);
        assert_true(tells_the_same(list, VALUES, &nodes));
    }
    free(scratch_memory);
    free(bytes);
    free(memory);
    free(list);
}

static void check_truncations(const struct vector *vector, int cf) {
    struct lwm2m_decode_context context = context_of(vector);
    /* A prefix of a text or of an opaque is one, too, and so may be that of a TLV. */
    bool may_be_good = cf == 0 || cf == 42 || cf == 11542;
    for (size_t len = 0; is_wanted(vector) && len < vector->bytes.len; len++) {
        uint8_t *copy = exact_copy(slice_of(vector->bytes.data, len));
        decode_with(&first, cf, slice_of(copy, len), &context);
        if (first.good && !may_be_good)
            fail_msg("%s: %zu bytes", vector->id, len);
        free(copy);
    }
}

static void test_FMT_03_every_truncation_of_every_vector(void **state) {
    (void)state;
    for_each_vector(check_truncations);
}

static void test_FMT_01_values_V_are_the_same_in_every_format(void **state) {
    (void)state;
    for (size_t set = 1; set < SETS && strcmp(sets[set].prefix, "V-") == 0; set++) {
        struct vector *vectors, *texts;
        size_t count = vectors_load("V-", sets[set].cf, &vectors), texts_count = vectors_load("V-", 0, &texts), at = 0;
        for (size_t i = 0; i < count; i++) {
            struct lwm2m_decode_context context = context_of(&vectors[i]);
            while (strncmp(texts[at].id, vectors[i].id, 5) != 0)
                assert_true(++at < texts_count);
            decode_with(&first, sets[set].cf, vectors[i].bytes, &context);
            decode_with(&second, 0, texts[at].bytes, &context);
            assert_same(&first, &second, vectors[i].id);
        }
        vectors_free(texts, texts_count);
        vectors_free(vectors, count);
    }
}

/* The same device in four formats. */
static void test_FMT_01_an_instance_is_the_same_in_every_format(void **state) {
    (void)state;
    static const struct {
        const char *id;
        int cf;
    } others[] = {{"SJ-01", 110}, {"SC-01", 112}, {"LC-04", 11544}};
    struct vector *tlv, *other;
    size_t tlv_count = vectors_load("TLV-01", 11542, &tlv);
    accept(&first, 11542, tlv[0].bytes, "/3/0");
    assert_int_equal(first.nodes.count, 16);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        size_t count = vectors_load(others[i].id, others[i].cf, &other);
        accept(&second, others[i].cf, other[0].bytes, "/3/0");
        assert_same(&first, &second, others[i].id);
        vectors_free(other, count);
    }
    vectors_free(tlv, tlv_count);
}

/* ---- any list, in any format, and from there in any other ---- */

struct list {
    const struct lwm2m_node *nodes;
    size_t count;
};

static enum lwm2m_type type_in_list(void *arg, const struct lwm2m_path *path) {
    const struct list *list = arg;
    for (size_t i = 0; i < list->count; i++) {
        if (lwm2m_path_equal(&list->nodes[i].path, path))
            return list->nodes[i].value.type;
    }
    return LWM2M_RAW;
}

/* Through format `a`, then through `b`; false when one of them can't tell such a list. */
static bool pass(struct list *list, const struct lwm2m_path *base, int a, int b, unsigned seed) {
    static uint8_t in_a[BYTES], in_b[BYTES];
    struct lwm2m_decode_context decoding = {
        .base = *base, .now_ms = now_ms, .type_of = type_in_list, .arg = list, .root = slice_str("/dm")};
    struct lwm2m_encode_context encoding = {
        .base = *base, .root = slice_str("/dm"), .time = seed % 2 == 0 ? CBOR_TIME_PLAIN : CBOR_TIME_TAGGED};
    struct buffer out = buffer_over(in_a, sizeof in_a);
    if (!lwm2m_encode(a, list->nodes, list->count, &encoding, &out))
        return false;
    decode_with(&first, a, buffer_slice(&out), &decoding);
    if (!first.good || first.nodes.remark != NULL || !tells_the_same(list->nodes, list->count, &first.nodes))
        fail_msg("seed %u in %d: %s", seed, a, first.nodes.remark == NULL ? "differs" : first.nodes.remark);
    out = buffer_over(in_b, sizeof in_b);
    if (!lwm2m_encode(b, first.memory, first.nodes.count, &encoding, &out))
        return false;
    decode_with(&second, b, buffer_slice(&out), &decoding);
    if (!second.good || second.nodes.remark != NULL)
        fail_msg("seed %u from %d in %d: %s", seed, a, b, second.nodes.remark);
    assert_same(&first, &second, "after the second format");
    return true;
}

static void test_FMT_01_any_list_passes_through_any_two_formats(void **state) {
    (void)state;
    static const char *const bases[] = {"/", "/3", "/3/0"};
    static const int formats[] = {110, 112, 11544, 11542, 11543};
    static const size_t fit[] = {3, 5, 5};
    static struct lwm2m_node nodes[NODES];
    for (unsigned seed = 0; seed < 600; seed++) {
        struct lwm2m_path base = path_of(bases[seed % 3]);
        struct list list = {.nodes = nodes, .count = random_list(seed, &base, nodes, NODES)};
        for (size_t a = 0; a < 5; a++) {
            for (size_t b = 0; b < 5; b++)
                assert_true(pass(&list, &base, formats[a], formats[b], seed) ==
                            (a < fit[seed % 3] && b < fit[seed % 3]));
        }
    }
}

static void test_FMT_01_any_history_passes_through_any_two_formats_that_have_times(void **state) {
    (void)state;
    static const int formats[] = {110, 112, 11543};
    static struct lwm2m_node nodes[NODES];
    struct lwm2m_path base = path_of("/3/0");
    for (unsigned seed = 0; seed < 300; seed++) {
        struct list list = {.nodes = nodes, .count = random_list(seed, &base, nodes, NODES)};
        for (size_t i = 0; i < list.count; i++) {
            nodes[i].has_time = seed % 3 == 0 || i % 2 == 0;
            nodes[i].time_ms = nodes[i].has_time ? now_ms - (int64_t)(seed * 977 + i * 1013) : 0;
        }
        for (size_t a = 0; a < 3; a++) {
            for (size_t b = 0; b < 3; b++)
                assert_true(pass(&list, &base, formats[a], formats[b], seed));
        }
    }
}

static bool tells_one(int format, enum lwm2m_type type) {
    return format != 320 && format != 322 && (format != 42 || type == LWM2M_OPAQUE);
}

static void test_FMT_01_any_value_passes_through_any_two_formats(void **state) {
    (void)state;
    static struct lwm2m_node nodes[NODES];
    struct lwm2m_path instance = path_of("/3/0");
    for (unsigned seed = 0; seed < 600; seed++) {
        struct list list = {.nodes = nodes, .count = 1};
        random_list(seed, &instance, nodes, NODES);
        for (size_t a = 0; a < FORMATS; a++) {
            for (size_t b = 0; b < FORMATS; b++)
                assert_true(pass(&list, &nodes[0].path, every_format[a], every_format[b], seed) ==
                            (tells_one(every_format[a], nodes[0].value.type) &&
                             tells_one(every_format[b], nodes[0].value.type)));
        }
    }
}

/* ---- which format where ---- */

static void test_numbers_and_names(void **state) {
    (void)state;
    static const struct {
        int number;
        const char *name;
    } names[] = {{0, "text"},
                 {40, "link"},
                 {42, "opaque"},
                 {60, "cbor"},
                 {110, "senml-json"},
                 {112, "senml-cbor"},
                 {11542, "tlv"},
                 {11543, "json"},
                 {11544, "lwm2m-cbor"},
                 {320, "senml-etch-json"},
                 {322, "senml-etch-cbor"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(lwm2m_format_of(names[i].number), names[i].number);
        assert_string_equal(lwm2m_format_name(lwm2m_format_of(names[i].number)), names[i].name);
        assert_int_equal(lwm2m_format_from_name(slice_str(names[i].name)), names[i].number);
    }
    assert_int_equal(lwm2m_format_of(50), LWM2M_FORMAT_NONE);
    assert_int_equal(lwm2m_format_of(-1), LWM2M_FORMAT_NONE);
    assert_string_equal(lwm2m_format_name(LWM2M_FORMAT_NONE), "none");
    assert_int_equal(lwm2m_format_from_name(slice_str("xml")), LWM2M_FORMAT_NONE);
    assert_int_equal(lwm2m_format_from_name(SLICE_NONE), LWM2M_FORMAT_NONE);
}

static void test_FMT_01_where_each_format_may_stand(void **state) {
    (void)state;
    static const struct {
        int format;
        const char *uses; /* as lwm2m_format_use has them, `x` for yes */
    } table[] = {{0, "xx-----x-"},     {60, "xx-----x-"},  {42, "xx-----x-"},  {11542, "xxx----xx"},
                 {11543, "xxx----xx"}, {110, "xxxxxxxxx"}, {112, "xxxxxxxxx"}, {11544, "xxx-xxxxx"},
                 {320, "---xx----"},   {322, "---xx----"}, {40, "---------"},  {-1, "---------"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int use = LWM2M_USE_RESOURCE; use <= LWM2M_USE_BOOTSTRAP; use++)
            assert_int_equal(lwm2m_format_allows((enum lwm2m_format)table[i].format, (enum lwm2m_format_use)use),
                             table[i].uses[use] == 'x');
    }
}

static void test_FMT_01_a_format_out_of_its_place_is_refused(void **state) {
    (void)state;
    static const struct {
        int format;
        enum senml_mode mode;
        const char *base, *text;
    } cases[] = {{0, SENML_CONTENT, "/3/0", "1"},
                 {42, SENML_CONTENT, "/3", "1"},
                 {60, SENML_CONTENT, "/", "\x01"},
                 {11542, SENML_CONTENT, "/", ""},
                 {11543, SENML_CONTENT, "/", "{\"e\":[]}"},
                 {320, SENML_CONTENT, "/", "[]"},
                 {40, SENML_CONTENT, "/3", "</3/0>"},
                 {11544, SENML_FETCH, "/", "\xa0"},
                 {11542, SENML_PATCH, "/", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lwm2m_decode_context decoding = {.base = path_of(cases[i].base), .mode = cases[i].mode};
        struct lwm2m_encode_context encoding = {.base = decoding.base, .mode = cases[i].mode};
        uint8_t bytes[64];
        struct buffer out = buffer_over(bytes, sizeof bytes);
        decode_with(&first, cases[i].format, slice_str(cases[i].text), &decoding);
        assert_false(first.good);
        assert_false(lwm2m_encode(cases[i].format, NULL, 0, &encoding, &out));
    }
}

static void test_unknown_format_is_refused_with_a_remark(void **state) {
    (void)state;
    static const int formats[] = {-1, 1, 41, 50, 272, 1540, 11541, 65535, 65536};
    struct lwm2m_encode_context context = {.base = path_of("/3/0/0")};
    struct lwm2m_node node = node_of("/3/0/0", lwm2m_string("x"));
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        uint8_t bytes[64];
        struct buffer out = buffer_over(bytes, sizeof bytes);
        decode(&first, formats[i], slice_str("x"), "/3/0/0");
        assert_false(first.good);
        assert_int_equal(first.nodes.count, 0);
        assert_false(lwm2m_encode(formats[i], &node, 1, &context, &out));
    }
}

static void test_DM_04_numbers_from_before_the_registered_ones(void **state) {
    (void)state;
    static const struct {
        int old, registered;
        const char *hex;
    } cases[] = {{1541, 0, "3432"},
                 {1542, 11542, "c1092a"},
                 {99, 11542, "c1092a"},
                 {1543, 11543, "7b2265223a5b7b2276223a34327d5d7d"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        accept(&first, cases[i].old, bytes_of(cases[i].hex), "/3/0/9");
        assert_node_is(&first.memory[0], "/3/0/9", lwm2m_integer(42));
        assert_non_null(first.nodes.remark);
        accept(&first, cases[i].registered, bytes_of(cases[i].hex), "/3/0/9");
        assert_null(first.nodes.remark);
    }
}

/* ---- types ---- */

static void test_empty_answers(void **state) {
    (void)state;
    accept(&first, 11542, SLICE_NONE, "/2");
    assert_node_is(&first.memory[0], "/2", (struct lwm2m_value){.type = LWM2M_NONE});
    accept(&first, 11542, SLICE_NONE, "/3/0");
    assert_node_is(&first.memory[0], "/3/0", (struct lwm2m_value){.type = LWM2M_NONE});
    accept(&first, 0, SLICE_NONE, "/3/0/0");
    assert_node_is(&first.memory[0], "/3/0/0", lwm2m_string(""));
}

static void test_values_without_definition_have_the_type_of_the_format(void **state) {
    (void)state;
    accept(&first, 11542, bytes_of("c1632a"), "/3/0");
    assert_node_is(&first.memory[0], "/3/0/99", lwm2m_bytes(LWM2M_RAW, bytes_of("2a")));
    accept(&first, 0, slice_str("42"), "/3/0/99");
    assert_node_is(&first.memory[0], "/3/0/99", lwm2m_string("42"));
    accept(&first, 42, slice_str("42"), "/3/0/99");
    assert_node_is(&first.memory[0], "/3/0/99", lwm2m_bytes(LWM2M_OPAQUE, slice_str("42")));
    accept(&first, 60, bytes_of("182a"), "/3/0/99");
    assert_node_is(&first.memory[0], "/3/0/99", lwm2m_integer(42));
    accept(&first, 110, slice_str("[{\"bn\":\"/3/0/99\",\"v\":42}]"), "/3/0/99");
    assert_node_is(&first.memory[0], "/3/0/99", lwm2m_integer(42));
    accept(&first, 11543, slice_str("{\"e\":[{\"sv\":\"Af8=\"}]}"), "/3/0/99");
    assert_node_is(&first.memory[0], "/3/0/99", lwm2m_string("Af8="));
}

static void test_no_definitions_at_all(void **state) {
    (void)state;
    struct lwm2m_decode_context context = {.base = path_of("/3/0/9")};
    decode_with(&first, 11542, bytes_of("c1092a"), &context);
    assert_true(first.good);
    assert_node_is(&first.memory[0], "/3/0/9", lwm2m_bytes(LWM2M_RAW, bytes_of("2a")));
}

static void test_TYP_01_values_of_the_wrong_type_are_refused(void **state) {
    (void)state;
    static const struct {
        int format;
        const char *base, *hex;
    } cases[] = {{0, "/3/0/9", "61"},
                 {42, "/3/0/9", "61"},
                 {60, "/3/0/9", "6161"},
                 {11542, "/3/0", "c30900002a"},
                 {110, "/3/0/9", "5b7b22626e223a222f332f302f39222c227673223a2234227d5d"},
                 {110, "/5/0/0", "5b7b22626e223a222f352f302f30222c227673223a22224166382222227d5d"},
                 {112, "/3/0/9", "81a221662f332f302f39036134"},
                 {11543, "/5/0/0", "7b2265223a5b7b227376223a222a227d5d7d"},
                 {11544, "/3/0/9",
                  "a18303000961"
                  "61"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        decode(&first, cases[i].format, bytes_of(cases[i].hex), cases[i].base);
        if (first.good)
            fail_msg("%d at %s", cases[i].format, cases[i].base);
    }
}

static void test_TYP_03_integral_floats_and_integers_stand_for_each_other(void **state) {
    (void)state;
    static const struct lwm2m_value three = {.type = LWM2M_FLOAT, .real = 3};
    accept(&first, 110, slice_str("[{\"bn\":\"/3/0/9\",\"v\":3.0}]"), "/3/0/9");
    assert_node_is(&first.memory[0], "/3/0/9", lwm2m_integer(3));
    accept(&first, 11543, slice_str("{\"e\":[{\"v\":30e-1}]}"), "/3/0/9");
    assert_node_is(&first.memory[0], "/3/0/9", lwm2m_integer(3));
    accept(&first, 60, bytes_of("fa40400000"), "/3/0/9");
    assert_node_is(&first.memory[0], "/3/0/9", lwm2m_integer(3));
    accept(&first, 110, slice_str("[{\"bn\":\"/3303/0/5700\",\"v\":3}]"), "/3303/0/5700");
    assert_node_is(&first.memory[0], "/3303/0/5700", three);
    accept(&first, 11544, bytes_of("a183190ce70019164403"), "/3303/0/5700");
    assert_node_is(&first.memory[0], "/3303/0/5700", three);
    decode(&first, 11543, slice_str("{\"e\":[{\"v\":3.5}]}"), "/3/0/9");
    assert_false(first.good);
}

static void test_TYP_02_integers_are_exact_in_JSON(void **state) {
    (void)state;
    accept(&first, 110, slice_str("[{\"bn\":\"/3442/0/125\",\"v\":18446744073709551615}]"), "/3442/0/125");
    assert_node_is(&first.memory[0], "/3442/0/125",
                   (struct lwm2m_value){.type = LWM2M_UNSIGNED, .natural = UINT64_MAX});
    decode(&first, 110, slice_str("[{\"bn\":\"/3442/0/120\",\"v\":9223372036854775808}]"), "/3442/0/120");
    assert_false(first.good);
    decode(&first, 110, slice_str("[{\"bn\":\"/3442/0/120\",\"v\":-9223372036854775809}]"), "/3442/0/120");
    assert_false(first.good);
    decode(&first, 11543, slice_str("{\"e\":[{\"v\":-1}]}"), "/3442/0/125");
    assert_false(first.good);
}

static void assert_time(int format, enum cbor_time time, const char *hex) {
    struct lwm2m_encode_context context = {.base = path_of("/3/0/13"), .time = time};
    struct lwm2m_node node = node_of("/3/0/13", lwm2m_time(1367491215));
    uint8_t bytes[64];
    struct buffer out = buffer_over(bytes, sizeof bytes);
    assert_true(lwm2m_encode(format, &node, 1, &context, &out));
    if (!slice_equal(buffer_slice(&out), bytes_of(hex)))
        fail_msg("not %s", hex);
}

static void test_TYP_06_TYP_07_times_are_tagged_or_not_as_the_peer_wants(void **state) {
    (void)state;
    assert_time(60, CBOR_TIME_PLAIN, "c11a5182428f");
    assert_time(60, CBOR_TIME_TAGGED, "c11a5182428f");
    assert_time(112, CBOR_TIME_PLAIN, "81a221672f332f302f3133021a5182428f");
    assert_time(112, CBOR_TIME_TAGGED, "81a221672f332f302f313302c11a5182428f");
    assert_time(11544, CBOR_TIME_PLAIN, "a18303000d1a5182428f");
    assert_time(11544, CBOR_TIME_TAGGED, "a18303000dc11a5182428f");
}

static void test_formats_for_one_value_take_one(void **state) {
    (void)state;
    struct lwm2m_encode_context context = {.base = path_of("/3/0/7")};
    struct lwm2m_node nodes[] = {node_of("/3/0/7/0", lwm2m_integer(1)), node_of("/3/0/7/1", lwm2m_integer(2))};
    struct lwm2m_node timed = node_of("/3/0/7", lwm2m_integer(1));
    static const int formats[] = {0, 42, 60};
    timed.has_time = true;
    timed.time_ms = now_ms;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        uint8_t bytes[64];
        struct buffer out = buffer_over(bytes, sizeof bytes);
        assert_false(lwm2m_encode(formats[i], nodes, 0, &context, &out));
        assert_false(lwm2m_encode(formats[i], nodes, 1, &context, &out));
        assert_false(lwm2m_encode(formats[i], nodes, 2, &context, &out));
        assert_false(lwm2m_encode(formats[i], &timed, 1, &context, &out));
    }
}

static void test_LCB_R08_keys_have_no_alternate_path(void **state) {
    (void)state;
    struct lwm2m_node node = node_of("/3/0/9", lwm2m_integer(95));
    struct lwm2m_encode_context with_root = {.base = path_of("/3/0"), .root = slice_str("/lwm2m")}, without = with_root;
    struct lwm2m_decode_context context = {.base = path_of("/3/0"), .root = slice_str("/lwm2m"), .now_ms = now_ms};
    uint8_t bytes[2][64];
    struct buffer a = buffer_over(bytes[0], sizeof bytes[0]), b = buffer_over(bytes[1], sizeof bytes[1]);
    without.root = SLICE_NONE;
    assert_true(lwm2m_encode(11544, &node, 1, &with_root, &a) && lwm2m_encode(11544, &node, 1, &without, &b));
    assert_true(slice_equal(buffer_slice(&a), buffer_slice(&b)));
    decode_with(&first, 11544, buffer_slice(&a), &context);
    assert_true(first.good);
    assert_node_is(&first.nodes.nodes[0], "/3/0/9", lwm2m_integer(95));
    decode_with(&first, 11544, bytes_of("a184656c776d326d030009185f"), &context); /* ["lwm2m",3,0,9] */
    assert_false(first.good);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_FMT_01_TYP_01_every_vector_is_taken_or_refused_as_wanted),
        cmocka_unit_test(test_FMT_01_every_vector_comes_back),
        cmocka_unit_test(test_FMT_03_a_hundred_thousand_values),
        cmocka_unit_test(test_FMT_03_every_truncation_of_every_vector),
        cmocka_unit_test(test_FMT_01_values_V_are_the_same_in_every_format),
        cmocka_unit_test(test_FMT_01_an_instance_is_the_same_in_every_format),
        cmocka_unit_test(test_FMT_01_any_list_passes_through_any_two_formats),
        cmocka_unit_test(test_FMT_01_any_history_passes_through_any_two_formats_that_have_times),
        cmocka_unit_test(test_FMT_01_any_value_passes_through_any_two_formats),
        cmocka_unit_test(test_numbers_and_names),
        cmocka_unit_test(test_FMT_01_where_each_format_may_stand),
        cmocka_unit_test(test_FMT_01_a_format_out_of_its_place_is_refused),
        cmocka_unit_test(test_unknown_format_is_refused_with_a_remark),
        cmocka_unit_test(test_DM_04_numbers_from_before_the_registered_ones),
        cmocka_unit_test(test_empty_answers),
        cmocka_unit_test(test_values_without_definition_have_the_type_of_the_format),
        cmocka_unit_test(test_no_definitions_at_all),
        cmocka_unit_test(test_TYP_01_values_of_the_wrong_type_are_refused),
        cmocka_unit_test(test_TYP_03_integral_floats_and_integers_stand_for_each_other),
        cmocka_unit_test(test_TYP_02_integers_are_exact_in_JSON),
        cmocka_unit_test(test_TYP_06_TYP_07_times_are_tagged_or_not_as_the_peer_wants),
        cmocka_unit_test(test_formats_for_one_value_take_one),
        cmocka_unit_test(test_LCB_R08_keys_have_no_alternate_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
