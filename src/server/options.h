/* options.h: the server's configuration: one table of flags, from which parsing, --help and docs/reference are made. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H
#include "base/base.h"
#include "base/log.h"
#include "shard/limits.h"

#define OPTIONS_NAMESPACES_MAX 64
#define OPTIONS_CALLBACKS_MAX  64

struct options {
    const char    *grpc_address;
    const char    *http_address;
    const char    *store_url;
    const char    *namespaces[OPTIONS_NAMESPACES_MAX]; /* besides "default" */
    size_t         namespace_count;
    size_t         memory_limit; /* bytes of cached executions, all lanes together */
    uint32_t       lane_count;   /* 0: cores - 1, at least one */
    struct limits  limits;       /* of namespaces that do not say otherwise */
    enum log_level log_level;
    enum log_form  log_form;
    const char    *otlp_endpoint; /* NULL: no traces */
    double         otlp_sample;
    const char    *mcp_config; /* NULL: no gateway */
    /* Where completion callbacks may go. */
    struct options_callback {
        const char *pattern;
        size_t      size;
        bool        insecure;
    } callbacks[OPTIONS_CALLBACKS_MAX];
    size_t callback_count;
    bool   time_skipping;
    bool   help;
};

/* argv without the program's and the command's name. The error names the flag and what it takes. Strings are borrowed from
 * argv and the environment (PERDURE_GRPC and so on: each flag has its variable). */
enum status options_parse(int argc, char **argv, struct options *ret_options, struct error *error) MUST_USE;
/* Bytes, also with K, M or G. */
bool options_parse_size(const char *value, size_t *ret_size) MUST_USE;
void options_print_help(void);
/* The table as Markdown, for docs/reference/configuration.md. */
void options_print_reference(void);
/* The table of limits, for docs/reference/limits.md. */
void options_print_limits(void);
#endif
