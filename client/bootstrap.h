/* The bootstrap interface from the device's side (Core 1.2 §6.1): a device with --bootstrap asks its bootstrap server, or
 * fetches a Bootstrap-Pack, takes what it is given (bootstrap_request.c), and registers with that. It is bootstrapped
 * when it has no account of a server, when a server answers Register with 4.03, when registering fails for as long as
 * 1/x/15 to 20 say (Core 1.2 §6.2.1.1), by 1/x/9, and after a factory reset. Whatever ends before a Finish that was good
 * changes no account. Between attempts it waits 1 s, then twice as long each time up to a minute, and up to half of that
 * more. */
#ifndef BERTH_CLIENT_BOOTSTRAP_H
#define BERTH_CLIENT_BOOTSTRAP_H

#include "client/server_account.h"
#include "common/base/timer_wheel.h"
#include "common/coap/endpoint.h"

struct device;
struct answer;

enum bootstrap_state {
    BOOTSTRAP_NONE,       /* nor is one wanted */
    BOOTSTRAP_WAITING,    /* for the next attempt, or until what is being done is done */
    BOOTSTRAP_REQUESTING, /* the answer is awaited; commands may come before it */
    BOOTSTRAP_UNDER_WAY,  /* commands are awaited */
    BOOTSTRAP_FINISHED,   /* going over to the server that was given */
};

struct bootstrap {
    struct device *device;
    enum bootstrap_state state;
    bool is_done;      /* there are accounts that a Finish was about */
    bool is_purged;    /* the account of the bootstrap server is gone (0/x/12) */
    bool is_refused;   /* the server has answered 4.03: there is no way back to it */
    bool asks_pack;    /* the request under way is for a Bootstrap-Pack */
    uint64_t purge_ms; /* when that account is to go; 0: never */
    struct coap_call *call;
    struct timer timer, purge;    /* what comes next; the end of that account */
    uint32_t failures;            /* since a registration was good: bootstraps, and refusals after one */
    uint64_t attempts, sequences; /* of registering (1/x/17, 1/x/20) */
    uint8_t *before;              /* what was kept before the bootstrap under way (kept.h); NULL: nothing has changed */
    size_t before_len;
    char problem[SERVER_ACCOUNT_PROBLEM_MAX]; /* of the last Finish */
};

void bootstrap_init(struct bootstrap *bootstrap, struct device *device);

/* Begin the device's life: as --state DIR says, with its server, else by a bootstrap. False: one line in `error`. */
bool bootstrap_start(struct bootstrap *bootstrap, char *error, size_t error_size);

/* Stop everything without a word. */
void bootstrap_end(struct bootstrap *bootstrap);

/* Bootstrap when what is being done is done. NULL, or why that can't be. */
const char *bootstrap_begin_soon(struct bootstrap *bootstrap);

/* The device has been made anew (factory reset): what was kept is gone, and bootstrap begins. */
void bootstrap_forget(struct bootstrap *bootstrap);

/* Requests that come now are the bootstrap server's. */
bool bootstrap_is_under_way(const struct bootstrap *bootstrap);

/* There is no server to register with: it is waited for one, or for another. */
bool bootstrap_is_busy(const struct bootstrap *bootstrap);

/* A Register was not answered well. True: the device does something else than to register with this server again, and
 * does it by itself. False: it is to register again, after *wait_ms if that is not 0, else when it sees fit. */
bool bootstrap_takes_over(struct bootstrap *bootstrap, const struct coap_reply *reply, uint64_t *wait_ms);

/* With --profile pelion: no session with a server could be had, or it has refused the device, and there is another
 * bootstrap after a while. False: there is no bootstrap server. */
bool bootstrap_refuse(struct bootstrap *bootstrap);

/* Likewise: the server has acknowledged the answer to its Finish, and when what is being done is done, give the bootstrap
 * up that is under way. */
void bootstrap_acknowledged(struct bootstrap *bootstrap);
void bootstrap_give_up_soon(struct bootstrap *bootstrap);

/* A Register was answered well. */
void bootstrap_has_registered(struct bootstrap *bootstrap);

/* The server has ended the connection or session. */
void bootstrap_lose_link(struct bootstrap *bootstrap);

/* ---- for bootstrap_request.c ---- */

/* Answer a request of the bootstrap server's. `path` is as in `/1/0`; whatever is no path is 4.04. */
void bootstrap_answer(struct device *device, const struct coap_request *request, struct slice path,
                      struct answer *answer);

/* Take the body of a Bootstrap-Pack. False: `answer` says why. */
bool bootstrap_take_pack(struct device *device, int format, struct slice body, struct answer *answer);

/* The bootstrap server has said something: it is given time for the next command. */
void bootstrap_touch(struct bootstrap *bootstrap);

/* It says that this was all. NULL, or what is inconsistent: the bootstrap goes on. */
const char *bootstrap_finish(struct bootstrap *bootstrap);

#endif
