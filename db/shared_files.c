#include "db/shared_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/postgresql_link.h"

#define FIRMWARE "firmware/"

enum {
    PART_BYTES = 256 * 1024,
    NAME_MAX_BYTES = 80,
    DIGEST_TEXT_LEN = 64,
    CONNECT_MS = 3000,
    ANSWER_MS = 10000,
    REASON_MAX = 160,
};

static const char *const certificates[] = {"ca.pem", "ca.key", "server.pem", "server.key"};

struct sharing {
    PGconn *connection;
    const char *directory;
    uint8_t *part; /* PART_BYTES */
    char reason[REASON_MAX];
};

/* ---- a connection ---- */

static bool open_sharing(struct sharing *s, const char *uri, const char *directory) {
    *s = (struct sharing){.directory = directory, .part = malloc(PART_BYTES)};
    if (s->part == NULL)
        snprintf(s->reason, sizeof s->reason, "out of memory");
    else
        s->connection = pg_connect(uri, pg_after_ms(CONNECT_MS), s->reason, sizeof s->reason);
    return s->connection != NULL;
}

static bool close_sharing(struct sharing *s, bool done, char *error, size_t error_size) {
    if (!done)
        snprintf(error, error_size, "files of the cluster: %s", s->reason);
    if (s->connection != NULL)
        libpq.finish(s->connection);
    free(s->part);
    return done;
}

static bool fail(struct sharing *s, const char *name, const char *why) {
    snprintf(s->reason, sizeof s->reason, "%.90s: %.60s", name, why);
    return false;
}

/* Its result, which the caller clears; NULL: it failed. */
static PGresult *ask(struct sharing *s, const char *sql, const struct value *values, size_t count) {
    PGresult *result =
        pg_send_query(s->connection, sql, values, count) ? pg_last_result(s->connection, pg_after_ms(ANSWER_MS)) : NULL;
    if (result != NULL && pg_is_good(result))
        return result;
    pg_copy_line(s->reason, sizeof s->reason, pg_words_of(s->connection, result));
    libpq.clear(result);
    return NULL;
}

static bool change(struct sharing *s, const char *sql, const struct value *values, size_t count) {
    PGresult *result = ask(s, sql, values, count);
    libpq.clear(result);
    return result != NULL;
}

/* ---- names ---- */

static bool is_certificate(const char *name) {
    for (size_t i = 0; i < sizeof certificates / sizeof certificates[0]; i++) {
        if (strcmp(name, certificates[i]) == 0)
            return true;
    }
    return false;
}

static bool is_digest(const char *name) {
    return strlen(name) == DIGEST_TEXT_LEN && strspn(name, "0123456789abcdef") == DIGEST_TEXT_LEN;
}

/* Nothing in the database makes us write anywhere else. */
static bool is_ours(const char *name) {
    return is_certificate(name) ||
           (strncmp(name, FIRMWARE, strlen(FIRMWARE)) == 0 && is_digest(name + strlen(FIRMWARE)));
}

static struct value name_value(const char *name) {
    return (struct value){.kind = VALUE_TEXT, .bytes = slice_str(name)};
}

static void put_path(char path[PATH_MAX], const char *directory, const char *name, const char *suffix) {
    snprintf(path, PATH_MAX, "%s/%s%s", directory, name, suffix);
}

/* -1: there is none. */
static int64_t size_of(const char *directory, const char *name) {
    char path[PATH_MAX];
    struct stat status;
    put_path(path, directory, name, "");
    return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? (int64_t)status.st_size : -1;
}

/* ---- from the database ---- */

static bool write_all(int fd, struct slice bytes) {
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.data, bytes.len);
        if (written < 0)
            return false;
        bytes = slice_from(bytes, (size_t)written);
    }
    return true;
}

static bool write_parts(struct sharing *s, const char *name, int64_t count, int fd) {
    for (int64_t part = 0; part < count; part++) {
        const struct value values[] = {name_value(name), pg_number(part)};
        PGresult *result = ask(s, "SELECT bytes FROM shared_file WHERE name = ? AND part = ?", values, 2);
        if (result == NULL)
            return false;
        bool written = libpq.ntuples(result) == 1 && write_all(fd, pg_value_in(result, 0, 0).bytes);
        libpq.clear(result);
        if (!written)
            return fail(s, name, "can't be written");
    }
    return fsync(fd) == 0 || fail(s, name, strerror(errno));
}

/* Under its name it is whole. */
static bool fetch_one(struct sharing *s, const char *name, int64_t parts) {
    char path[PATH_MAX], temporary[PATH_MAX];
    put_path(path, s->directory, FIRMWARE, "");
    if (!is_certificate(name) && mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail(s, path, strerror(errno));
    put_path(path, s->directory, name, "");
    put_path(temporary, s->directory, name, ".new");
    unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(s, temporary, strerror(errno));
    bool written = write_parts(s, name, parts, fd);
    close(fd);
    if (written && rename(temporary, path) == 0)
        return true;
    unlink(temporary);
    return written ? fail(s, path, strerror(errno)) : false;
}

static bool fetch_all(struct sharing *s) {
    PGresult *list = ask(
        s, "SELECT name, count(*), sum(length(bytes))::bigint FROM shared_file GROUP BY name ORDER BY name", NULL, 0);
    bool fetched = list != NULL;
    for (int row = 0; fetched && row < libpq.ntuples(list); row++) {
        char name[NAME_MAX_BYTES];
        struct slice text = pg_value_in(list, row, 0).bytes;
        snprintf(name, sizeof name, "%.*s", (int)text.len, (const char *)text.data);
        if (is_ours(name) && (is_certificate(name) || size_of(s->directory, name) != pg_value_in(list, row, 2).number))
            fetched = fetch_one(s, name, pg_value_in(list, row, 1).number);
    }
    libpq.clear(list);
    return fetched;
}

bool shared_files_fetch(const char *uri, const char *directory, char *error, size_t error_size) {
    struct sharing s;
    bool done = open_sharing(&s, uri, directory) && fetch_all(&s);
    return close_sharing(&s, done, error, error_size);
}

/* ---- to the database ---- */

static bool send_parts(struct sharing *s, const char *name, int fd) {
    int64_t part = 0;
    for (;;) {
        ssize_t got = read(fd, s->part, PART_BYTES);
        if (got < 0)
            return fail(s, name, strerror(errno));
        if (got == 0)
            return true;
        const struct value values[] = {
            name_value(name), pg_number(part++), {.kind = VALUE_BLOB, .bytes = slice_of(s->part, (size_t)got)}};
        if (!change(s, "INSERT INTO shared_file (name, part, bytes) VALUES (?, ?, ?)", values, 3))
            return false;
    }
}

static bool send_one(struct sharing *s, const char *name) {
    const struct value values[] = {name_value(name)};
    char path[PATH_MAX];
    put_path(path, s->directory, name, "");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(s, path, strerror(errno));
    bool sent = pg_execute(s->connection, "BEGIN; LOCK TABLE shared_file IN SHARE ROW EXCLUSIVE MODE",
                           pg_after_ms(ANSWER_MS), s->reason, sizeof s->reason) &&
                change(s, "DELETE FROM shared_file WHERE name = ?", values, 1) && send_parts(s, name, fd);
    close(fd);
    char ignored[REASON_MAX];
    if (sent)
        return pg_execute(s->connection, "COMMIT", pg_after_ms(ANSWER_MS), s->reason, sizeof s->reason);
    pg_execute(s->connection, "ROLLBACK", pg_after_ms(ANSWER_MS), ignored, sizeof ignored);
    return false;
}

static bool is_in_database(struct sharing *s, const char *name, bool *is_there) {
    const struct value values[] = {name_value(name)};
    PGresult *result = ask(s, "SELECT sum(length(bytes))::bigint FROM shared_file WHERE name = ?", values, 1);
    if (result == NULL)
        return false;
    struct value size = pg_value_in(result, 0, 0);
    *is_there = size.kind == VALUE_NUMBER && size.number == size_of(s->directory, name);
    libpq.clear(result);
    return true;
}

static bool send_firmware(struct sharing *s) {
    char path[PATH_MAX], name[NAME_MAX_BYTES];
    put_path(path, s->directory, FIRMWARE, "");
    DIR *directory = opendir(path);
    const struct dirent *entry;
    bool sent = true, is_there;
    while (sent && directory != NULL && (entry = readdir(directory)) != NULL) {
        if (!is_digest(entry->d_name))
            continue;
        snprintf(name, sizeof name, FIRMWARE "%.64s", entry->d_name);
        sent = is_in_database(s, name, &is_there) && (is_there || send_one(s, name));
    }
    if (directory != NULL)
        closedir(directory);
    return sent;
}

static bool delete_old_firmware(struct sharing *s) {
    PGresult *list = ask(s, "SELECT DISTINCT name FROM shared_file", NULL, 0);
    bool done = list != NULL;
    for (int row = 0; done && row < libpq.ntuples(list); row++) {
        char name[NAME_MAX_BYTES];
        struct slice text = pg_value_in(list, row, 0).bytes;
        snprintf(name, sizeof name, "%.*s", (int)text.len, (const char *)text.data);
        const struct value values[] = {name_value(name)};
        if (!is_certificate(name) && size_of(s->directory, name) < 0)
            done = change(s, "DELETE FROM shared_file WHERE name = ?", values, 1);
    }
    libpq.clear(list);
    return done;
}

static bool send_all(struct sharing *s) {
    for (size_t i = 0; i < sizeof certificates / sizeof certificates[0]; i++) {
        if (size_of(s->directory, certificates[i]) >= 0 && !send_one(s, certificates[i]))
            return false;
    }
    return send_firmware(s) && delete_old_firmware(s);
}

bool shared_files_send(const char *uri, const char *directory, char *error, size_t error_size) {
    struct sharing s;
    bool done = open_sharing(&s, uri, directory) && send_all(&s);
    return close_sharing(&s, done, error, error_size);
}

bool shared_files_put(const char *uri, const char *directory, const char *name, char *error, size_t error_size) {
    struct sharing s;
    bool done = open_sharing(&s, uri, directory) && send_one(&s, name);
    return close_sharing(&s, done, error, error_size);
}
