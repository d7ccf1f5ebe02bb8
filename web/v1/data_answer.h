/* The data in a device's answer, decoded and given in the form that the HTTP client wants. */
#ifndef BERTH_WEB_V1_DATA_ANSWER_H
#define BERTH_WEB_V1_DATA_ANSWER_H

#include "common/lwm2m/path.h"
#include "web/v1/device_call.h"
#include "web/v1/http_form.h"

/* How to answer. */
struct data_form {
    enum http_form form;
    bool names; /* with the names of objects and resources */
};

/* The Accept header and `names`. False: the request is answered. */
bool data_form_read(const struct call *call, struct data_form *form);

/* End the call with what a 2.05 has told about `base`. `asked` is the content format that was asked for: an answer
 * without one is taken for it. */
void data_answer(struct device_call *call, const struct operation_result *result, const struct lwm2m_path *base,
                 int asked, const struct data_form *form);

#endif
