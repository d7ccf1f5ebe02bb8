#include "common/lwm2m/object_xml.h"

#include <expat.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/lwm2m/catalogue_data.h"

/* ---- the elements that count ---- */

enum element {
    ROOT,
    OBJECT,
    OBJECT_NAME,
    OBJECT_ID,
    OBJECT_URN,
    LWM2M_VERSION,
    OBJECT_VERSION,
    OBJECT_INSTANCES,
    OBJECT_MANDATORY,
    RESOURCES,
    ITEM,
    ITEM_NAME,
    ITEM_OPERATIONS,
    ITEM_INSTANCES,
    ITEM_MANDATORY,
    ITEM_TYPE,
    ITEM_RANGE,
    ITEM_UNITS,
    OTHER, /* with all that is in it */
};

static const struct {
    const char *name;
    enum element parent;
} elements[OTHER] = {
    [ROOT] = {"LWM2M", OTHER},
    [OBJECT] = {"Object", ROOT},
    [OBJECT_NAME] = {"Name", OBJECT},
    [OBJECT_ID] = {"ObjectID", OBJECT},
    [OBJECT_URN] = {"ObjectURN", OBJECT},
    [LWM2M_VERSION] = {"LWM2MVersion", OBJECT},
    [OBJECT_VERSION] = {"ObjectVersion", OBJECT},
    [OBJECT_INSTANCES] = {"MultipleInstances", OBJECT},
    [OBJECT_MANDATORY] = {"Mandatory", OBJECT},
    [RESOURCES] = {"Resources", OBJECT},
    [ITEM] = {"Item", RESOURCES},
    [ITEM_NAME] = {"Name", ITEM},
    [ITEM_OPERATIONS] = {"Operations", ITEM},
    [ITEM_INSTANCES] = {"MultipleInstances", ITEM},
    [ITEM_MANDATORY] = {"Mandatory", ITEM},
    [ITEM_TYPE] = {"Type", ITEM},
    [ITEM_RANGE] = {"RangeEnumeration", ITEM},
    [ITEM_UNITS] = {"Units", ITEM},
};

struct reader {
    XML_Parser parser;
    struct object_xml_error *error;
    bool failed;
    enum element path[OBJECT_XML_DEPTH_MAX];
    size_t depth;
    uint32_t seen; /* elements of the object or item under way, a bit each */

    /* The text of the element under way, its white space made one space. */
    size_t text_len, text_max;
    bool space; /* one is due before the next word */
    char text[OBJECT_XML_RANGE_MAX + 1];

    /* The object under way. */
    struct catalogue_definition object;
    struct catalogue_row *rows; /* CATALOGUE_RESOURCES_MAX */
    struct catalogue_row row;   /* the item under way */
    char *texts;
    size_t texts_len, texts_cap;
    uint8_t ids[(LWM2M_ID_MAX + 8) / 8]; /* of its resources, a bit each */

    struct catalogue_definition *first, **last;
    size_t count;
};

/* ---- failing ---- */

static void fail_at(struct reader *r, unsigned line, const char *format, va_list args) {
    if (r->failed)
        return;
    r->failed = true;
    r->error->line = line;
    vsnprintf(r->error->text, sizeof r->error->text, format, args);
    XML_StopParser(r->parser, XML_FALSE);
}

static bool __attribute__((format(printf, 2, 3))) fail(struct reader *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail_at(r, (unsigned)XML_GetCurrentLineNumber(r->parser), format, args);
    va_end(args);
    return false;
}

/* ---- texts ---- */

static bool put_char(struct reader *r, char c) {
    if (r->text_len == r->text_max)
        return fail(r, "<%s> is longer than %zu bytes", elements[r->path[r->depth - 1]].name, r->text_max);
    r->text[r->text_len++] = c;
    return true;
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int len) {
    struct reader *r = arg;
    if (r->failed || r->depth == 0 || r->text_max == 0)
        return;
    for (int i = 0; i < len; i++) {
        bool white = strchr(" \t\r\n", text[i]) != NULL;
        if (!white && r->space && r->text_len > 0 && !put_char(r, ' '))
            return;
        if (!white && !put_char(r, text[i]))
            return;
        r->space = white;
    }
}

/* Add the text to the object's; its offset. An empty text is at 0. */
static uint32_t keep_text(struct reader *r) {
    if (r->text_len == 0)
        return 0;
    size_t end = r->texts_len + r->text_len + 1;
    if (end > r->texts_cap) {
        size_t cap = 2 * end;
        char *grown = realloc(r->texts, cap);
        if (grown == NULL) {
            fail(r, "out of memory");
            return 0;
        }
        r->texts = grown;
        r->texts_cap = cap;
    }
    memcpy(r->texts + r->texts_len, r->text, r->text_len + 1);
    uint32_t at = (uint32_t)r->texts_len;
    r->texts_len = end;
    return at;
}

/* ---- values of elements ---- */

static bool read_id(struct reader *r, const char *text, const char *what, uint16_t *id) {
    uint64_t number;
    if (!slice_to_u64(slice_str(text), LWM2M_ID_MAX, &number))
        return fail(r, "%s is “%.40s”; it must be a number from 0 to %d", what, text, LWM2M_ID_MAX);
    *id = (uint16_t)number;
    return true;
}

static bool read_version(struct reader *r, uint16_t *version) {
    return catalogue_version_parse(slice_str(r->text), version) ||
           fail(r, "<%s> is “%.40s”; it must be like 1.0", elements[r->path[r->depth - 1]].name, r->text);
}

/* One of two words, in upper or lower case. */
static bool read_choice(struct reader *r, const char *set, const char *clear, uint8_t bit, uint8_t *flags) {
    if (strcasecmp(r->text, set) == 0)
        *flags |= bit;
    else if (strcasecmp(r->text, clear) != 0)
        return fail(r, "<%s> is “%.40s”; it must be %s or %s", elements[r->path[r->depth - 1]].name, r->text, set,
                    clear);
    return true;
}

static bool read_operations(struct reader *r) {
    static const struct {
        const char *text;
        uint8_t operations;
    } known[] = {{"", 0},
                 {"R", CATALOGUE_READ},
                 {"W", CATALOGUE_WRITE},
                 {"RW", CATALOGUE_READ | CATALOGUE_WRITE},
                 {"E", CATALOGUE_EXECUTE}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcasecmp(r->text, known[i].text) == 0) {
            r->row.flags |= known[i].operations;
            return true;
        }
    }
    return fail(r, "<Operations> is “%.40s”; it must be R, W, RW, E or empty", r->text);
}

static bool read_type(struct reader *r) {
    static const struct {
        const char *text;
        enum lwm2m_type type;
    } known[] = {{"", LWM2M_NONE},           {"String", LWM2M_STRING},
                 {"Integer", LWM2M_INTEGER}, {"Unsigned Integer", LWM2M_UNSIGNED},
                 {"Float", LWM2M_FLOAT},     {"Boolean", LWM2M_BOOLEAN},
                 {"Opaque", LWM2M_OPAQUE},   {"Time", LWM2M_TIME},
                 {"Objlnk", LWM2M_OBJLNK},   {"Corelnk", LWM2M_CORELNK}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcasecmp(r->text, known[i].text) == 0) {
            r->row.type = (uint8_t)known[i].type;
            return true;
        }
    }
    return fail(
        r,
        "<Type> is “%.40s”; it must be String, Integer, Unsigned Integer, Float, Boolean, Opaque, Time, Objlnk, "
        "Corelnk or empty",
        r->text);
}

static bool read_value(struct reader *r, enum element element) {
    uint16_t version;
    switch (element) {
    case OBJECT_NAME:
        r->object.name = keep_text(r);
        return r->text_len > 0 || fail(r, "<Name> is empty");
    case OBJECT_ID:
        r->object.line = (unsigned)XML_GetCurrentLineNumber(r->parser);
        return read_id(r, r->text, "<ObjectID>", &r->object.id);
    case OBJECT_URN:
        r->object.urn = keep_text(r);
        return true;
    case LWM2M_VERSION:
        if (r->text_len == 0)
            return true;
        if (!read_version(r, &version))
            return false;
        if (version >> 8 > 9 || (version & 255) > 9)
            return fail(r, "<LWM2MVersion> is “%.40s”; there is no such version", r->text);
        r->object.lwm2m = (uint8_t)((version >> 8) * 10 + (version & 255));
        return true;
    case OBJECT_VERSION:
        return r->text_len == 0 || read_version(r, &r->object.version);
    case OBJECT_INSTANCES:
        return read_choice(r, "Multiple", "Single", CATALOGUE_MULTIPLE, &r->object.flags);
    case OBJECT_MANDATORY:
        return read_choice(r, "Mandatory", "Optional", CATALOGUE_MANDATORY, &r->object.flags);
    case ITEM_NAME:
        r->row.name = keep_text(r);
        return r->text_len > 0 || fail(r, "<Name> is empty");
    case ITEM_OPERATIONS:
        return read_operations(r);
    case ITEM_INSTANCES:
        return read_choice(r, "Multiple", "Single", CATALOGUE_MULTIPLE, &r->row.flags);
    case ITEM_MANDATORY:
        return read_choice(r, "Mandatory", "Optional", CATALOGUE_MANDATORY, &r->row.flags);
    case ITEM_TYPE:
        return read_type(r);
    case ITEM_RANGE:
        r->row.range = keep_text(r);
        return true;
    case ITEM_UNITS:
        r->row.units = keep_text(r);
        return true;
    case ROOT:
    case OBJECT:
    case RESOURCES:
    case ITEM:
    case OTHER:
        break;
    }
    return true;
}

/* ---- objects and resources ---- */

static bool start_object(struct reader *r) {
    if (r->count == OBJECT_XML_OBJECTS_MAX)
        return fail(r, "there are more than %d objects", OBJECT_XML_OBJECTS_MAX);
    r->object = (struct catalogue_definition){.version = 1 << 8, .lwm2m = 10};
    r->texts_len = 1; /* the empty text */
    memset(r->ids, 0, sizeof r->ids);
    return true;
}

static bool start_item(struct reader *r, const XML_Char **attributes) {
    r->row = (struct catalogue_row){0};
    while (attributes[0] != NULL && strcmp(attributes[0], "ID") != 0)
        attributes += 2;
    if (attributes[0] == NULL)
        return fail(r, "<Item> has no ID");
    if (!read_id(r, attributes[1], "the ID of <Item>", &r->row.id))
        return false;
    uint8_t *byte = &r->ids[r->row.id / 8], bit = (uint8_t)(1u << r->row.id % 8);
    if ((*byte & bit) != 0)
        return fail(r, "resource %u is there twice", r->row.id);
    *byte |= bit;
    return r->object.row_count < CATALOGUE_RESOURCES_MAX ||
           fail(r, "there are more than %d resources", CATALOGUE_RESOURCES_MAX);
}

static bool require_element(struct reader *r, enum element element) {
    return (r->seen >> element & 1) != 0 ||
           fail(r, "<%s> has no <%s>", elements[elements[element].parent].name, elements[element].name);
}

static void end_item(struct reader *r) {
    if (!require_element(r, ITEM_NAME) || !require_element(r, ITEM_OPERATIONS))
        return;
    if ((r->row.flags & CATALOGUE_EXECUTE) != 0)
        r->row.type = LWM2M_NONE; /* some files say String, but there is no value */
    r->rows[r->object.row_count++] = r->row;
}

static int compare_rows(const void *left, const void *right) {
    const struct catalogue_row *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static void end_object(struct reader *r) {
    if (!require_element(r, OBJECT_NAME) || !require_element(r, OBJECT_ID) || !require_element(r, RESOURCES))
        return;
    for (const struct catalogue_definition *d = r->first; d != NULL; d = d->next) {
        if (d->id == r->object.id && d->version == r->object.version) {
            fail(r, "object %u is there twice in the same version", d->id);
            return;
        }
    }
    size_t rows_bytes = r->object.row_count * sizeof r->rows[0];
    r->object.bytes = sizeof r->object + rows_bytes + r->texts_len;
    struct catalogue_definition *made = malloc(r->object.bytes);
    if (made == NULL) {
        fail(r, "out of memory");
        return;
    }
    struct catalogue_row *rows = (struct catalogue_row *)(void *)(made + 1);
    char *texts = (char *)rows + rows_bytes;
    memcpy(rows, r->rows, rows_bytes);
    qsort(rows, r->object.row_count, sizeof rows[0], compare_rows);
    memcpy(texts, r->texts, r->texts_len);
    *made = r->object;
    made->rows = rows;
    made->texts = texts;
    *r->last = made;
    r->last = &made->next;
    r->count++;
}

/* ---- the document ---- */

static enum element find_element(enum element parent, const char *name) {
    const char *colon = strchr(name, ':');
    for (enum element e = ROOT; e < OTHER; e++) {
        if (elements[e].parent == parent && strcmp(elements[e].name, colon == NULL ? name : colon + 1) == 0)
            return e;
    }
    return OTHER;
}

/* The elements that can be in an <Object> or an <Item>, each once. */
static uint32_t bits_between(enum element first, enum element last) {
    return (2u << last) - (1u << first);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes) {
    struct reader *r = arg;
    if (r->failed)
        return;
    if (r->depth == OBJECT_XML_DEPTH_MAX) {
        fail(r, "elements are nested more than %d deep", OBJECT_XML_DEPTH_MAX);
        return;
    }
    enum element parent = r->depth == 0 ? OTHER : r->path[r->depth - 1];
    enum element element = r->depth > 0 && parent == OTHER ? OTHER : find_element(parent, name);
    if (r->depth == 0 && element != ROOT) {
        fail(r, "the document is <%.60s>, not <LWM2M>", name);
        return;
    }
    r->path[r->depth++] = element;
    r->text_len = 0;
    r->space = false;
    r->text_max = element == ITEM_RANGE ? OBJECT_XML_RANGE_MAX : OBJECT_XML_NAME_MAX;
    if (element <= OBJECT || element == RESOURCES || element == ITEM || element == OTHER)
        r->text_max = 0;
    if (element == OBJECT)
        r->seen &= ~bits_between(OBJECT_NAME, ITEM_UNITS);
    else if (element == ITEM)
        r->seen &= ~bits_between(ITEM_NAME, ITEM_UNITS);
    else if (element != OTHER && (r->seen >> element & 1) != 0)
        fail(r, "<%s> is there twice", elements[element].name);
    if (element != OTHER)
        r->seen |= 1u << element;
    if (element == OBJECT)
        start_object(r);
    else if (element == ITEM)
        start_item(r, attributes);
}

static void XMLCALL on_end(void *arg, const XML_Char *name) {
    struct reader *r = arg;
    (void)name;
    if (r->failed)
        return;
    enum element element = r->path[r->depth - 1];
    r->text[r->text_len] = '\0';
    if (element == OBJECT)
        end_object(r);
    else if (element == ITEM)
        end_item(r);
    else if (element != OTHER)
        read_value(r, element);
    r->depth--;
    r->text_max = 0; /* text between elements is none of theirs */
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id, const XML_Char *public_id,
                               int has_internal_subset) {
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    fail(arg, "a document type declaration (DOCTYPE) is not taken");
}

static void free_list(struct catalogue_definition *definition) {
    while (definition != NULL) {
        struct catalogue_definition *next = definition->next;
        free(definition);
        definition = next;
    }
}

static void run(struct reader *r, struct slice xml) {
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
    if (XML_Parse(r->parser, (const char *)xml.data, (int)xml.len, XML_TRUE) != XML_STATUS_OK && !r->failed)
        fail(r, "no well-formed XML: %s", XML_ErrorString(XML_GetErrorCode(r->parser)));
    if (!r->failed && r->first == NULL)
        fail(r, "there is no <Object>");
}

struct catalogue_definition *object_xml_parse(struct slice xml, struct object_xml_error *error) {
    *error = (struct object_xml_error){0};
    if (xml.len > OBJECT_XML_MAX) {
        snprintf(error->text, sizeof error->text, "the document is longer than %d bytes", OBJECT_XML_MAX);
        return NULL;
    }
    struct reader *r = calloc(1, sizeof *r);
    XML_Parser parser = XML_ParserCreate(NULL);
    struct catalogue_row *rows = malloc(CATALOGUE_RESOURCES_MAX * sizeof *rows);
    char *texts = calloc(1, 256);
    if (r == NULL || parser == NULL || rows == NULL || texts == NULL) {
        snprintf(error->text, sizeof error->text, "out of memory");
        free(r);
        free(rows);
        free(texts);
        if (parser != NULL)
            XML_ParserFree(parser);
        return NULL;
    }
    r->parser = parser;
    r->error = error;
    r->rows = rows;
    r->texts = texts;
    r->texts_cap = 256;
    r->last = &r->first;
    run(r, xml);
    struct catalogue_definition *first = r->first;
    if (r->failed) {
        free_list(first);
        first = NULL;
    }
    XML_ParserFree(parser);
    free(r->rows);
    free(r->texts);
    free(r);
    return first;
}

void object_xml_free(struct catalogue_definition *definition) {
    free(definition);
}

uint16_t object_xml_id(const struct catalogue_definition *definition) {
    return definition->id;
}

uint16_t object_xml_version(const struct catalogue_definition *definition) {
    return definition->version;
}

unsigned object_xml_line(const struct catalogue_definition *definition) {
    return definition->line;
}

struct catalogue_definition *object_xml_next(const struct catalogue_definition *definition) {
    return definition->next;
}
