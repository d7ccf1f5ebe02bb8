/* What stands in for postgresql.c in a build without libpq. */
#include <stdio.h>

#include "db/postgresql.h"

bool postgresql_check_uri(const char *uri, char *problem, size_t problem_size) {
    (void)uri;
    snprintf(problem, problem_size, "can't be used: this berth-server was built without PostgreSQL (libpq)");
    return false;
}

struct backend *postgresql_open(const char *uri, enum store_durability durability, char *error, size_t error_size) {
    (void)durability;
    char problem[120];
    postgresql_check_uri(uri, problem, sizeof problem);
    snprintf(error, error_size, "--database %s", problem);
    return NULL;
}
