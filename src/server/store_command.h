/* store_command.h: perdure store verify, backup, restore, compact: what is done with a store's file itself, with or without a server. */
#ifndef SERVER_STORE_COMMAND_H
#define SERVER_STORE_COMMAND_H

/* argv is what follows "store". Returns the exit code: 0 done, 1 something was found, 2 the command line is wrong or the file
 * cannot be read. */
int store_command_main(int argc, char **argv);
/* For `perdure --help`, and the chapter of docs/reference/cli.md. */
void store_command_print_summary(void);
void store_command_print_reference(void);
#endif
