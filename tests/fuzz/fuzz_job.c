/* Queued calls and their answers, as they lie in the database: what is read must be as good when it is shown. */
#include <stdlib.h>

#include "web/v1/queued_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct job job;
    struct queued_request request = {.id = 1, .endpoint = slice_str("dev1"), .state = QUEUE_COMPLETED};
    if (size > 1 << 16)
        return 0;
    job_read(slice_of(data, size), &job);
    request.job = request.result = slice_of(data, size);
    char *text = queued_json_with_response(&request);
    if (text == NULL)
        abort();
    free(text);
    return 0;
}
