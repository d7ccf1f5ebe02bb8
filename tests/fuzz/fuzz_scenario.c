/* Scenarios of clients: whatever comes is refused with a place and a reason, or is one whose steps fill in. */
#include <stdlib.h>

#include "web/scenario/scenario.h"
#include "web/scenario/variables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char problem[512];
    struct document_error error = {.expected = ""};
    json_t *document = document_read(slice_of(data, size), problem, sizeof problem);
    if (document == NULL)
        return 0;
    struct scenario *scenario =
        scenario_read(document, &(struct scenario_means){.devices = true, .server = true}, &error);
    if (scenario == NULL && error.expected[0] == '\0')
        abort();
    const json_t *variables = json_object_get(document, "variables");
    for (size_t i = 0; scenario != NULL && i < scenario->step_count; i++) {
        json_t *filled = variables_fill(scenario->steps[i].document, variables);
        if (filled != NULL)
            step_check(scenario->steps[i].kind, filled, "", &error);
        json_decref(filled);
    }
    scenario_free(scenario);
    json_decref(document);
    return 0;
}
