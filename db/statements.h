/* The SQL of every write and of every lookup while the server runs, in words that each backend understands: `?` is the
 * next parameter, `?2` the second one. rows.c binds the values, and the backends prepare the texts. */
#ifndef BERTH_DB_STATEMENTS_H
#define BERTH_DB_STATEMENTS_H

enum statement {
    SQL_PUT_REGISTRATION,
    SQL_PUT_LEASE,
    SQL_DELETE_REGISTRATION,
    SQL_DELETE_LEASE,
    SQL_REFRESH_LEASE,
    SQL_CLEAR_REGISTRATIONS,
    SQL_CLEAR_LEASES,
    SQL_PUT_SETTING,
    SQL_PUT_OBJECT,
    SQL_DELETE_OBJECT,
    SQL_PUT_OBSERVATION,
    SQL_DELETE_OBSERVATION,
    SQL_CLEAR_OBSERVATIONS,
    SQL_PUT_REQUEST,
    SQL_FINISH_REQUEST,
    SQL_DELETE_REQUEST,
    SQL_CLEAR_REQUESTS,
    SQL_PUT_QUEUE_SETTINGS,
    SQL_DELETE_QUEUE_SETTINGS,
    SQL_CLEAR_QUEUE_SETTINGS,
    SQL_DELETE_CREDENTIALS,
    SQL_PUT_CREDENTIAL,
    SQL_PUT_BOOTSTRAP,
    SQL_DELETE_BOOTSTRAP,
    SQL_PUT_SESSION,
    SQL_PUT_SESSION_STATE,
    SQL_REFRESH_SESSION,
    SQL_DELETE_SESSION,
    SQL_DELETE_SESSION_STATE,
    SQL_PUT_RESUMPTION,
    SQL_DELETE_RESUMPTION,
    SQL_PUT_OSCORE_CONTEXT,
    SQL_PUT_FIRMWARE_IMAGE,
    SQL_DELETE_FIRMWARE_IMAGE,
    SQL_PUT_FIRMWARE_UPDATE,
    SQL_DELETE_FIRMWARE_UPDATE,
    SQL_PUT_DOCUMENT,
    SQL_DELETE_DOCUMENT,
    SQL_PUT_EVENTS,
    SQL_TRIM_EVENTS,
    STATEMENT_COUNT,
};

/* Each may be run twice with the same values: that changes nothing the second time. */
extern const char *const statement_texts[STATEMENT_COUNT];

/* Asked beside the writer: session_id, expires_at, identity, sealed. */
extern const char statement_find_resumption[];

#endif
