/* A call that waits in a device's queue, and its answer, as the bytes that server/queue.h keeps for us: CBOR arrays that
 * begin with the number of their form. Of the header fields those are kept that a call to a device knows; a key is not
 * among them. */
#ifndef BERTH_WEB_V1_JOB_H
#define BERTH_WEB_V1_JOB_H

#include "web/http.h"

enum { JOB_METHOD_MAX = 16, JOB_TYPE_MAX = 128 };

struct job {
    char method[JOB_METHOD_MAX];
    struct slice path, query, body;    /* as in struct http_request */
    struct slice accept, content_type; /* header fields; data is NULL when they were not there */
};

struct job_result {
    unsigned status;
    char content_type[JOB_TYPE_MAX]; /* "": no body */
    struct slice headers, body;      /* header lines, each ended by CRLF */
};

/* Bytes enough for job_write. */
size_t job_size(const struct http_request *request);
void job_write(const struct http_request *request, struct buffer *out);

/* Slices point into `bytes`. False when that is no job. */
bool job_read(struct slice bytes, struct job *job);

size_t job_result_size(const struct http_response *response);
void job_result_write(const struct http_response *response, struct buffer *out);
bool job_result_read(struct slice bytes, struct job_result *result);

#endif
