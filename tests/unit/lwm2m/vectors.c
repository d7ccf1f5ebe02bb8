#include "tests/unit/lwm2m/vectors.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/text.h"

static enum lwm2m_type type_of(const struct lwm2m_path *path) {
    static const struct {
        uint16_t resource;
        enum lwm2m_type type;
    } types[] = {{110, LWM2M_STRING}, {120, LWM2M_INTEGER}, {125, LWM2M_UNSIGNED},
                 {130, LWM2M_FLOAT},  {140, LWM2M_BOOLEAN}, {150, LWM2M_OPAQUE},
                 {160, LWM2M_TIME},   {170, LWM2M_OBJLNK},  {180, LWM2M_CORELNK}};
    for (size_t i = 0; path->len > 2 && path->ids[0] == 3442 && i < sizeof types / sizeof types[0]; i++) {
        if (types[i].resource == path->ids[2])
            return types[i].type;
    }
    return LWM2M_RAW;
}

static void read_vector(const json_t *entry, struct vector *vector) {
    struct slice hex = slice_str(json_string_value(json_object_get(entry, "hex")));
    const char *want = json_string_value(json_object_get(entry, "want"));
    const char *path = json_string_value(json_object_get(entry, "path"));
    uint8_t *bytes = malloc(hex.len / 2 + 1);
    assert_non_null(bytes);
    struct buffer out = buffer_over(bytes, hex.len / 2);
    assert_true(text_get_hex(hex, &out));
    snprintf(vector->id, sizeof vector->id, "%s", json_string_value(json_object_get(entry, "id")));
    assert_true(lwm2m_path_parse(slice_str(path == NULL ? "/" : path), &vector->path, NULL));
    vector->type = type_of(&vector->path);
    vector->bytes = buffer_slice(&out);
    vector->accept = want == NULL || strncmp(want, "accept", strlen("accept")) == 0;
}

size_t vectors_load(const char *prefix, int cf, struct vector **vectors) {
    json_t *all = json_load_file("tests/data/vectors.json", JSON_DECODE_INT_AS_REAL, NULL), *entry;
    size_t i, count = 0;
    assert_non_null(all);
    *vectors = calloc(json_array_size(all), sizeof **vectors);
    assert_non_null(*vectors);
    json_array_foreach(all, i, entry) {
        if (strncmp(json_string_value(json_object_get(entry, "id")), prefix, strlen(prefix)) == 0 &&
            json_number_value(json_object_get(entry, "cf")) == cf)
            read_vector(entry, &(*vectors)[count++]);
    }
    json_decref(all);
    assert_true(count > 0);
    return count;
}

void vectors_free(struct vector *vectors, size_t count) {
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)vectors[i].bytes.data);
    free(vectors);
}
