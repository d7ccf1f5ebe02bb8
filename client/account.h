/* --account: what it costs to begin a DTLS session, to register, to update and to resume the session, in bytes of UDP
 * payload. */
#ifndef BERTH_CLIENT_ACCOUNT_H
#define BERTH_CLIENT_ACCOUNT_H

#include "client/options.h"

/* Do it with the server of the options, over DTLS first without and then with a connection ID, and print a table, or with
 * --json an `account` event for each figure. What happens on the way is told on stderr, with --json on stdout. Gives the
 * program's exit code: not 0 when something did not succeed. */
int account_run(const struct options *options);

#endif
