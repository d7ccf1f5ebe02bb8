#include "client/server_account.h"

#include <mbedtls/platform_util.h>
#include <stdarg.h>
#include <stdio.h>

#include "client/device.h"

/* ---- values ---- */

uint64_t server_account_number(const struct instance *instance, uint16_t resource, uint64_t otherwise) {
    const struct lwm2m_value *value = instance_value(instance, resource, 0);
    if (value != NULL && value->type == LWM2M_UNSIGNED)
        return value->natural;
    return value != NULL && value->type == LWM2M_INTEGER && value->integer >= 0 ? (uint64_t)value->integer : otherwise;
}

bool server_account_truth(const struct instance *instance, uint16_t resource, bool otherwise) {
    const struct lwm2m_value *value = instance_value(instance, resource, 0);
    return value != NULL && value->type == LWM2M_BOOLEAN ? value->truth : otherwise;
}

struct slice server_account_bytes(const struct instance *instance, uint16_t resource) {
    const struct lwm2m_value *value = instance_value(instance, resource, 0);
    bool has_bytes = value != NULL && (value->type == LWM2M_STRING || value->type == LWM2M_OPAQUE);
    return has_bytes ? value->bytes : SLICE_NONE;
}

static bool is_bootstrap(const struct instance *security) {
    return server_account_truth(security, SECURITY_IS_BOOTSTRAP, false);
}

const struct instance *server_account_oscore(const struct device *device, const struct instance *security) {
    const struct lwm2m_value *link = instance_value(security, SECURITY_OSCORE, 0);
    if (link == NULL || link->type != LWM2M_OBJLNK || link->link.object != ACCOUNT_OSCORE)
        return NULL;
    return object_instance(device_object(device, ACCOUNT_OSCORE), link->link.instance);
}

/* ---- finding ---- */

static const struct instance *security_of(const struct device *device, uint64_t short_id) {
    const struct object *object = device_object(device, ACCOUNT_SECURITY);
    for (size_t i = 0; i < object->instance_count; i++) {
        const struct instance *security = &object->instances[i];
        if (!is_bootstrap(security) && server_account_number(security, SECURITY_SHORT_ID, 0) == short_id)
            return security;
    }
    return NULL;
}

static uint64_t priority_of(const struct instance *server) {
    return server_account_number(server, SERVER_PRIORITY, UINT64_MAX);
}

/* Of the accounts behind `before` (NULL: all), the first one. */
static bool find_behind(const struct device *device, const struct instance *before, struct server_account *account) {
    const struct object *object = device_object(device, ACCOUNT_SERVER);
    account->server = NULL;
    for (size_t i = 0; i < object->instance_count; i++) {
        const struct instance *server = &object->instances[i];
        uint64_t priority = priority_of(server);
        bool is_behind = before == NULL || priority > priority_of(before) ||
                         (priority == priority_of(before) && server->id > before->id);
        const struct instance *security = security_of(device, server_account_number(server, SERVER_SHORT_ID, 0));
        if (is_behind && security != NULL && (account->server == NULL || priority < priority_of(account->server)))
            *account = (struct server_account){.security = security, .server = server};
    }
    return account->server != NULL;
}

bool server_account_first(const struct device *device, struct server_account *account) {
    return find_behind(device, NULL, account);
}

bool server_account_next(const struct device *device, uint16_t server, struct server_account *account) {
    const struct instance *before = object_instance(device_object(device, ACCOUNT_SERVER), server);
    return before != NULL && find_behind(device, before, account);
}

const struct instance *server_account_bootstrap(const struct device *device) {
    const struct object *object = device_object(device, ACCOUNT_SECURITY);
    for (size_t i = 0; i < object->instance_count; i++) {
        if (is_bootstrap(&object->instances[i]))
            return &object->instances[i];
    }
    return NULL;
}

static bool links_to(const struct instance *security, uint16_t resource, uint16_t object, uint16_t instance) {
    size_t count;
    const struct cell *cells = instance_cells(security, resource, &count);
    for (size_t i = 0; i < count; i++) {
        const struct lwm2m_value *value = &cells[i].value;
        if (value->type == LWM2M_OBJLNK && value->link.object == object && value->link.instance == instance)
            return true;
    }
    return false;
}

bool server_account_is_bootstraps(const struct device *device, uint16_t object, uint16_t instance) {
    const struct instance *security = server_account_bootstrap(device);
    if (security == NULL)
        return false;
    if (object == ACCOUNT_SECURITY)
        return instance == security->id;
    return links_to(security, SECURITY_OSCORE, object, instance) || links_to(security, SECURITY_COSE, object, instance);
}

/* ---- judging ---- */

static bool complain(char problem[SERVER_ACCOUNT_PROBLEM_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool complain(char problem[SERVER_ACCOUNT_PROBLEM_MAX], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem, SERVER_ACCOUNT_PROBLEM_MAX, format, arguments);
    va_end(arguments);
    return false;
}

/* The URI can be gone to, and the mode is one that its scheme has. */
static bool judge_reach(const struct device *device, const struct instance *security,
                        char problem[SERVER_ACCOUNT_PROBLEM_MAX]) {
    struct destination destination;
    struct security_params params;
    char error[128];
    const char *why;
    uint64_t mode = server_account_number(security, SECURITY_MODE, UINT64_MAX);
    if (!destination_set(&destination, server_account_bytes(security, SECURITY_URI), security->id, &why))
        return complain(problem, "0/%u/0: the URI %s", security->id, why);
    if (destination.transport->secure == (mode == MODE_NONE))
        return complain(problem, "0/%u/2: the mode and the scheme of the URI do not fit", security->id);
    if (!destination.transport->secure || security_is_given(security, device->options->server_text))
        return true;
    if (!security_read_account(&device->options->security, security, &destination, &params, error, sizeof error))
        return complain(problem, "0/%u: %s", security->id, error);
    bool good = security_params_good(&params, &why);
    security_free_params(&params);
    return good || complain(problem, "0/%u: %s", security->id, why);
}

static size_t count_with(const struct device *device, uint16_t object_id, uint16_t resource, uint64_t number) {
    const struct object *object = device_object(device, object_id);
    size_t count = 0;
    for (size_t i = 0; i < object->instance_count; i++) {
        const struct instance *instance = &object->instances[i];
        bool counts = object_id != ACCOUNT_SECURITY || !is_bootstrap(instance);
        count += counts && server_account_number(instance, resource, 0) == number;
    }
    return count;
}

static bool judge_oscore(const struct device *device, const struct instance *security,
                         char problem[SERVER_ACCOUNT_PROBLEM_MAX]) {
    const struct lwm2m_value *link = instance_value(security, SECURITY_OSCORE, 0);
    const struct object *object = device_object(device, ACCOUNT_SECURITY);
    size_t users = 0;
    if (link == NULL || link->type != LWM2M_OBJLNK || link->link.object == LWM2M_ID_NONE)
        return true;
    const struct instance *oscore = server_account_oscore(device, security);
    struct oscore_credential credential;
    if (oscore == NULL)
        return complain(problem, "0/%u/17 links to no instance of OSCORE", security->id);
    bool good = oscore_credential_take(&credential, oscore);
    mbedtls_platform_zeroize(&credential, sizeof credential);
    if (!good)
        return complain(problem, "21/%u: no context can be derived from it", oscore->id);
    for (size_t i = 0; i < object->instance_count; i++)
        users += links_to(&object->instances[i], SECURITY_OSCORE, ACCOUNT_OSCORE, link->link.instance);
    return users == 1 || complain(problem, "21/%u is used by two accounts", link->link.instance);
}

static bool judge_security(const struct device *device, const struct instance *security,
                           char problem[SERVER_ACCOUNT_PROBLEM_MAX]) {
    if (!is_bootstrap(security)) {
        uint64_t short_id = server_account_number(security, SECURITY_SHORT_ID, 0);
        if (short_id == 0 || short_id >= LWM2M_ID_NONE)
            return complain(problem, "0/%u/10: there is no Short Server ID", security->id);
        if (count_with(device, ACCOUNT_SECURITY, SECURITY_SHORT_ID, short_id) != 1)
            return complain(problem, "0/%u/10: another account has this Short Server ID", security->id);
        if (count_with(device, ACCOUNT_SERVER, SERVER_SHORT_ID, short_id) != 1)
            return complain(problem, "0/%u: not one instance of Server has its Short Server ID", security->id);
    }
    return judge_reach(device, security, problem) && judge_oscore(device, security, problem);
}

static bool judge_server(const struct device *device, const struct instance *server,
                         char problem[SERVER_ACCOUNT_PROBLEM_MAX]) {
    if (instance_value(server, SERVER_LIFETIME, 0) == NULL)
        return complain(problem, "1/%u/1: there is no lifetime", server->id);
    if (instance_value(server, SERVER_BINDING, 0) == NULL)
        return complain(problem, "1/%u/7: there is no binding", server->id);
    if (security_of(device, server_account_number(server, SERVER_SHORT_ID, 0)) == NULL)
        return complain(problem, "1/%u: no instance of Security has its Short Server ID", server->id);
    return true;
}

bool server_account_judge(const struct device *device, char problem[SERVER_ACCOUNT_PROBLEM_MAX]) {
    const struct object *security = device_object(device, ACCOUNT_SECURITY);
    const struct object *server = device_object(device, ACCOUNT_SERVER);
    size_t bootstraps = 0;
    for (size_t i = 0; i < security->instance_count; i++) {
        bootstraps += is_bootstrap(&security->instances[i]);
        if (bootstraps > 1)
            return complain(problem, "there are two accounts of a bootstrap server");
        if (!judge_security(device, &security->instances[i], problem))
            return false;
    }
    for (size_t i = 0; i < server->instance_count; i++) {
        if (!judge_server(device, &server->instances[i], problem))
            return false;
    }
    return server->instance_count > 0 || complain(problem, "there is no account of a server");
}
