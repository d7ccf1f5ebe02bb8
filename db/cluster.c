#include "db/cluster.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/random.h"
#include "db/postgresql_link.h"

#define NS_IN_MS       UINT64_C(1000000)
#define LOCK_OF_TURNS  "4784356023437623298" /* advisory, as PG_LOCK_OF_WRITER; one at a time joins or takes over */
#define IS_DEAD(which) "(" which ".deposed OR " which ".alive_at < clock_timestamp() - interval '6 seconds')"

/* Told to all nodes when the turn has changed or become free, so that nobody waits for the next round. */
#define CHANNEL "berth_turn"

_Static_assert(CLUSTER_DEAD_MS == 6000, "as IS_DEAD says it");
_Static_assert(CLUSTER_LEASE_MS < CLUSTER_DEAD_MS, "whoever is held for dead has stopped serving");

enum {
    BEAT_MS = 1000,
    ANSWER_MS = 3000,  /* the database is silent when one takes longer */
    CONNECT_MS = 3000, /* likewise */
    JOIN_MS = 8000,    /* to wait at the start for a number that may become free */
    PAUSE_MS = 250,
    PATIENCE_MS = 2500, /* more than two rounds */
    REASON_MAX = 160,
};

struct cluster {
    uv_async_t async;
    uv_thread_t thread;
    uv_mutex_t lock;
    int hurry; /* eventfd: the thread's next round is due now */
    struct cluster_options options;

    /* The thread's. */
    PGconn *connection; /* NULL while there is none */
    uint64_t
        patient_until_ns; /* when it had to be made anew, the others have to, too: nobody is held for dead so soon */
    char problem[REASON_MAX];
    unsigned silent_rounds; /* since the loop's last sign of life */

    /* Under the lock. */
    bool is_ending;
    bool may_take; /* false from the end of a turn until cluster_stand_by */
    bool serves;
    int64_t holder; /* as in the table */
    int number;     /* -1: none now */
    uint64_t silence_ms;
    size_t count;
    struct cluster_node nodes[CLUSTER_NODES_MAX];

    _Atomic uint64_t may_serve_until_ns; /* uv_hrtime */
    _Atomic bool is_watched, has_turned; /* the loop: whether it runs, and its sign of life */
    bool told;                           /* the loop's: as `turn` was called last */
};

/* ---- asking ---- */

struct asking {
    PGconn *connection;
    char *reason; /* "" as long as nothing has failed */
};

static bool ask(const struct asking *a, const char *sql, const struct value *values, size_t count, int64_t *number) {
    return pg_ask_number(a->connection, sql, values, count, pg_after_ms(ANSWER_MS), number, a->reason, REASON_MAX);
}

static bool run(const struct asking *a, const char *sql) {
    return pg_execute(a->connection, sql, pg_after_ms(ANSWER_MS), a->reason, REASON_MAX);
}

static struct value text_value(const char *text) {
    return (struct value){.kind = VALUE_TEXT, .bytes = slice_str(text)};
}

/* ---- whose turn it is ---- */

enum turn { TURN_FAILED, TURN_OF_ANOTHER, TURN_OURS };

/* Whether the holder of the turn can have it no more. It is a node that has said nothing for long: then it is marked, and
 * what it says from now on counts for nothing. Or it is no node, and its connection is gone with it. */
static enum turn judge(const struct asking *a, int64_t holder, uint64_t *silence_ms) {
    const struct value of_holder = pg_number(holder), lock = pg_number(PG_LOCK_OF_WRITER);
    int64_t age_ms, count = 0, is_free = 0, ended;
    if (ask(a,
            "UPDATE node SET deposed = true WHERE holder = ? AND " IS_DEAD(
                "node") " RETURNING (extract(epoch FROM clock_timestamp() - alive_at) * 1000)::bigint",
            &of_holder, 1, &age_ms)) {
        *silence_ms = age_ms > CLUSTER_LEASE_MS ? (uint64_t)age_ms - CLUSTER_LEASE_MS : 0;
        return ask(a,
                   "SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l WHERE l.locktype = 'advisory' AND"
                   " l.objsubid = 1 AND l.classid::bigint << 32 | l.objid::bigint = ? AND l.database ="
                   " (SELECT oid FROM pg_database WHERE datname = current_database())",
                   &lock, 1, &ended)
                   ? TURN_OURS
                   : TURN_FAILED;
    }
    if (a->reason[0] != '\0' || !ask(a, "SELECT count(*) FROM node WHERE holder = ?", &of_holder, 1, &count))
        return TURN_FAILED;
    if (count > 0)
        return TURN_OF_ANOTHER;
    if (!ask(a, "SELECT pg_try_advisory_xact_lock(?)::int::bigint", &lock, 1, &is_free))
        return TURN_FAILED;
    *silence_ms = 0;
    return is_free == 1 ? TURN_OURS : TURN_OF_ANOTHER;
}

/* Within a transaction that has the lock of turns. */
static enum turn take_turn(const struct asking *a, int64_t own, uint64_t *silence_ms) {
    const struct value values[] = {pg_number(own)};
    int64_t holder = 0, connection;
    *silence_ms = UINT64_MAX;
    if (!ask(a, "SELECT holder FROM writer", NULL, 0, &holder) && a->reason[0] != '\0')
        return TURN_FAILED;
    enum turn turn = holder == 0 ? TURN_OURS : judge(a, holder, silence_ms);
    if (turn != TURN_OURS)
        return turn;
    /* Waits for a batch that the other one has begun. */
    return ask(a,
               "INSERT INTO writer (only_one, holder, connection) VALUES (true, ?, 1) ON CONFLICT (only_one)"
               " DO UPDATE SET holder = excluded.holder, connection = writer.connection + 1 RETURNING connection",
               values, 1, &connection)
               ? TURN_OURS
               : TURN_FAILED;
}

static bool begin(const struct asking *a) {
    return run(a, "BEGIN; SET LOCAL lock_timeout = '2500ms'; SELECT pg_advisory_xact_lock(" LOCK_OF_TURNS ")");
}

static void undo(const struct asking *a) {
    char ignored[REASON_MAX];
    pg_execute(a->connection, "ROLLBACK", pg_after_ms(ANSWER_MS), ignored, sizeof ignored);
}

/* ---- numbers ---- */

/* Not that of the one that has served last, dead as it may be: its turn must be taken first. False also when none is
 * free. */
static bool take_number(const struct asking *a, const struct cluster *cluster, int64_t own, int64_t *number) {
    int wanted = cluster->options.number;
    const struct value values[] = {pg_number(own),
                                   text_value(cluster->options.api),
                                   text_value(cluster->options.version),
                                   text_value(cluster->options.relay),
                                   pg_number(wanted == CLUSTER_ANY_NUMBER ? 0 : wanted),
                                   pg_number(wanted == CLUSTER_ANY_NUMBER ? CLUSTER_NODES_MAX - 1 : wanted)};
    return ask(
        a,
        "INSERT INTO node (number, holder, api, version, relay) SELECT c, ?::bigint, ?::text, ?::text, ?::text"
        " FROM generate_series(?::bigint, ?::bigint) AS c WHERE NOT EXISTS (SELECT 1 FROM node AS n WHERE"
        " n.number = c AND (NOT " IS_DEAD(
            "n") " OR n.holder = (SELECT holder FROM writer))) ORDER BY c LIMIT 1"
                 " ON CONFLICT (number) DO UPDATE SET holder = excluded.holder, api = excluded.api, version ="
                 " excluded.version, relay = excluded.relay, started_at = excluded.started_at, alive_at = excluded.alive_at, deposed = false"
                 " RETURNING number",
        values, 6, number);
}

struct joined {
    int64_t number;
    bool serves;
    uint64_t silence_ms;
};

/* In one transaction: the number, and with it the turn of the one that had it and died. */
static bool join(const struct asking *a, const struct cluster *cluster, int64_t own, struct joined *joined) {
    *joined = (struct joined){.number = -1};
    if (!begin(a))
        return false;
    bool has_number = take_number(a, cluster, own, &joined->number);
    if (!has_number && a->reason[0] == '\0' && cluster->may_take &&
        take_turn(a, own, &joined->silence_ms) == TURN_OURS) {
        joined->serves = true;
        has_number = take_number(a, cluster, own, &joined->number);
    }
    if (has_number && run(a, "COMMIT"))
        return true;
    undo(a);
    joined->number = -1;
    return a->reason[0] == '\0';
}

/* ---- the thread ---- */

static void note(struct cluster *cluster, const char *problem) {
    if (problem[0] != '\0' && strcmp(problem, cluster->problem) != 0)
        log_write(LOG_WARN, "cluster", "%s", problem);
    snprintf(cluster->problem, sizeof cluster->problem, "%s", problem);
}

static void drop_connection(struct cluster *cluster) {
    libpq.finish(cluster->connection);
    cluster->connection = NULL;
}

static void connect_again(struct cluster *cluster, char reason[REASON_MAX]) {
    cluster->connection = pg_connect(cluster->options.uri, pg_after_ms(CONNECT_MS), reason, REASON_MAX);
    cluster->patient_until_ns = pg_after_ms(PATIENCE_MS);
    const struct asking a = {cluster->connection, reason};
    if (cluster->connection != NULL && !run(&a, "LISTEN " CHANNEL))
        drop_connection(cluster);
}

/* From `since_ns` on, which was before the database said so. */
static void begin_turn(struct cluster *cluster, uint64_t since_ns, uint64_t silence_ms) {
    uv_mutex_lock(&cluster->lock);
    cluster->serves = true;
    cluster->silence_ms = silence_ms;
    uv_mutex_unlock(&cluster->lock);
    atomic_store(&cluster->may_serve_until_ns, since_ns + CLUSTER_LEASE_MS * NS_IN_MS);
    uv_async_send(&cluster->async);
}

/* The number is given up, too: under another name nothing is taken for what this one has left behind. */
static void end_turn(struct cluster *cluster) {
    atomic_store(&cluster->may_serve_until_ns, 0);
    uv_mutex_lock(&cluster->lock);
    bool served = cluster->serves;
    cluster->serves = false;
    cluster->may_take = cluster->may_take && !served;
    cluster->number = -1;
    uv_mutex_unlock(&cluster->lock);
    if (served)
        uv_async_send(&cluster->async);
}

static void rejoin(struct cluster *cluster, const struct asking *a) {
    const struct value old = pg_number(cluster->holder);
    int64_t number, own = (int64_t)(random_u64() | 1);
    struct joined joined;
    uint64_t since_ns = uv_hrtime();
    ask(a, "DELETE FROM node WHERE holder = ? RETURNING number", &old, 1, &number);
    if (a->reason[0] != '\0' || !join(a, cluster, own, &joined) || joined.number < 0)
        return;
    uv_mutex_lock(&cluster->lock);
    cluster->holder = own;
    cluster->number = (int)joined.number;
    uv_mutex_unlock(&cluster->lock);
    log_write(LOG_INFO, "cluster", "this is node %d now", (int)joined.number);
    if (joined.serves)
        begin_turn(cluster, since_ns, joined.silence_ms);
}

/* "I am alive": false when the number is another's, or the turn. */
static void beat(struct cluster *cluster, const struct asking *a) {
    const struct value values[] = {pg_number(cluster->number), pg_number(cluster->holder)};
    int64_t holder = 0;
    uint64_t since_ns = uv_hrtime();
    bool is_there = ask(a,
                        "UPDATE node SET alive_at = clock_timestamp() WHERE number = ? AND holder = ? AND NOT deposed"
                        " RETURNING COALESCE((SELECT holder FROM writer), 0)",
                        values, 2, &holder);
    if (a->reason[0] != '\0')
        return;
    if (!is_there || (cluster->serves && holder != cluster->holder)) {
        end_turn(cluster);
    } else if (cluster->serves) {
        atomic_store(&cluster->may_serve_until_ns, since_ns + CLUSTER_LEASE_MS * NS_IN_MS);
    } else if (holder == cluster->holder) { /* the commit was not heard of */
        begin_turn(cluster, since_ns, 0);
    }
}

static void try_turn(struct cluster *cluster, const struct asking *a) {
    uint64_t since_ns = uv_hrtime(), silence_ms;
    if (!begin(a))
        return;
    if (take_turn(a, cluster->holder, &silence_ms) == TURN_OURS && run(a, "NOTIFY " CHANNEL "; COMMIT"))
        begin_turn(cluster, since_ns, silence_ms);
    else
        undo(a);
}

static void copy_text(char *to, size_t size, struct value text) {
    snprintf(to, size, "%.*s", (int)text.bytes.len, (const char *)text.bytes.data);
}

static void read_node(const PGresult *result, int row, int64_t own, int64_t serving, struct cluster_node *node) {
    int64_t holder = pg_value_in(result, row, 1).number;
    bool is_gone = pg_value_in(result, row, 2).number != 0;
    *node = (struct cluster_node){.number = (uint8_t)pg_value_in(result, row, 0).number,
                                  .is_self = holder == own,
                                  .state = is_gone             ? CLUSTER_GONE
                                           : holder == serving ? CLUSTER_SERVES
                                                               : CLUSTER_STANDS_BY,
                                  .started_ms = (uint64_t)pg_value_in(result, row, 4).number,
                                  .alive_ms = (uint64_t)pg_value_in(result, row, 5).number};
    copy_text(node->api, sizeof node->api, pg_value_in(result, row, 6));
    copy_text(node->version, sizeof node->version, pg_value_in(result, row, 7));
    copy_text(node->relay, sizeof node->relay, pg_value_in(result, row, 8));
}

static void read_nodes(struct cluster *cluster, const struct asking *a) {
    static const char sql[] =
        "SELECT number, holder, " IS_DEAD("node") "::int::bigint, COALESCE((SELECT holder FROM writer), 0),"
                                                  " (extract(epoch FROM started_at) * 1000)::bigint,"
                                                  " (extract(epoch FROM alive_at) * 1000)::bigint, api, version, relay"
                                                  " FROM node ORDER BY number";
    PGresult *result =
        pg_send_query(a->connection, sql, NULL, 0) ? pg_last_result(a->connection, pg_after_ms(ANSWER_MS)) : NULL;
    if (result == NULL || !pg_is_good(result)) {
        pg_copy_line(a->reason, REASON_MAX, pg_words_of(a->connection, result));
        libpq.clear(result);
        return;
    }
    uv_mutex_lock(&cluster->lock);
    int count = libpq.ntuples(result);
    cluster->count = (size_t)(count < CLUSTER_NODES_MAX ? count : CLUSTER_NODES_MAX);
    for (size_t i = 0; i < cluster->count; i++)
        read_node(result, (int)i, cluster->holder, pg_value_in(result, (int)i, 3).number, &cluster->nodes[i]);
    uv_mutex_unlock(&cluster->lock);
    libpq.clear(result);
}

/* Counted in rounds, not by a clock: whoever stopped the whole process has stopped these, too. */
static bool loop_hangs(struct cluster *cluster) {
    bool has_turned = atomic_exchange(&cluster->has_turned, false);
    if (has_turned || !atomic_load(&cluster->is_watched))
        cluster->silent_rounds = 0;
    else
        cluster->silent_rounds++;
    uv_async_send(&cluster->async);
    return cluster->silent_rounds > CLUSTER_HANGS_MS / BEAT_MS;
}

/* What is under the lock is changed by this thread, but for `is_ending` and `may_take`. */
static void do_round(struct cluster *cluster) {
    char reason[REASON_MAX] = "";
    if (loop_hangs(cluster)) {
        note(cluster, "the server hangs: this node does not say any more that it is alive");
        return;
    }
    if (cluster->connection == NULL)
        connect_again(cluster, reason);
    const struct asking a = {cluster->connection, reason};
    if (cluster->connection == NULL) {
        note(cluster, reason);
        return;
    }
    if (cluster->number < 0)
        rejoin(cluster, &a);
    else
        beat(cluster, &a);
    uv_mutex_lock(&cluster->lock);
    bool may_take = cluster->may_take && !cluster->serves && cluster->number >= 0;
    uv_mutex_unlock(&cluster->lock);
    if (reason[0] == '\0' && may_take && pg_ms_until(cluster->patient_until_ns) == 0)
        try_turn(cluster, &a);
    if (reason[0] == '\0')
        read_nodes(cluster, &a);
    note(cluster, reason);
    if (reason[0] != '\0')
        drop_connection(cluster); /* whatever it was, a new one knows nothing of it */
}

static bool hears_of_turn(PGconn *connection) {
    bool hears = false;
    PGnotify *told;
    while ((told = libpq.notifies(connection)) != NULL) {
        hears = true;
        libpq.freemem(told);
    }
    return hears;
}

/* Until then, or the loop is in a hurry, or the database says something about the turn or goes away. */
static void rest(struct cluster *cluster, uint64_t until_ns) {
    PGconn *connection = cluster->connection;
    struct pollfd fds[] = {{.fd = cluster->hurry, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    eventfd_t times;
    while (connection == NULL || !hears_of_turn(connection)) {
        fds[1].fd = connection == NULL ? -1 : libpq.socket(connection);
        int count = poll(fds, 2, pg_ms_until(until_ns));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0 || fds[0].revents != 0 || libpq.consumeInput(connection) == 0)
            break;
    }
    eventfd_read(cluster->hurry, &times);
}

static bool is_ending(struct cluster *cluster) {
    uv_mutex_lock(&cluster->lock);
    bool ending = cluster->is_ending;
    uv_mutex_unlock(&cluster->lock);
    return ending;
}

static void work(void *arg) {
    struct cluster *cluster = arg;
    while (!is_ending(cluster)) {
        uint64_t next_ns = pg_after_ms(BEAT_MS);
        do_round(cluster);
        rest(cluster, pg_ms_until(next_ns) < PAUSE_MS ? pg_after_ms(PAUSE_MS) : next_ns);
    }
}

/* ---- the loop's ---- */

static void on_async(uv_async_t *async) {
    struct cluster *cluster = async->data;
    atomic_store(&cluster->has_turned, true);
    uv_mutex_lock(&cluster->lock);
    bool serves = cluster->serves;
    uv_mutex_unlock(&cluster->lock);
    if (serves == cluster->told)
        return;
    cluster->told = serves;
    cluster->options.turn(cluster->options.arg, serves);
}

static bool join_first(struct cluster *cluster, char *error, size_t error_size) {
    char reason[REASON_MAX] = "";
    uint64_t until_ns = pg_after_ms(JOIN_MS), since_ns;
    struct joined joined = {.number = -1};
    cluster->connection = pg_connect(cluster->options.uri, pg_after_ms(CONNECT_MS), reason, sizeof reason);
    const struct asking a = {cluster->connection, reason};
    if (cluster->connection != NULL && libpq.serverVersion(cluster->connection) < 130000)
        snprintf(reason, sizeof reason, "PostgreSQL 13 or newer is needed");
    if (cluster->connection != NULL && reason[0] == '\0')
        pg_apply_schema(cluster->connection, reason, sizeof reason);
    if (cluster->connection != NULL && reason[0] == '\0')
        run(&a, "LISTEN " CHANNEL);
    while (reason[0] == '\0' && joined.number < 0) {
        since_ns = uv_hrtime();
        if (!join(&a, cluster, cluster->holder, &joined))
            break;
        if (joined.number >= 0) {
            cluster->number = (int)joined.number;
            if (joined.serves)
                begin_turn(cluster, since_ns, joined.silence_ms);
            read_nodes(cluster, &a);
            return true;
        }
        if (pg_ms_until(until_ns) == 0)
            snprintf(reason, sizeof reason,
                     cluster->options.number == CLUSTER_ANY_NUMBER ? "all 256 numbers of nodes are in use"
                                                                   : "another node has this number; give another one");
        pg_pause_ms(PAUSE_MS);
    }
    snprintf(error, error_size, "--node: %s", reason);
    return false;
}

/* Nobody has begun with this database when there is no table. */
static bool peek(const struct asking *a, const char *name, char *value, size_t value_size) {
    const struct value values[] = {text_value(name)};
    int64_t is_there = 0;
    value[0] = '\0';
    if (!ask(a, "SELECT (to_regclass('setting') IS NOT NULL)::int::bigint", NULL, 0, &is_there))
        return false;
    if (is_there == 0)
        return true;
    PGresult *result = pg_send_query(a->connection, "SELECT value FROM setting WHERE name = ?", values, 1)
                           ? pg_last_result(a->connection, pg_after_ms(ANSWER_MS))
                           : NULL;
    bool done = result != NULL && pg_is_good(result);
    if (!done)
        pg_copy_line(a->reason, REASON_MAX, pg_words_of(a->connection, result));
    if (done && libpq.ntuples(result) > 0)
        copy_text(value, value_size, pg_value_in(result, 0, 0));
    libpq.clear(result);
    return done;
}

bool cluster_peek_setting(const char *uri, const char *name, char *value, size_t value_size, char *error,
                          size_t error_size) {
    char reason[REASON_MAX] = "";
    if (!libpq_load(reason, sizeof reason)) {
        snprintf(error, error_size, "--database %s", reason);
        return false;
    }
    const struct asking a = {pg_connect(uri, pg_after_ms(CONNECT_MS), reason, sizeof reason), reason};
    bool done = a.connection != NULL && peek(&a, name, value, value_size);
    if (!done)
        snprintf(error, error_size, "--database: %s", reason);
    if (a.connection != NULL)
        libpq.finish(a.connection);
    return done;
}

static void on_close(uv_handle_t *handle) {
    struct cluster *cluster = handle->data;
    close(cluster->hurry);
    uv_mutex_destroy(&cluster->lock);
    free(cluster);
}

static void end(struct cluster *cluster) {
    if (cluster->connection != NULL)
        drop_connection(cluster);
    uv_close((uv_handle_t *)&cluster->async, on_close);
}

struct cluster *cluster_join(uv_loop_t *loop, const struct cluster_options *options, char *error, size_t error_size) {
    char problem[REASON_MAX];
    if (!libpq_load(problem, sizeof problem)) {
        snprintf(error, error_size, "--database %s", problem);
        return NULL;
    }
    struct cluster *cluster = calloc(1, sizeof *cluster);
    int hurry = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (cluster == NULL || hurry < 0 || uv_async_init(loop, &cluster->async, on_async) != 0) {
        if (hurry >= 0)
            close(hurry);
        free(cluster);
        snprintf(error, error_size, "out of memory, or of descriptors");
        return NULL;
    }
    cluster->hurry = hurry;
    cluster->async.data = cluster;
    uv_unref((uv_handle_t *)&cluster->async);
    cluster->options = *options;
    cluster->holder = (int64_t)(random_u64() | 1);
    cluster->number = -1;
    cluster->may_take = true;
    uv_mutex_init(&cluster->lock);
    if (!join_first(cluster, error, error_size)) {
        end(cluster);
        return NULL;
    }
    if (uv_thread_create(&cluster->thread, work, cluster) == 0)
        return cluster;
    snprintf(error, error_size, "--node: a thread can't be started");
    end(cluster);
    return NULL;
}

void cluster_watch(struct cluster *cluster, bool is_running) {
    atomic_store(&cluster->is_watched, is_running);
}

void cluster_stand_by(struct cluster *cluster) {
    uv_mutex_lock(&cluster->lock);
    cluster->may_take = true;
    uv_mutex_unlock(&cluster->lock);
    eventfd_write(cluster->hurry, 1);
}

uint64_t cluster_holder(struct cluster *cluster) {
    uv_mutex_lock(&cluster->lock);
    int64_t holder = cluster->holder;
    uv_mutex_unlock(&cluster->lock);
    return (uint64_t)holder;
}

uint8_t cluster_number(struct cluster *cluster) {
    uv_mutex_lock(&cluster->lock);
    int number = cluster->number;
    uv_mutex_unlock(&cluster->lock);
    return (uint8_t)number;
}

uint64_t cluster_silence_ms(struct cluster *cluster) {
    uv_mutex_lock(&cluster->lock);
    uint64_t silence_ms = cluster->silence_ms;
    uv_mutex_unlock(&cluster->lock);
    return silence_ms;
}

bool cluster_may_serve(const struct cluster *cluster) {
    return cluster == NULL || uv_hrtime() < atomic_load(&cluster->may_serve_until_ns);
}

size_t cluster_list(struct cluster *cluster, struct cluster_node *nodes, size_t max) {
    uv_mutex_lock(&cluster->lock);
    size_t count = cluster->count < max ? cluster->count : max;
    memcpy(nodes, cluster->nodes, count * sizeof *nodes);
    uv_mutex_unlock(&cluster->lock);
    return count;
}

bool cluster_serving(struct cluster *cluster, struct cluster_node *node) {
    bool is_found = false;
    uv_mutex_lock(&cluster->lock);
    for (size_t i = 0; !is_found && i < cluster->count; i++) {
        is_found = cluster->nodes[i].state == CLUSTER_SERVES;
        if (is_found)
            *node = cluster->nodes[i];
    }
    uv_mutex_unlock(&cluster->lock);
    return is_found;
}

void cluster_leave(struct cluster *cluster, bool is_clean) {
    char reason[REASON_MAX] = "";
    const struct value own = pg_number(cluster->holder);
    int64_t number;
    uv_mutex_lock(&cluster->lock);
    cluster->is_ending = true;
    uv_mutex_unlock(&cluster->lock);
    eventfd_write(cluster->hurry, 1);
    uv_thread_join(&cluster->thread);
    const struct asking a = {cluster->connection, reason};
    if (cluster->connection != NULL) {
        if (is_clean)
            ask(&a, "UPDATE writer SET holder = 0 WHERE holder = ? RETURNING connection", &own, 1, &number);
        if (reason[0] == '\0')
            ask(&a, "DELETE FROM node WHERE holder = ? RETURNING number", &own, 1, &number);
        if (reason[0] == '\0')
            run(&a, "NOTIFY " CHANNEL);
    }
    end(cluster);
}
