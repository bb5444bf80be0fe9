/* client_version.c: which clients are too new or want a newer server, by the metadata they send with every call. */
#include "api/api_internal.h"

struct version {
    uint32_t part[3];
};
/* Clients whose major version this server does not know yet. */
static const struct known_client {
    const char *name;
    uint32_t    major_below;
    const char *range;
} known_clients[] = {
    { "temporal-go", 2, "<2.0.0" },         { "temporal-java", 2, "<2.0.0" },
    { "temporal-php", 2, "<2.0.0" },        { "temporal-python", 2, "<2.0.0" },
    { "temporal-typescript", 2, "<2.0.0" }, { "temporal-dotnet", 2, "<2.0.0" },
    { "temporal-ruby", 2, "<2.0.0" },       { "temporal-cli", 2, "<2.0.0" },
    { "temporal-ui", 3, "<3.0.0" },
};

/* Three dotted numbers; a pre-release or build suffix is skipped. Missing parts are 0. */
static bool version_parse(struct bytes text, struct version *ret_version)
{
    size_t at = 0;
    *ret_version = (struct version){ 0 };
    if (at < text.size && text.base[at] == 'v')
        at++;
    for (size_t i = 0; i < 3; i++) {
        uint64_t value = 0;
        size_t   begin = at;
        for (; at < text.size && text.base[at] >= '0' && text.base[at] <= '9' && value < UINT32_MAX; at++)
            value = value * 10 + (uint64_t)(text.base[at] - '0');
        if (at == begin || value > UINT32_MAX)
            return false;
        ret_version->part[i] = (uint32_t)value;
        if (at == text.size || text.base[at] != '.')
            break;
        at++;
    }
    return at == text.size || text.base[at] == '-' || text.base[at] == '+';
}

static int version_compare(const struct version *a, const struct version *b)
{
    for (size_t i = 0; i < 3; i++) {
        if (a->part[i] != b->part[i])
            return a->part[i] < b->part[i] ? -1 : 1;
    }
    return 0;
}

enum comparison { CMP_EQUAL, CMP_NOT_EQUAL, CMP_LESS, CMP_LESS_EQUAL, CMP_GREATER, CMP_GREATER_EQUAL };

static enum comparison comparison_parse(struct bytes *text)
{
    static const struct {
        const char     *sign;
        enum comparison comparison;
    } signs[] = { { "<=", CMP_LESS_EQUAL }, { ">=", CMP_GREATER_EQUAL }, { "!=", CMP_NOT_EQUAL },
                  { "==", CMP_EQUAL },      { "<", CMP_LESS },           { ">", CMP_GREATER },
                  { "!", CMP_NOT_EQUAL },   { "=", CMP_EQUAL } };
    for (size_t i = 0; i < ARRAY_COUNT(signs); i++) {
        struct bytes sign = bytes_of_text(signs[i].sign);
        if (bytes_starts_with(*text, sign)) {
            *text = bytes_of(text->base + sign.size, text->size - sign.size);
            return signs[i].comparison;
        }
    }
    return CMP_EQUAL;
}

static bool compares(int order, enum comparison comparison)
{
    switch (comparison) {
    case CMP_EQUAL:
        return order == 0;
    case CMP_NOT_EQUAL:
        return order != 0;
    case CMP_LESS:
        return order < 0;
    case CMP_LESS_EQUAL:
        return order <= 0;
    case CMP_GREATER:
        return order > 0;
    case CMP_GREATER_EQUAL:
        return order >= 0;
    }
    return false;
}

static struct bytes skip_blanks(struct bytes text)
{
    while (text.size != 0 && text.base[0] == ' ')
        text = bytes_of(text.base + 1, text.size - 1);
    return text;
}

/* `>=1.0.0 <2.0.0 || 3.1.0`: any of the alternatives, each all of its comparisons. */
static bool range_parse(struct bytes range, const struct version *version, bool *ret_inside)
{
    bool alternative = true, inside = false;
    range = skip_blanks(range);
    if (range.size == 0)
        return false;
    while (range.size != 0) {
        if (bytes_starts_with(range, BYTES("||"))) {
            inside = inside || alternative;
            alternative = true;
            range = skip_blanks(bytes_of(range.base + 2, range.size - 2));
            continue;
        }
        enum comparison comparison = comparison_parse(&range);
        range = skip_blanks(range);
        size_t size = 0;
        while (size < range.size && range.base[size] != ' ' && range.base[size] != '|')
            size++;
        struct version bound;
        if (!version_parse(bytes_of(range.base, size), &bound))
            return false;
        alternative = alternative && compares(version_compare(version, &bound), comparison);
        range = skip_blanks(bytes_of(range.base + size, range.size - size));
    }
    *ret_inside = inside || alternative;
    return true;
}

static const struct known_client *known_client_find(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_COUNT(known_clients); i++) {
        if (bytes_equal_text(name, known_clients[i].name))
            return &known_clients[i];
    }
    return NULL;
}

static enum status client_check(struct bytes name, struct bytes text, struct arena *arena,
                                struct error *error)
{
    const struct known_client *client = known_client_find(name);
    struct version             version;
    if (client == NULL || text.size == 0)
        return ST_OK;
    if (!version_parse(text, &version))
        return error_set(error, ST_INVALID_ARGUMENT, "client-version \"%.*s\" is not a version",
                         BYTES_FMT(text));
    if (version.part[0] < client->major_below)
        return ST_OK;
    error_set(error, ST_FAILED_PRECONDITION, "%s %.*s is not supported by this server (supported: %s)",
              client->name, BYTES_FMT(text), client->range);
    struct errordetails_ClientVersionNotSupportedFailure failure = {
        .client_version = text, .client_name = name, .supported_versions = bytes_of_text(client->range)
    };
    error_detail(error, arena, &pb_errordetails_ClientVersionNotSupportedFailure, &failure);
    return error->code;
}

enum status client_version_check(const struct call *call, struct arena *arena, struct error *error)
{
    struct bytes name = call_metadata(call, "client-name");
    struct bytes range = call_metadata(call, "supported-server-versions");
    enum status  status = client_check(name, call_metadata(call, "client-version"), arena, error);
    if (status != ST_OK || range.size == 0)
        return status;
    struct version server;
    bool           inside;
    if (!version_parse(BYTES(API_SERVER_VERSION), &server))
        panic("the server's own version does not parse");
    if (!range_parse(range, &server, &inside))
        return error_set(error, ST_INVALID_ARGUMENT,
                         "supported-server-versions \"%.*s\" is not a range of versions", BYTES_FMT(range));
    if (inside)
        return ST_OK;
    error_set(error, ST_FAILED_PRECONDITION,
              "Server version %s is not supported by the client, which needs %.*s", API_SERVER_VERSION,
              BYTES_FMT(range));
    struct errordetails_ServerVersionNotSupportedFailure failure = {
        .server_version = BYTES(API_SERVER_VERSION), .client_supported_server_versions = range
    };
    error_detail(error, arena, &pb_errordetails_ServerVersionNotSupportedFailure, &failure);
    return error->code;
}

bool client_is_reader_of_plain_history(const struct call *call)
{
    struct bytes name = call_metadata(call, "client-name");
    return bytes_equal_text(name, "temporal-cli") || bytes_equal_text(name, "temporal-ui");
}

bool client_has_feature(const struct call *call, const char *feature)
{
    struct bytes rest = call_metadata(call, "supported-features");
    while (rest.size != 0) {
        const uint8_t *comma = memchr(rest.base, ',', rest.size);
        size_t         size = comma == NULL ? rest.size : (size_t)(comma - rest.base);
        if (bytes_equal_text(bytes_of(rest.base, size), feature))
            return true;
        rest = comma == NULL ? BYTES_EMPTY : bytes_of(comma + 1, rest.size - size - 1);
    }
    return false;
}
