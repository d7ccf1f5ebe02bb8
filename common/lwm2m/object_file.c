#include "common/lwm2m/object_file.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/lwm2m/object_xml.h"

/* ---- one file ---- */

/* free() it; NULL with errno. A file that is too long is cut one byte after the longest that is taken. */
static uint8_t *read_file(const char *path, size_t *len) {
    FILE *file = fopen(path, "re");
    uint8_t *bytes = file == NULL ? NULL : malloc(OBJECT_XML_MAX + 1);
    if (bytes != NULL) {
        *len = fread(bytes, 1, OBJECT_XML_MAX + 1, file);
        if (ferror(file)) {
            int why = errno;
            free(bytes);
            bytes = NULL;
            errno = why;
        }
    }
    if (file != NULL) {
        int why = errno;
        fclose(file);
        errno = why;
    }
    return bytes;
}

static bool put_all(struct catalogue *catalogue, struct catalogue_definition *definition, const char *path, char *error,
                    size_t error_size) {
    bool fine = true;
    for (struct catalogue_definition *next; definition != NULL; definition = next) {
        char version[CATALOGUE_VERSION_TEXT_MAX];
        uint16_t id = object_xml_id(definition);
        next = object_xml_next(definition);
        if (fine && catalogue_has(catalogue, id, object_xml_version(definition), CATALOGUE_FILE)) {
            snprintf(error, error_size, "%s: line %u: object %u %s is defined in another file, too", path,
                     object_xml_line(definition), id, catalogue_version_text(object_xml_version(definition), version));
            fine = false;
        } else if (fine && !catalogue_reserve(catalogue, definition)) {
            snprintf(error, error_size, "%s: there are more definitions than %d, or they take more than %d MiB", path,
                     CATALOGUE_DEFINITIONS_MAX, CATALOGUE_BYTES_MAX >> 20);
            fine = false;
        }
        if (fine)
            catalogue_put(catalogue, definition, CATALOGUE_FILE);
        else
            object_xml_free(definition);
    }
    return fine;
}

bool object_file_load(struct catalogue *catalogue, const char *path, char *error, size_t error_size) {
    struct object_xml_error wrong;
    size_t len = 0;
    uint8_t *bytes = read_file(path, &len);
    if (bytes == NULL) {
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return false;
    }
    struct catalogue_definition *definitions = object_xml_parse(slice_of(bytes, len), &wrong);
    free(bytes);
    if (definitions != NULL)
        return put_all(catalogue, definitions, path, error, error_size);
    if (wrong.line == 0)
        snprintf(error, error_size, "%s: %s", path, wrong.text);
    else
        snprintf(error, error_size, "%s: line %u: %s", path, wrong.line, wrong.text);
    return false;
}

/* ---- a directory ---- */

static int is_xml(const struct dirent *entry) {
    size_t len = strlen(entry->d_name);
    return len > 4 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 4, ".xml") == 0;
}

/* As bytes, whatever the locale. */
static int compare_names(const struct dirent **left, const struct dirent **right) {
    return strcmp((*left)->d_name, (*right)->d_name);
}

bool object_file_load_directory(struct catalogue *catalogue, const char *directory, char *error, size_t error_size) {
    struct dirent **entries;
    int count = scandir(directory, &entries, is_xml, compare_names);
    if (count < 0) {
        snprintf(error, error_size, "%s: %s", directory, strerror(errno));
        return false;
    }
    bool loaded = true;
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        int len = snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        if (loaded && (len < 0 || (size_t)len >= sizeof path)) {
            snprintf(error, error_size, "%.100s…: the path is too long", directory);
            loaded = false;
        }
        loaded = loaded && object_file_load(catalogue, path, error, error_size);
        free(entries[i]);
    }
    free(entries);
    return loaded;
}
