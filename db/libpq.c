#include "db/libpq.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

struct libpq libpq;

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
#define LIBPQ_FUNCTION(name) {"PQ" #name, offsetof(struct libpq, name)},
    LIBPQ_FUNCTIONS(LIBPQ_FUNCTION)
#undef LIBPQ_FUNCTION
};

bool libpq_load(char *problem, size_t problem_size) {
    static void *library;
    if (library != NULL)
        return true;
    library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        snprintf(problem, problem_size, "can't be used: the library libpq.so.5 (package libpq5) can't be loaded");
        return false;
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *function = dlsym(library, functions[i].name);
        if (function == NULL) { /* pipelines came with PostgreSQL 14 */
            snprintf(problem, problem_size, "can't be used: the library libpq.so.5 is too old, it has no %s",
                     functions[i].name);
            dlclose(library);
            library = NULL;
            return false;
        }
        memcpy((char *)&libpq + functions[i].offset, &function, sizeof function);
    }
    return true;
}
