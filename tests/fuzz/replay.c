/* Stands in for libFuzzer where a compiler has none: gives the target every input that the arguments name, of a directory
 * all that is in it. So kept inputs run under gcov and valgrind, and with allocations that fail. */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { INPUT_MAX = 1 << 20 }; /* libFuzzer's own bound */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long inputs;

/* The target's memory is no longer than the input, so that a sanitizer sees who reads behind it. */
static bool give_file(const char *path, size_t size) {
    FILE *file = fopen(path, "rb");
    uint8_t *input = malloc(size == 0 ? 1 : size);
    bool is_read = file != NULL && input != NULL && fread(input, 1, size, file) == size;
    if (is_read) {
        LLVMFuzzerTestOneInput(input, size);
        inputs++;
    }
    free(input);
    if (file != NULL)
        fclose(file);
    return is_read;
}

static bool give(const char *path) {
    struct stat what;
    if (stat(path, &what) != 0)
        return false;
    if (!S_ISDIR(what.st_mode))
        return what.st_size <= INPUT_MAX && give_file(path, (size_t)what.st_size);
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    bool all = count >= 0;
    for (int i = 0; i < count; i++) {
        char inner[4096];
        int len = snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            all = len < (int)sizeof inner && give(inner) && all;
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return all;
}

int main(int argc, char **argv) {
    bool all = true;
    for (int i = 1; i < argc; i++) {
        if (!give(argv[i])) {
            fprintf(stderr, "%s: %s\n", argv[i], errno == 0 ? "cannot be given" : strerror(errno));
            all = false;
        }
    }
    printf("%ld inputs\n", inputs);
    return all ? EXIT_SUCCESS : EXIT_FAILURE;
}
