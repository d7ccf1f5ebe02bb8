#include "db/statements.h"

const char *const statement_texts[STATEMENT_COUNT] = {
    [SQL_PUT_REGISTRATION] =
        "INSERT INTO registration (id, endpoint, location, links, root, query, sms, identity, address, local,"
        " listener, lifetime_s, flags, registered_at, session) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
        " ?, ?) ON CONFLICT (id) DO UPDATE SET endpoint = excluded.endpoint, location = excluded.location,"
        " links = excluded.links, root = excluded.root, query = excluded.query, sms = excluded.sms, identity"
        " = excluded.identity, address = excluded.address, local = excluded.local, listener ="
        " excluded.listener, lifetime_s = excluded.lifetime_s, flags = excluded.flags, registered_at ="
        " excluded.registered_at, session = excluded.session",
    [SQL_PUT_LEASE] = "INSERT INTO lease (id, updated_at, expires_at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                      " updated_at = excluded.updated_at, expires_at = excluded.expires_at",
    [SQL_DELETE_REGISTRATION] = "DELETE FROM registration WHERE id = ?",
    [SQL_DELETE_LEASE] = "DELETE FROM lease WHERE id = ?",
    [SQL_REFRESH_LEASE] = "UPDATE lease SET updated_at = ?2, expires_at = ?3 WHERE id = ?1",
    [SQL_CLEAR_REGISTRATIONS] = "DELETE FROM registration",
    [SQL_CLEAR_LEASES] = "DELETE FROM lease",
    [SQL_PUT_SETTING] = "INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value ="
                        " excluded.value",
    [SQL_PUT_OBJECT] =
        "INSERT INTO object (object_id, version, xml) VALUES (?, ?, ?) ON CONFLICT (object_id, version) DO"
        " UPDATE SET xml = excluded.xml",
    [SQL_DELETE_OBJECT] = "DELETE FROM object WHERE object_id = ? AND version = ?",
    [SQL_PUT_OBSERVATION] =
        "INSERT INTO observation (id, registration_id, endpoint, paths, token, request, started_at) VALUES"
        " (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET registration_id = excluded.registration_id,"
        " endpoint = excluded.endpoint, paths = excluded.paths, token = excluded.token, request ="
        " excluded.request, started_at = excluded.started_at",
    [SQL_DELETE_OBSERVATION] = "DELETE FROM observation WHERE id = ?",
    [SQL_CLEAR_OBSERVATIONS] = "DELETE FROM observation",
    [SQL_PUT_REQUEST] =
        "INSERT INTO request (id, endpoint, job, created_at, expires_at, state, completed_at, result) VALUES"
        " (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET endpoint = excluded.endpoint, job ="
        " excluded.job, created_at = excluded.created_at, expires_at = excluded.expires_at, state ="
        " excluded.state, completed_at = excluded.completed_at, result = excluded.result",
    [SQL_FINISH_REQUEST] = "UPDATE request SET state = ?2, completed_at = ?3, result = ?4 WHERE id = ?1",
    [SQL_DELETE_REQUEST] = "DELETE FROM request WHERE id = ?",
    [SQL_CLEAR_REQUESTS] = "DELETE FROM request",
    [SQL_PUT_QUEUE_SETTINGS] =
        "INSERT INTO queue_setting (endpoint, awake_window_ms, queue_limit) VALUES (?, ?, ?) ON CONFLICT"
        " (endpoint) DO UPDATE SET awake_window_ms = excluded.awake_window_ms, queue_limit ="
        " excluded.queue_limit",
    [SQL_DELETE_QUEUE_SETTINGS] = "DELETE FROM queue_setting WHERE endpoint = ?",
    [SQL_CLEAR_QUEUE_SETTINGS] = "DELETE FROM queue_setting",
    [SQL_DELETE_CREDENTIALS] = "DELETE FROM credential WHERE endpoint = ?",
    [SQL_PUT_CREDENTIAL] =
        "INSERT INTO credential (endpoint, mode, services, sealed) VALUES (?, ?, ?, ?) ON CONFLICT (endpoint,"
        " mode, services) DO UPDATE SET sealed = excluded.sealed",
    [SQL_PUT_BOOTSTRAP] =
        "INSERT INTO bootstrap (endpoint, sealed) VALUES (?, ?) ON CONFLICT (endpoint) DO UPDATE SET sealed ="
        " excluded.sealed",
    [SQL_DELETE_BOOTSTRAP] = "DELETE FROM bootstrap WHERE endpoint = ?",
    [SQL_PUT_SESSION] =
        "INSERT INTO session (id, listener, local, flags, sealed) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO"
        " UPDATE SET listener = excluded.listener, local = excluded.local, flags = excluded.flags, sealed ="
        " excluded.sealed",
    [SQL_PUT_SESSION_STATE] =
        "INSERT INTO session_state (id, peer, number_limit, window_top, window_bits, used_at) VALUES (?, ?,"
        " ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET peer = excluded.peer, number_limit ="
        " excluded.number_limit, window_top = excluded.window_top, window_bits = excluded.window_bits,"
        " used_at = excluded.used_at",
    [SQL_REFRESH_SESSION] =
        "UPDATE session_state SET peer = ?2, number_limit = CASE WHEN number_limit > ?3 THEN number_limit"
        " ELSE ?3 END, window_top = ?4, window_bits = ?5, used_at = ?6 WHERE id = ?1",
    [SQL_DELETE_SESSION] = "DELETE FROM session WHERE id = ?",
    [SQL_DELETE_SESSION_STATE] = "DELETE FROM session_state WHERE id = ?",
    [SQL_PUT_RESUMPTION] =
        "INSERT INTO resumption (session_id, expires_at, identity, sealed) VALUES (?, ?, ?, ?) ON CONFLICT"
        " (session_id) DO UPDATE SET expires_at = excluded.expires_at, identity = excluded.identity, sealed ="
        " excluded.sealed",
    [SQL_DELETE_RESUMPTION] = "DELETE FROM resumption WHERE session_id = ?",
    [SQL_PUT_OSCORE_CONTEXT] =
        "INSERT INTO oscore_context (digest, id_context, static_limit, number_limit) VALUES (?, ?, ?, ?) ON"
        " CONFLICT (digest) DO UPDATE SET id_context = excluded.id_context, static_limit ="
        " excluded.static_limit, number_limit = excluded.number_limit",
    [SQL_PUT_FIRMWARE_IMAGE] =
        "INSERT INTO firmware_image (name, digest, size, url, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT"
        " (name) DO UPDATE SET digest = excluded.digest, size = excluded.size, url = excluded.url, created_at"
        " = excluded.created_at",
    [SQL_DELETE_FIRMWARE_IMAGE] = "DELETE FROM firmware_image WHERE name = ?",
    [SQL_PUT_FIRMWARE_UPDATE] =
        "INSERT INTO firmware_update (endpoint, image, uri, detail, flags, result, created_at, deadline,"
        " ended_at, observation, observation_of_result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT"
        " (endpoint) DO UPDATE SET image = excluded.image, uri = excluded.uri, detail = excluded.detail,"
        " flags = excluded.flags, result = excluded.result, created_at = excluded.created_at, deadline ="
        " excluded.deadline, ended_at = excluded.ended_at, observation = excluded.observation,"
        " observation_of_result = excluded.observation_of_result",
    [SQL_DELETE_FIRMWARE_UPDATE] = "DELETE FROM firmware_update WHERE endpoint = ?",
    [SQL_PUT_DOCUMENT] = "INSERT INTO document (kind, id, text) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET"
                         " text = excluded.text",
    [SQL_DELETE_DOCUMENT] = "DELETE FROM document WHERE kind = ? AND id = ?",
    [SQL_PUT_EVENTS] = "INSERT INTO event (first_id, last_id, events) VALUES (?, ?, ?) ON CONFLICT (first_id) DO UPDATE"
                       " SET last_id = excluded.last_id, events = excluded.events",
    [SQL_TRIM_EVENTS] = "DELETE FROM event WHERE first_id < ?1 AND last_id < ?1",
};

const char statement_find_resumption[] =
    "SELECT session_id, expires_at, identity, sealed FROM resumption WHERE session_id = ?";
