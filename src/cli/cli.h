/* cli.h: the client commands of the binary: `perdure workflow start`, `perdure operator namespace list`, ...
 *
 * A client without a back door: everything goes through gRPC to a server, as any SDK's calls do. Nouns, verbs and flags are
 * those of the official command line, as far as they exist there; all come from two tables (commands and flags), from
 * which parsing, --help and the reference in docs/ are made.
 *
 * Thread: main only; calls block. Exit codes: 0 done, 1 the server or the workflow said no, 2 the command line is wrong.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H
#include "base/base.h"

/* Whether argv names a client command ("workflow", "operator", ...). */
bool cli_knows(const char *noun);
/* argv[0] is the noun. Returns the exit code. */
int cli_main(int argc, char **argv);
/* The list of client commands, for `perdure --help`. */
void cli_print_summary(void);
/* The whole reference as Markdown, for docs/reference/cli.md. */
void cli_print_reference(void);
#endif
