#include "web/v1/scenarios.h"

#include <inttypes.h>
#include <stdlib.h>

#include "web/document.h"
#include "web/http.h"
#include "web/input.h"
#include "web/prefer.h"
#include "web/scenario/run.h"
#include "web/v1/v1.h"
#include "web/waiter.h"

/* A request that waits for the end of a scenario, for so long a real time: scenarios leap the other. */
struct scenario_poll {
    struct http_request *request;
    struct scenario_job *job;
    struct scenario_poll *next, **link; /* of the job */
    struct web *web;
    uv_timer_t timer;
    bool is_starter; /* the POST: the scenario is cancelled when its client goes */
};

/* Newest first. `run` is NULL once it is over, `report` NULL until then. */
struct scenario_job {
    struct web *web;
    struct scenario_job *next, **link; /* of web->scenarios; link is NULL when it is forgotten */
    uint64_t id, started_ms;
    struct run_target target;
    struct run *run;
    json_t *report;
    struct scenario_poll *polls;
};

static void free_job(struct scenario_job *job) {
    json_decref(job->report);
    free(job);
}

static void forget(struct scenario_job *job) {
    *job->link = job->next;
    if (job->next != NULL)
        job->next->link = job->link;
    job->link = NULL;
    job->web->scenario_count--;
}

static struct scenario_job *find(const struct call *call) {
    uint64_t id;
    struct scenario_job *job = call->web->scenarios;
    if (!slice_to_u64(call->args[0], INT64_MAX, &id))
        job = NULL;
    while (job != NULL && job->id != id)
        job = job->next;
    if (job == NULL)
        problem_send(call->request, PROBLEM_NOT_FOUND, "There is no scenario \"%.*s\"; the last %d are kept.",
                     (int)call->args[0].len, (const char *)call->args[0].data, SCENARIOS_KEPT_MAX);
    return job;
}

static json_t *report_of(const struct scenario_job *job) {
    json_t *report = job->report != NULL ? json_copy(job->report) : run_report(job->run);
    json_object_set_new(report, "id", json_integer((json_int_t)job->id));
    json_object_set_new(report, "started_at", document_time(job->started_ms));
    return report;
}

/* ---- requests that wait for the end ---- */

static void on_poll_closed(uv_handle_t *handle) {
    struct scenario_poll *poll = handle->data;
    struct web *web = poll->web;
    free(poll);
    web_release(web);
}

/* It waits no longer. Returns its request. */
static struct http_request *stop_poll(struct scenario_poll *poll) {
    struct http_request *request = poll->request;
    *poll->link = poll->next;
    if (poll->next != NULL)
        poll->next->link = poll->link;
    poll->web->waiting--;
    request->gone = NULL;
    uv_close((uv_handle_t *)&poll->timer, on_poll_closed);
    return request;
}

static void on_poll_gone(struct http_request *request) {
    struct scenario_poll *poll = request->arg;
    struct scenario_job *job = poll->job;
    bool is_starter = poll->is_starter;
    stop_poll(poll);
    if (is_starter && job->run != NULL)
        run_cancel(job->run);
}

static void on_poll_timeout(uv_timer_t *timer) {
    struct scenario_poll *poll = timer->data;
    json_t *report = report_of(poll->job);
    problem_send_with(stop_poll(poll), PROBLEM_TIMEOUT, report, NULL, "The scenario is not over yet.");
}

static void start_poll(const struct call *call, struct scenario_job *job, uint64_t timeout_ms, bool is_starter) {
    struct scenario_poll *poll = calloc(1, sizeof *poll);
    if (poll == NULL) {
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
        return;
    }
    *poll = (struct scenario_poll){.request = call->request,
                                   .job = job,
                                   .next = job->polls,
                                   .link = &job->polls,
                                   .web = call->web,
                                   .is_starter = is_starter};
    if (poll->next != NULL)
        poll->next->link = &poll->next;
    job->polls = poll;
    call->web->waiting++;
    web_hold(call->web);
    uv_timer_init(call->web->server->loop, &poll->timer);
    poll->timer.data = poll;
    if (!is_starter)
        uv_timer_start(&poll->timer, on_poll_timeout, timeout_ms, 0);
    call->request->arg = poll;
    call->request->gone = on_poll_gone;
}

/* ---- the end of a scenario ---- */

/* Of those that are over, the oldest goes when there are too many. */
static void forget_oldest(struct web *web) {
    struct scenario_job *oldest = NULL;
    if (web->scenario_count <= SCENARIOS_KEPT_MAX)
        return;
    for (struct scenario_job *job = web->scenarios; job != NULL; job = job->next)
        if (job->run == NULL)
            oldest = job;
    if (oldest == NULL)
        return;
    forget(oldest);
    free_job(oldest);
}

static void on_done(void *arg) {
    struct scenario_job *job = arg;
    job->report = run_report(job->run);
    while (job->polls != NULL)
        document_ok(stop_poll(job->polls), report_of(job));
    run_free(job->run);
}

/* Nothing of the run is left, and the target is not needed any more. */
static void on_closed(void *arg) {
    struct scenario_job *job = arg;
    struct web *web = job->web;
    job->run = NULL;
    if (job->link == NULL)
        free_job(job);
    else
        forget_oldest(web);
    web_release(web);
}

static const struct run_handlers handlers = {.done = on_done, .closed = on_closed};

void scenarios_end_all(struct web *web) {
    while (web->scenarios != NULL) {
        struct scenario_job *job = web->scenarios;
        while (job->polls != NULL)
            problem_send(stop_poll(job->polls), PROBLEM_NOT_READY, "The server is stopping.");
        forget(job);
        if (job->run == NULL)
            free_job(job);
        else if (job->report == NULL) /* else it is on its way */
            run_free(job->run);
    }
}

/* ---- handlers ---- */

static unsigned count_running(const struct web *web) {
    unsigned count = 0;
    for (const struct scenario_job *job = web->scenarios; job != NULL; job = job->next)
        count += job->run != NULL;
    return count;
}

static struct scenario_job *start(struct web *web, struct scenario *scenario) {
    struct scenario_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        scenario_free(scenario);
        return NULL;
    }
    *job = (struct scenario_job){.web = web,
                                 .next = web->scenarios,
                                 .link = &web->scenarios,
                                 .id = ++web->last_scenario,
                                 .started_ms = clock_now_ms(&web->server->clock),
                                 .target = {.loop = web->server->loop,
                                            .address = http_address(web->listeners[0].http),
                                            .api_key = web->server->config->api_key}};
    job->run = run_start(scenario, &job->target, &handlers, job);
    if (job->run == NULL) {
        free(job);
        return NULL;
    }
    if (job->next != NULL)
        job->next->link = &job->next;
    web->scenarios = job;
    web->scenario_count++;
    web_hold(web);
    return job;
}

static void answer_started(const struct call *call, const struct scenario_job *job) {
    char headers[160];
    snprintf(headers, sizeof headers, "Location: /v1/scenarios/%" PRIu64 "\r\nPreference-Applied: respond-async\r\n",
             job->id);
    document_send(call->request, 202, "application/json", headers, report_of(job));
}

void v1_scenarios_post(const struct call *call) {
    char problem[512];
    struct document_error error;
    struct prefer prefer = {0};
    if (!prefer_read(call->request, &prefer)) {
        problem_send(call->request, PROBLEM_BAD_REQUEST, "Prefer: expires is no duration that may be.");
        return;
    }
    json_t *body = document_read(call->request->body, problem, sizeof problem);
    if (body == NULL) {
        problem_send(call->request, PROBLEM_BAD_BODY, "%s", problem);
        return;
    }
    struct scenario *scenario = scenario_read(body, &(struct scenario_means){0}, &error);
    json_decref(body);
    if (scenario == NULL) {
        input_refuse(call, &error);
        return;
    }
    if (count_running(call->web) >= SCENARIOS_RUNNING_MAX) {
        scenario_free(scenario);
        problem_send(call->request, PROBLEM_OVERLOADED, "At most %d scenarios run at once.", SCENARIOS_RUNNING_MAX);
        return;
    }
    struct scenario_job *job = start(call->web, scenario);
    if (job == NULL)
        problem_send(call->request, PROBLEM_OVERLOADED, "The server is out of memory.");
    else if (prefer.respond_async)
        answer_started(call, job);
    else
        start_poll(call, job, 0, true);
}

void v1_scenarios_list(const struct call *call) {
    json_t *answer = json_object(), *items = json_array();
    for (const struct scenario_job *job = call->web->scenarios; job != NULL; job = job->next) {
        json_t *report = report_of(job);
        json_object_del(report, "steps");
        json_array_append_new(items, report);
    }
    json_object_set_new(answer, "items", items);
    document_ok(call->request, answer);
}

void v1_scenarios_get(const struct call *call) {
    struct scenario_job *job = find(call);
    uint64_t timeout_ms;
    if (job == NULL)
        return;
    if (!input_given(call, "timeout") || job->report != NULL)
        document_ok(call->request, report_of(job));
    else if (input_timeout(call, &timeout_ms))
        start_poll(call, job, timeout_ms, false);
}

void v1_scenarios_delete(const struct call *call) {
    struct scenario_job *job = find(call);
    if (job == NULL)
        return;
    if (job->report == NULL) {
        run_cancel(job->run);
    } else {
        forget(job);
        if (job->run == NULL)
            free_job(job);
    }
    http_respond(call->request, &(struct http_response){.status = 204});
}
