/* `berth-server run FILE…`: scenarios from the command line, each against a server of its own or against one that runs. */
#ifndef BERTH_WEB_RUN_COMMAND_H
#define BERTH_WEB_RUN_COMMAND_H

/* `argv[0]` is "run". Returns the exit code: 0 when all have passed, 1 when one has not, 2 when the arguments or a
 * scenario are wrong. */
int run_command(int argc, char **argv);

#endif
