/* token_command.c: two lines on standard output: the token, and what goes into the tokens file. */
#include "server/token_command.h"

#include <stdio.h>

#include "mcp/auth.h"

#define USAGE   "mcp token NAME [SCOPES]"
#define SUMMARY "makes a bearer token for tools"
#define DETAILS                                                                                              \
    "of 256 random bits. Prints the token, which is not kept anywhere, and a second line, "                  \
    "`NAME SHA256 SCOPES`, which goes into the file that `auth.tokens_file` of mcp.json names; the "         \
    "server reads it again when it changes. NAME is the caller's. SCOPES are words with commas between "     \
    "them; `*` is all."

int token_command_main(int argc, char **argv)
{
    char          token[AUTH_TOKEN_SIZE];
    struct buffer line = { 0 };
    struct error  error;
    bool          help = argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0);
    if (help) {
        printf("perdure " USAGE ": " SUMMARY ", " DETAILS "\n");
        return 0;
    }
    if (argc < 1 || argc > 2 || argv[0][0] == '-') {
        fprintf(stderr, "usage: perdure " USAGE "\n");
        return 2;
    }
    if (auth_token_make(argv[0], argc == 2 ? argv[1] : NULL, token, &line, &error) != ST_OK) {
        fprintf(stderr, "perdure: %s\n", error.message);
        buffer_release(&line);
        return 2;
    }
    fprintf(
        stderr,
        "The first line is the token, which is not kept anywhere; the second goes into auth.tokens_file.\n");
    printf("%s\n%.*s\n", token, BYTES_FMT(buffer_bytes(&line)));
    buffer_release(&line);
    return 0;
}

void token_command_print_summary(void)
{
    printf("  perdure %-33s %s\n", USAGE, SUMMARY);
}

void token_command_print_reference(void)
{
    printf("## perdure " USAGE "\n\n" SUMMARY ", " DETAILS "\n\n");
}
