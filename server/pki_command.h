/* `berth-server pki ca|server|device`: certificates from the command line. */
#ifndef BERTH_SERVER_PKI_COMMAND_H
#define BERTH_SERVER_PKI_COMMAND_H

/* `argv[0]` is "pki". Returns the exit code: 0, 1 when it failed, 2 when the arguments are wrong. */
int pki_command(int argc, char **argv);

#endif
