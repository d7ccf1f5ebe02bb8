/* What a registration costs in memory and time: a million devices with four object links each are added, found by name
 * and by location, replaced and removed. Prints one JSON line. The argument is another number of devices. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/directory.h"

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t allocated_bytes(void) {
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void release_link(struct link *link) {
    free(link);
}

static const struct link_ops link_ops = {.send = NULL, .release = release_link};

static struct link *new_link(void) {
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        abort();
    link->ops = &link_ops;
    link->refs = 1;
    return link;
}

static struct slice endpoint_of(uint32_t number, char text[32]) {
    return slice_of(text, (size_t)snprintf(text, 32, "urn:dev:ops:%012u", number));
}

static struct registration *add(struct directory *directory, uint32_t number, uint64_t id) {
    char name[32];
    struct registration_content content = {.endpoint = endpoint_of(number, name),
                                           .links = slice_str("</1/0>,</3/0>,</4/0>,</5/0>"),
                                           .lifetime_s = 86400,
                                           .version = LWM2M_1_1,
                                           .binding = BINDING_U};
    struct link *link = new_link();
    struct registration *r = directory_add(directory, id, &content, link);
    link_unref(link);
    if (r == NULL)
        abort();
    return r;
}

static void removed(void *arg, struct registration *registration) {
    (void)registration;
    ++*(size_t *)arg;
}

int main(int argc, char **argv) {
    uint32_t devices = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
    struct directory *directory = directory_new();
    uint32_t *order = malloc(devices * sizeof *order); /* devices in random order */
    if (order == NULL || devices == 0)
        return 1;
    srandom(1);
    for (uint32_t i = 0; i < devices; i++) {
        uint32_t other = (uint32_t)random() % (i + 1);
        order[i] = order[other];
        order[other] = i;
    }
    size_t before = allocated_bytes(), replaced = 0;
    double worst_bytes = 0;
    uint64_t worst_ns = 0, start = now_ns(), last = start;
    for (uint32_t i = 0; i < devices; i++) {
        directory_commit(directory, add(directory, i, i + 1), removed, &replaced);
        if (i >= devices / 2 && i % 1024 == 0) {
            double bytes = (double)(allocated_bytes() - before) / (i + 1);
            worst_bytes = bytes > worst_bytes ? bytes : worst_bytes;
            last = now_ns();
            continue;
        }
        uint64_t now = now_ns();
        worst_ns = now - last > worst_ns ? now - last : worst_ns;
        last = now;
    }
    double add_ns = (double)(now_ns() - start) / devices;
    double bytes = (double)(allocated_bytes() - before) / devices;

    char name[32];
    size_t found = 0;
    start = now_ns();
    for (uint32_t i = 0; i < devices; i++)
        found += directory_find(directory, endpoint_of(order[i], name)) != NULL;
    double find_ns = (double)(now_ns() - start) / devices;
    start = now_ns();
    for (uint32_t i = 0; i < devices; i++) {
        struct registration *r = directory_at(directory, order[i]);
        found += directory_find_location(directory, registration_location(r)) == r;
    }
    double find_location_ns = (double)(now_ns() - start) / devices;
    start = now_ns();
    for (uint32_t i = 0; i < devices; i++)
        directory_commit(directory, add(directory, order[i], devices + i + 1), removed, &replaced);
    double replace_ns = (double)(now_ns() - start) / devices;
    start = now_ns();
    for (uint32_t i = 0; i < devices; i++)
        directory_remove(directory, directory_find(directory, endpoint_of(order[i], name)));
    double remove_ns = (double)(now_ns() - start) / devices;

    if (found != 2 * (size_t)devices || replaced != devices || directory_count(directory) != 0) {
        fprintf(stderr, "bench directory: wrong results\n");
        return 1;
    }
    printf("{\"bench\":\"directory\",\"devices\":%u,\"bytes\":%.0f,\"bytes_worst\":%.0f,\"add_ns\":%.0f,\"add_worst_"
           "us\":%.0f,"
           "\"find_ns\":%.0f,\"find_location_ns\":%.0f,\"replace_ns\":%.0f,\"remove_ns\":%.0f}\n",
           devices, bytes, worst_bytes, add_ns, (double)worst_ns / 1e3, find_ns, find_location_ns, replace_ns,
           remove_ns);
    directory_free(directory);
    free(order);
    return 0;
}
