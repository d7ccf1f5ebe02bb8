/* What stands in for postgresql.c, cluster.c and shared_files.c in a build without libpq. */
#include <stdio.h>

#include "db/cluster.h"
#include "db/postgresql.h"
#include "db/shared_files.h"

bool postgresql_check_uri(const char *uri, char *problem, size_t problem_size) {
    (void)uri;
    snprintf(problem, problem_size, "can't be used: this berth-server was built without PostgreSQL (libpq)");
    return false;
}

struct backend *postgresql_open(const char *uri, enum store_durability durability, uint64_t holder, char *error,
                                size_t error_size) {
    (void)durability;
    (void)holder;
    char problem[120];
    postgresql_check_uri(uri, problem, sizeof problem);
    snprintf(error, error_size, "--database %s", problem);
    return NULL;
}

/* There is no cluster then, and nobody has one to ask. */
struct cluster *cluster_join(uv_loop_t *loop, const struct cluster_options *options, char *error, size_t error_size) {
    (void)loop;
    char problem[120];
    postgresql_check_uri(options->uri, problem, sizeof problem);
    snprintf(error, error_size, "--database %s", problem);
    return NULL;
}

bool cluster_peek_setting(const char *uri, const char *name, char *value, size_t value_size, char *error,
                          size_t error_size) {
    (void)name;
    (void)value;
    (void)value_size;
    postgresql_check_uri(uri, error, error_size);
    return false;
}

void cluster_watch(struct cluster *cluster, bool is_running) {
    (void)cluster;
    (void)is_running;
}

void cluster_stand_by(struct cluster *cluster) {
    (void)cluster;
}

uint64_t cluster_holder(struct cluster *cluster) {
    (void)cluster;
    return 0;
}

uint8_t cluster_number(struct cluster *cluster) {
    (void)cluster;
    return 0;
}

uint64_t cluster_silence_ms(struct cluster *cluster) {
    (void)cluster;
    return UINT64_MAX;
}

bool cluster_may_serve(const struct cluster *cluster) {
    (void)cluster;
    return true;
}

size_t cluster_list(struct cluster *cluster, struct cluster_node *nodes, size_t max) {
    (void)cluster;
    (void)nodes;
    (void)max;
    return 0;
}

bool cluster_serving(struct cluster *cluster, struct cluster_node *node) {
    (void)cluster;
    (void)node;
    return false;
}

void cluster_leave(struct cluster *cluster, bool is_clean) {
    (void)cluster;
    (void)is_clean;
}

static bool share_nothing(const char *uri, char *error, size_t error_size) {
    postgresql_check_uri(uri, error, error_size);
    return false;
}

bool shared_files_fetch(const char *uri, const char *directory, char *error, size_t error_size) {
    (void)directory;
    return share_nothing(uri, error, error_size);
}

bool shared_files_send(const char *uri, const char *directory, char *error, size_t error_size) {
    (void)directory;
    return share_nothing(uri, error, error_size);
}

bool shared_files_put(const char *uri, const char *directory, const char *name, char *error, size_t error_size) {
    (void)directory;
    (void)name;
    return share_nothing(uri, error, error_size);
}
