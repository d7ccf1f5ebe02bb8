/* The OpenAPI 3.1 document, made from the table of routes and the schemas below. */
#include <stdio.h>
#include <string.h>

#include "server/event.h"
#include "web/document.h"
#include "web/probes.h"
#include "web/web.h"

/* JSON, in which ' stands for ". EventType is made from the types there are. */
static const char schemas[] =
    "{"
    "'Any':{'type':'object'},"
    "'Status':{'type':'object','required':['status'],'properties':{'status':{'const':'ok'}}},"
    "'Time':{'type':'string','format':'date-time','description':'RFC 3339, UTC, with milliseconds.'},"
    "'Duration':{'type':'string','pattern':'^[0-9]{1,12}([.][0-9]{1,3})?(ms|s|m|h|d)?$','examples':['30s','500ms'],"
    "  'description':'A number and a unit; seconds when there is none.'},"
    "'DurationOrSeconds':{'oneOf':[{'$ref':'#/components/schemas/Duration'},{'type':'number','minimum':0}]},"
    "'Problem':{'type':'object','description':'RFC 9457','required':['type','title','status','detail'],'properties':{"
    "  'type':{'type':'string','format':'uri'},'title':{'type':'string'},'status':{'type':'integer'},"
    "  'detail':{'type':'string'}}},"
    "'Object':{'type':'object','required':['path','attributes','version'],'properties':{"
    "  'path':{'type':'string','examples':['/3/0']},"
    "  'version':{'type':['string','null'],'description':'Announced, or implied by the version of LwM2M.'},"
    "  'attributes':{'type':'object','additionalProperties':{'type':['string','boolean']}}}},"
    "'Device':{'type':'object',"
    "  'required':['endpoint','id','state','address','transport','security','registered_at','updated_at','expires_at',"
    "    'lifetime_s','version','binding','queue_mode','awake','objects',"
    "    'content_formats','location','root_path','sms','parameters'],"
    "  'properties':{"
    "    'endpoint':{'type':'string'},"
    "    'id':{'type':'string','pattern':'^[0-9a-f]{32}$'},"
    "    'state':{'const':'registered'},"
    "    'address':{'type':'string','examples':['192.0.2.1:5683']},"
    "    'transport':{'enum':['udp']},"
    "    'security':{'type':'object','required':['mode','identity'],'properties':{"
    "      'mode':{'enum':['none']},'identity':{'type':['string','null']}}},"
    "    'registered_at':{'$ref':'#/components/schemas/Time'},"
    "    'updated_at':{'$ref':'#/components/schemas/Time'},"
    "    'expires_at':{'oneOf':[{'$ref':'#/components/schemas/Time'},{'type':'null'}],'description':'null: never'},"
    "    'lifetime_s':{'type':'integer','minimum':0,'description':'0: for ever'},"
    "    'lifetime':{'const':'infinite','description':'Only there when it is.'},"
    "    'version':{'enum':['1.0','1.1','1.2']},"
    "    'binding':{'type':'string','pattern':'^[UMHTSN]*$'},"
    "    'queue_mode':{'type':'boolean'},"
    "    'awake':{'type':'boolean'},"
    "    'objects':{'type':'array','items':{'$ref':'#/components/schemas/Object'}},"
    "    'content_formats':{'type':'array','items':{'type':'integer'},'description':'CoAP numbers, as announced.'},"
    "    'location':{'type':'string','pattern':'^/rd/'},"
    "    'root_path':{'type':'string'},"
    "    'sms':{'type':['string','null']},"
    "    'parameters':{'type':'object','description':'Registration parameters without a field here.',"
    "      'additionalProperties':{'type':['string','boolean']}}}},"
    "'DeviceOrGone':{'oneOf':[{'$ref':'#/components/schemas/Device'},{'type':'object','required':['endpoint','state'],"
    "  'properties':{'endpoint':{'type':'string'},'state':{'const':'deregistered'}}}]},"
    "'DevicePage':{'type':'object','required':['items','next'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/Device'}},'next':{'type':['string','null']}}},"
    "'Event':{'type':'object','required':['id','ts','type','endpoint'],'properties':{"
    "  'id':{'type':'integer','minimum':1},"
    "  'ts':{'$ref':'#/components/schemas/Time'},"
    "  'type':{'$ref':'#/components/schemas/EventType'},"
    "  'endpoint':{'type':['string','null']},"
    "  'location':{'type':'string'},"
    "  'previous':{'type':'string','description':'The location or address before.'},"
    "  'lifetime_s':{'type':'integer','minimum':0},"
    "  'address':{'type':'string'},"
    "  'detail':{'type':'string'},"
    "  'coap_code':{'type':'string','pattern':'^[0-7][.][0-9]{2}$'},"
    "  'path':{'type':'string'},'value':{},'value_type':{'type':'string'},"
    "  'time':{'$ref':'#/components/schemas/Time'}}},"
    "'EventRange':{'type':'object','required':['last','oldest'],'properties':{"
    "  'last':{'type':'integer','minimum':0},'oldest':{'type':'integer','minimum':1}}},"
    "'EventList':{'type':'object','required':['items','last','oldest'],'properties':{"
    "  'items':{'type':'array','items':{'$ref':'#/components/schemas/Event'}},"
    "  'last':{'type':'integer','minimum':0},'oldest':{'type':'integer','minimum':1}}},"
    "'Match':{'type':'object','description':'Fields of an event: a value that it must equal, or operators.',"
    "  'additionalProperties':{'oneOf':[{'type':['string','number','boolean','null','array']},"
    "    {'type':'object','additionalProperties':false,'properties':{"
    "      'eq':{},'ne':{},'gt':{'type':['number','string']},'gte':{'type':['number','string']},"
    "      'lt':{'type':['number','string']},'lte':{'type':['number','string']},'in':{'type':'array'},"
    "      'regex':{'type':'string','maxLength':256}}}]}},"
    "'Condition':{'oneOf':[{'$ref':'#/components/schemas/EventType'},{'type':'object','additionalProperties':false,"
    "  'properties':{"
    "    'type':{'$ref':'#/components/schemas/EventType'},"
    "    'types':{'type':'array','minItems':1,'items':{'$ref':'#/components/schemas/EventType'}},"
    "    'endpoint':{'type':'string'},"
    "    'match':{'$ref':'#/components/schemas/Match'}}}]},"
    "'Wait':{'type':'object','additionalProperties':false,'properties':{"
    "  'after':{'type':'integer','minimum':0,'description':'Events after this one count, else those from now on.'},"
    "  'type':{'$ref':'#/components/schemas/EventType'},"
    "  'types':{'type':'array','minItems':1,'items':{'$ref':'#/components/schemas/EventType'}},"
    "  'endpoint':{'type':'string'},"
    "  'match':{'$ref':'#/components/schemas/Match'},"
    "  'count':{'type':'integer','minimum':1,'maximum':1000},"
    "  'absent':{'type':'boolean','description':'Succeed when no such event comes within timeout of protocol time.'},"
    "  'timeout':{'$ref':'#/components/schemas/DurationOrSeconds'},"
    "  'all':{'type':'array','minItems':1,'maxItems':32,'items':{'$ref':'#/components/schemas/Condition'}},"
    "  'sequence':{'type':'array','minItems':1,'maxItems':32,'items':{'$ref':'#/components/schemas/Condition'}}}},"
    "'WaitOutcome':{'oneOf':[{'$ref':'#/components/schemas/Event'},"
    "  {'type':'object','required':['events'],'properties':{"
    "    'events':{'type':'array','items':{'$ref':'#/components/schemas/Event'}}}},"
    "  {'type':'object','required':['absent'],'properties':{'absent':{'const':true}}}]},"
    "'Clock':{'type':'object','required':['now_s','now','leapt_s'],'properties':{"
    "  'now_s':{'type':'number'},'now':{'$ref':'#/components/schemas/Time'},'leapt_s':{'type':'number'}}},"
    "'Advance':{'type':'object','additionalProperties':false,'required':['advance'],'properties':{"
    "  'advance':{'$ref':'#/components/schemas/DurationOrSeconds'}}},"
    "'Leap':{'type':'object','required':['now_s','advanced_s','fired'],'properties':{"
    "  'now_s':{'type':'number'},'advanced_s':{'type':'number'},'fired':{'type':'integer','minimum':0}}}"
    "}";

static json_t *load(const char *text, size_t len) {
    return json_loadb(text, len, JSON_DECODE_ANY, NULL);
}

static json_t *schemas_json(void) {
    char text[sizeof schemas];
    for (size_t i = 0; i < sizeof schemas; i++)
        text[i] = schemas[i] == '\'' ? '"' : schemas[i];
    json_t *all = load(text, sizeof text - 1);
    json_t *names = json_array();
    for (enum event_type type = 0; type < EVENT_TYPE_COUNT; type++)
        json_array_append_new(names, json_string(event_type_name(type)));
    json_object_set_new(all, "EventType", json_pack("{ssso}", "type", "string", "enum", names));
    return all;
}

static json_t *reference(const char *schema) {
    return json_pack("{ss+}", "$ref", "#/components/schemas/", schema);
}

/* ---- an operation ---- */

static void add_path_parameters(json_t *parameters, const char *path) {
    for (const char *at = strchr(path, '{'); at != NULL; at = strchr(at + 1, '{')) {
        size_t len = strcspn(at + 1, "}");
        json_array_append_new(parameters, json_pack("{ss#sssbs{ss}ss}", "name", at + 1, (int)len, "in", "path",
                                                    "required", 1, "schema", "type", "string", "description",
                                                    "One percent-encoded segment."));
    }
}

static json_t *parameters_json(const struct route *route) {
    json_t *parameters = json_array();
    add_path_parameters(parameters, route->path);
    for (const struct route_parameter *p = route->parameters; p != NULL && p->name != NULL; p++) {
        json_t *schema = load(p->schema, strlen(p->schema));
        bool list = strcmp(json_is_string(json_object_get(schema, "type"))
                               ? json_string_value(json_object_get(schema, "type"))
                               : "",
                           "array") == 0;
        json_t *parameter = json_pack("{sssssoss}", "name", p->name, "in", p->in, "schema", schema, "description",
                                      p->description);
        if (list)
            json_object_set_new(parameter, "explode", json_false()); /* joined by commas */
        json_array_append_new(parameters, parameter);
    }
    return parameters;
}

static json_t *status_member(json_t *responses, unsigned status, const char *description) {
    char key[16];
    snprintf(key, sizeof key, "%u", status);
    json_t *response = json_object_get(responses, key);
    if (response == NULL) {
        response = json_pack("{ss}", "description", description);
        json_object_set_new(responses, key, response);
    }
    return response;
}

static void add_content(json_t *response, const char *type, json_t *schema) {
    json_t *content = json_object_get(response, "content");
    if (content == NULL) {
        content = json_object();
        json_object_set_new(response, "content", content);
    }
    json_object_set_new(content, type, json_pack("{so}", "schema", schema));
}

static void add_problem(json_t *responses, enum problem_kind kind) {
    json_t *response = status_member(responses, problem_status(kind), problem_slug(kind));
    if (json_object_get(response, "content") == NULL)
        add_content(response, "application/problem+json", reference("Problem"));
}

static json_t *responses_json(const struct route *route) {
    json_t *responses = json_object();
    for (const struct route_answer *a = route->answers; a->status != 0; a++) {
        json_t *response = status_member(responses, a->status, a->description);
        if (a->content_type != NULL)
            add_content(response, a->content_type,
                        a->schema == NULL ? json_pack("{ss}", "type", "string") : reference(a->schema));
    }
    add_problem(responses, PROBLEM_BAD_REQUEST);
    for (const enum problem_kind *kind = route->problems; kind != NULL && *kind != PROBLEM_KIND_COUNT; kind++)
        add_problem(responses, *kind);
    if (!route->open)
        add_problem(responses, PROBLEM_UNAUTHORIZED);
    if (route->body != NULL)
        add_problem(responses, PROBLEM_TOO_LARGE);
    return responses;
}

static json_t *operation_json(const struct route *route) {
    json_t *operation = json_pack("{sssssoso}", "operationId", route->operation, "summary", route->summary,
                                  "parameters", parameters_json(route), "responses", responses_json(route));
    if (route->body != NULL)
        json_object_set_new(operation, "requestBody",
                            json_pack("{sbs{s{so}}}", "required", 1, "content", "application/json", "schema",
                                      reference(route->body)));
    if (route->open)
        json_object_set_new(operation, "security", json_array());
    return operation;
}

static void add_operation(json_t *paths, const struct route *route) {
    char method[16] = {0};
    for (size_t i = 0; route->method[i] != '\0' && i < sizeof method - 1; i++)
        method[i] = (char)(route->method[i] | 0x20);
    json_t *item = json_object_get(paths, route->path);
    if (item == NULL) {
        item = json_object();
        json_object_set_new(paths, route->path, item);
    }
    json_object_set_new(item, method, operation_json(route));
}

/* ---- the document ---- */

char *openapi_write(struct route_table table) {
    json_t *paths = json_object();
    for (size_t i = 0; i < table.count; i++)
        add_operation(paths, &table.routes[i]);
    json_t *document =
        json_pack("{sss{ssssss}sos{sos{s{ssssss}}}s[{s[]}{}]}", "openapi", "3.1.0", "info", "title", "Berth", "version",
                  BERTH_VERSION, "description", "An LwM2M server. Errors are RFC 9457 problem documents.", "paths",
                  paths, "components", "schemas", schemas_json(), "securitySchemes", "apiKey", "type", "http", "scheme",
                  "bearer", "description", "Only where the server was started with --api-key.", "security", "apiKey");
    char *text = document == NULL ? NULL : json_dumps(document, JSON_COMPACT);
    json_decref(document);
    return text;
}

void openapi_get(const struct call *call) {
    http_respond(call->request, &(struct http_response){.status = 200,
                                                        .content_type = "application/json",
                                                        .body = slice_str(call->web->openapi)});
}
