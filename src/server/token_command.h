/* token_command.h: perdure mcp token: makes a bearer token for tools, and the line by which the server knows it. */
#ifndef SERVER_TOKEN_COMMAND_H
#define SERVER_TOKEN_COMMAND_H

/* argv is what follows "mcp token". Returns the exit code: 0, or 2 for a wrong command line. */
int token_command_main(int argc, char **argv);
/* For `perdure --help`, and the chapter of docs/reference/cli.md. */
void token_command_print_summary(void);
void token_command_print_reference(void);
#endif
