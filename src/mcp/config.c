/* config.c: documents to a catalog: what all objects have in common, toolsets, and the catalog itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "io/listener.h"
#include "mcp/config_internal.h"

static_assert(sizeof(enum tool_kind) == sizeof(int), "a choice is stored as an int");

/* --- findings --- */

void config_report_init(struct config_report *report)
{
    *report = (struct config_report){ 0 };
    arena_init(&report->arena, SIZE_MAX);
}

void config_report_release(struct config_report *report)
{
    arena_release(&report->arena);
}

void config_finding_print(const struct config_finding *finding, struct buffer *to)
{
    buffer_append_text(to, finding->file);
    if (finding->place.line > 0)
        buffer_printf(to, ":%u:%u", finding->place.line, finding->place.column);
    buffer_printf(to, ": %s%s%s", finding->kind == CONFIG_WARNING ? "warning: " : "", finding->pointer,
                  *finding->pointer == '\0' ? "" : ": ");
    buffer_append_text(to, finding->words);
}

static const char *report_text(struct config_report *report, struct bytes text)
{
    char *copy = arena_must(arena_alloc(&report->arena, text.size + 1));
    if (text.size > 0)
        memcpy(copy, text.base, text.size);
    copy[text.size] = '\0';
    return copy;
}

void config_find(struct reader *reader, enum config_finding_kind kind, const char *below, const char *format,
                 ...)
{
    struct config_report *report = reader->report;
    char                  words[ERROR_MESSAGE_SIZE_MAX + 100];
    va_list               arguments;
    report->error_count += kind == CONFIG_ERROR;
    if (report->count == CONFIG_FINDINGS_MAX) {
        report->left_out++;
        return;
    }
    va_start(arguments, format);
    vsnprintf(words, sizeof words, format, arguments);
    va_end(arguments);
    size_t before = reader->pointer.size;
    if (below != NULL && below[0] == '/')
        buffer_append_text(&reader->pointer, below);
    else if (below != NULL)
        json_pointer_append(&reader->pointer, bytes_of_text(below));
    struct config_finding *finding = &report->findings[report->count++];
    *finding = (struct config_finding){
        .kind = kind,
        .file = report_text(report, bytes_of_text(reader->text.file)),
        .pointer = report_text(report, buffer_bytes(&reader->pointer)),
        .words = report_text(report, bytes_of_text(words)),
    };
    finding->place = json_locate(reader->text.text, reader->text.commented ? JSON_WITH_COMMENTS : 0,
                                 finding->pointer);
    reader->pointer.size = before;
}

size_t config_enter(struct reader *reader, const char *name)
{
    size_t before = reader->pointer.size;
    json_pointer_append(&reader->pointer, bytes_of_text(name));
    return before;
}

size_t config_enter_index(struct reader *reader, size_t index)
{
    size_t before = reader->pointer.size;
    json_pointer_append_index(&reader->pointer, index);
    return before;
}

void config_leave(struct reader *reader, size_t before)
{
    assert(before <= reader->pointer.size);
    reader->pointer.size = before;
}

/* --- what a catalog owns --- */

static struct owned *own(struct reader *reader)
{
    struct owned *owned = ARENA_NEW(&reader->catalog->private->arena, struct owned);
    owned->next = reader->catalog->private->owned;
    reader->catalog->private->owned = owned;
    return owned;
}

void *config_alloc(struct reader *reader, size_t count, size_t size)
{
    return arena_must(arena_zalloc(&reader->catalog->private->arena, MAX(count, (size_t)1), size));
}

const char *config_text(struct reader *reader, const char *format, ...)
{
    va_list arguments;
    char    text[512];
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert(size >= 0 && (size_t)size < sizeof text);
    char *copy = config_alloc(reader, (size_t)size + 1, 1);
    memcpy(copy, text, (size_t)size + 1);
    return copy;
}

json_t *config_own(struct reader *reader, json_t *value)
{
    own(reader)->json = value;
    return value;
}

static void schema_warning(void *context, const char *pointer, const char *words)
{
    config_find(context, CONFIG_WARNING, *pointer == '\0' ? NULL : pointer, "%s", words);
}

const struct schema *config_schema(struct reader *reader, json_t *document)
{
    CLEANUP(buffer_release) struct buffer at = { 0 };
    struct schema_warnings                warnings = { schema_warning, reader };
    struct schema                        *schema = NULL;
    struct error                          error = { 0 };
    if (schema_compile(document, &warnings, &schema, &at, &error) == ST_OK)
        return own(reader)->schema = schema;
    /* The finding has the pointer already. */
    const char *words = strstr(error.message, ": ");
    buffer_append_byte(&at, 0);
    config_error(reader, at.size == 1 ? NULL : (const char *)at.base, "%s",
                 words == NULL ? error.message : words + 2);
    return NULL;
}

const struct template *config_template(struct reader *reader, const json_t *object, const char *name,
                                       enum template_kind kind, const struct schema *input)
{
    const json_t *source = json_object_get(object, name);
    struct template *template = NULL;
    struct error error = { 0 };
    if (source == NULL)
        return NULL;
    if (kind == TEMPLATE_VALUE && !json_is_array(source)) {
        config_error(reader, name, "must be an array");
        return NULL;
    }
    if (template_compile(source, kind, input, &template, &error) != ST_OK) {
        config_error(reader, name, "%s", error.message);
        return NULL;
    }
    return own(reader)->template = template;
}

const struct schema *config_names_schema(struct reader *reader, const struct bytes *names, size_t count)
{
    json_t *document = json_object(), *properties = json_object();
    for (size_t i = 0; i < count; i++)
        if (json_object_setn_new(properties, (const char *)names[i].base, names[i].size, json_object()) != 0)
            panic("out of memory");
    if (json_object_set_new(document, "type", json_string("object")) != 0 ||
        json_object_set_new(document, "additionalProperties", json_false()) != 0 ||
        json_object_set_new(document, "properties", properties) != 0)
        panic("out of memory");
    return config_schema(reader, config_own(reader, document));
}

/* --- fields --- */

static const char *const json_type_names[] = { "object", "array", "string", "integer",
                                               "number", "true",  "false",  "null" };

json_t *config_member(struct reader *reader, const json_t *object, const struct config_table *table,
                      const char *name)
{
    const struct config_field *field = config_field_named(table, name);
    json_t                    *value = json_object_get(object, name);
    assert(field != NULL);
    if (value == NULL)
        return NULL;
    const char *wanted = field->kind == FIELD_OBJECT || field->kind == FIELD_MAP ? "object"
                         : field->kind == FIELD_LIST                             ? "array"
                         : field->kind == FIELD_TEXT                             ? "string"
                                                                                 : field->choices;
    if (strcmp(wanted, "any") == 0 || strcmp(wanted, json_type_names[json_typeof(value)]) == 0)
        return value;
    config_error(reader, name, "must be %s %s", *wanted == 's' ? "a" : "an", wanted);
    return NULL;
}

static bool read_choice(const char *choices, const char *text, int *ret)
{
    size_t size = strlen(text);
    for (int index = 0; *choices != '\0'; index++) {
        size_t length = strcspn(choices, "|");
        if (length == size && strncmp(choices, text, size) == 0) {
            *ret = index;
            return true;
        }
        choices += length + (choices[length] == '|');
    }
    return false;
}

static void read_texts(struct reader *reader, const struct config_field *field, const json_t *value, void *to)
{
    size_t       count = json_array_size(value);
    const char **texts = config_alloc(reader, count, sizeof *texts);
    bool         fine = json_is_array(value);
    for (size_t i = 0; i < count; i++) {
        texts[i] = json_string_value(json_array_get(value, i));
        fine = fine && texts[i] != NULL && *texts[i] != '\0';
    }
    if (!fine) {
        config_error(reader, field->name, "must be an array of strings");
        return;
    }
    memcpy(to, &texts, sizeof texts);
    memcpy((char *)to + sizeof texts, &count, sizeof count);
}

static void read_count(struct reader *reader, const struct config_field *field, const json_t *value, void *to)
{
    int64_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < field->least || number > field->most) {
        config_error(reader, field->name, "must be a whole number from %" PRId64 " to %" PRId64, field->least,
                     field->most);
        return;
    }
    uint32_t count = (uint32_t)number;
    memcpy(to, &count, sizeof count);
}

static void read_duration(struct reader *reader, const struct config_field *field, const json_t *value,
                          void *to)
{
    int64_t ns;
    if (!json_is_string(value) || !config_duration(json_string_value(value), &ns))
        config_error(reader, field->name, "must be a duration, as \"500ms\", \"25s\", \"1h30m\" or \"30d\"");
    else if (ns < field->least || ns > field->most)
        config_error(reader, field->name, "must be from %" PRId64 " ms to %" PRId64 " s",
                     field->least / NS_PER_MS, field->most / NS_PER_S);
    else
        memcpy(to, &ns, sizeof ns);
}

static void read_field(struct reader *reader, const struct config_field *field, const json_t *value,
                       void *base)
{
    void       *to = (char *)base + field->offset;
    const char *text = json_string_value(value);
    int         choice;
    bool        flag = json_is_true(value);
    switch (field->kind) {
    case FIELD_TEXT:
        if (text == NULL || *text == '\0')
            config_error(reader, field->name, "must be a string that is not empty");
        else
            memcpy(to, &text, sizeof text);
        break;
    case FIELD_DURATION:
        read_duration(reader, field, value, to);
        break;
    case FIELD_BOOL:
        if (!json_is_boolean(value))
            config_error(reader, field->name, "must be true or false");
        else
            memcpy(to, &flag, sizeof flag);
        break;
    case FIELD_COUNT:
        read_count(reader, field, value, to);
        break;
    case FIELD_CHOICE:
        if (text == NULL || !read_choice(field->choices, text, &choice))
            config_error(reader, field->name, "must be one of %s", field->choices);
        else
            memcpy(to, &choice, sizeof choice);
        break;
    case FIELD_TEXTS:
        read_texts(reader, field, value, to);
        break;
    default: /* by hand */
        break;
    }
}

static void list_known(const struct config_table *table, struct buffer *to)
{
    for (size_t i = 0; i < table->count; i++)
        buffer_printf(to, "%s%s", to->size == 0 ? "" : ", ", table->fields[i].name);
    for (size_t i = 0; i < ARRAY_COUNT(table->also) && table->also[i] != NULL; i++)
        list_known(table->also[i], to); /* these have none besides */
}

bool config_read_fields(struct reader *reader, const json_t *object, const struct config_table *table,
                        void *base)
{
    const char *name;
    json_t     *value;
    if (!json_is_object(object)) {
        config_error(reader, NULL, "must be an object");
        return false;
    }
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct config_field *field = config_field_named(table, name);
        if (field != NULL && !field->by_hand)
            read_field(reader, field, value, base);
        if (field != NULL)
            continue;
        CLEANUP(buffer_release) struct buffer known = { 0 };
        list_known(table, &known);
        config_error(reader, name, "no such field; there are %.*s", BYTES_FMT(buffer_bytes(&known)));
    }
    for (size_t i = 0; i < table->count; i++)
        if (table->fields[i].needed && json_object_get(object, table->fields[i].name) == NULL)
            config_error(reader, NULL, "\"%s\" is missing", table->fields[i].name);
    return true;
}

void config_set_defaults(struct reader *reader, const struct config_table *table, void *base)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct config_field *field = &table->fields[i];
        if (field->fallback == NULL || field->by_hand)
            continue;
        JSON_CLEANUP json_t *value = field->kind == FIELD_BOOL
                                         ? json_boolean(strcmp(field->fallback, "true") == 0)
                                     : field->kind == FIELD_COUNT ? json_integer(atoll(field->fallback))
                                                                  : json_string(field->fallback);
        if (field->kind == FIELD_TEXT) /* the table's text lives for ever */
            memcpy((char *)base + field->offset, &field->fallback, sizeof field->fallback);
        else
            read_field(reader, field, value, base);
    }
    for (size_t i = 0; i < ARRAY_COUNT(table->also) && table->also[i] != NULL; i++)
        config_set_defaults(reader, table->also[i], base); /* these have none besides */
}

bool config_is_name(const char *name, size_t size_max, bool tool)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!fine && !(tool && ((c >= 'A' && c <= 'Z') || c == '.')))
            return false;
    }
    return size > 0 && size <= size_max;
}

uint64_t config_hash(const json_t *value)
{
    CLEANUP(buffer_release) struct buffer text = { 0 };
    return value == NULL || !json_canonical(value, &text) ? 0 : hash_stable(buffer_bytes(&text));
}

/* --- files beside the document --- */

static uint64_t combine(uint64_t hash, uint64_t with)
{
    uint64_t both[2] = { hash, with };
    return hash_stable(bytes_of(both, sizeof both));
}

bool config_read_whole(const char *path, size_t size_max, struct arena *arena, struct bytes *ret_text,
                       struct error *error)
{
    int         file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    if (file < 0)
        return error_set(error, ST_NOT_FOUND, "%s", strerror(errno)), false;
    bool fine = fstat(file, &about) == 0 && S_ISREG(about.st_mode);
    if (!fine || (size_t)about.st_size > size_max) {
        close(file);
        return error_set(error, ST_INVALID_ARGUMENT,
                         fine ? "more than %zu bytes" : "not a file (%zu bytes may be)", size_max),
               false;
    }
    uint8_t *base = arena_must(arena_alloc(arena, (size_t)about.st_size + 1));
    size_t   size = 0;
    for (ssize_t got;
         size < (size_t)about.st_size && (got = read(file, base + size, (size_t)about.st_size - size)) > 0;)
        size += (size_t)got;
    close(file);
    *ret_text = bytes_of(base, size);
    return true;
}

bool config_file(struct reader *reader, const char *name, size_t size_max, struct config_text *ret_text)
{
    struct config_report *report = reader->report;
    const char           *slash = strrchr(reader->source->file, '/');
    struct error          error;
    if (reader->source->toolset != NULL) {
        config_error(reader, NULL, "a document of the registry names no files: write it here");
        return false;
    }
    if (report->file_count == CONFIG_FILES_MAX) {
        config_error(reader, NULL, "more than %d files", CONFIG_FILES_MAX);
        return false;
    }
    int         base = name[0] == '/' || slash == NULL ? 0 : (int)(slash - reader->source->file) + 1;
    const char *path =
        (const char *)arena_printf(&report->arena, "%.*s%s%c", base, reader->source->file, name, 0).base;
    report->files[report->file_count++] = path;
    *ret_text = (struct config_text){ .file = path };
    if (!config_read_whole(path, size_max, &reader->catalog->private->arena, &ret_text->text, &error)) {
        config_error(reader, NULL, "%s: %s", path, error.message);
        return false;
    }
    reader->catalog->private->texts_hash = combine(reader->catalog->private->texts_hash,
                                                   hash_stable(ret_text->text));
    return true;
}

/* --- toolsets and the document --- */

static void read_toolset(struct reader *reader, const char *name, const json_t *object,
                         const struct tool *defaults)
{
    struct catalog *catalog = reader->catalog;
    struct toolset *toolset = config_alloc(reader, 1, sizeof *toolset);
    struct tool     own_defaults = *defaults;
    if (!config_is_name(name, 64, false))
        config_error(reader, NULL, "a toolset's name is 1 to 64 of a-z 0-9 _ -");
    if (catalog_toolset(catalog, bytes_of_text(name)) != NULL) {
        config_find(reader, CONFIG_WARNING, NULL, "there is a toolset \"%s\" already: this one is left out",
                    name);
        return;
    }
    config_set_defaults(reader, &table_toolset, toolset);
    toolset->name = config_text(reader, "%.64s", name);
    toolset->from_registry = reader->source->toolset != NULL;
    toolset->version = reader->source->version;
    if (!config_read_fields(reader, object, &table_toolset, toolset))
        return;
    const json_t *member = config_member(reader, object, &table_toolset, "task_queue");
    if (member != NULL)
        own_defaults.task_queue = json_string_value(member);
    member = config_member(reader, object, &table_toolset, "defaults");
    if (member != NULL) {
        size_t before = config_enter(reader, "defaults");
        (void)config_read_fields(reader, member, &table_defaults, &own_defaults);
        config_leave(reader, before);
    }
    size_t before = config_enter(reader, "tools");
    config_read_tools(reader, config_member(reader, object, &table_toolset, "tools"), toolset, &own_defaults);
    config_leave(reader, before);
    before = config_enter(reader, "prompts");
    config_read_prompts(reader, config_member(reader, object, &table_toolset, "prompts"), toolset);
    config_leave(reader, before);
    before = config_enter(reader, "resources");
    config_read_resources(reader, config_member(reader, object, &table_toolset, "resources"), toolset);
    config_leave(reader, before);
    before = config_enter(reader, "tools");
    config_add_tool_resources(reader, toolset);
    config_leave(reader, before);
    for (size_t i = 0; i < toolset->tool_count;
         i++) { /* a version says nothing of the name: it is not part of it */
        toolset->tools_hash = combine(toolset->tools_hash,
                                      hash_stable(bytes_of_text(toolset->tools[i].name)));
        toolset->tools_hash = combine(toolset->tools_hash,
                                      hash_stable(bytes_of_text(toolset->tools[i].version)));
    }
    toolset->prompts_hash = config_hash(json_object_get(object, "prompts"));
    toolset->resources_hash = combine(toolset->resources_hash,
                                      config_hash(json_object_get(object, "resources")));
    catalog->toolsets[catalog->toolset_count++] = toolset;
}

static void check_auth(struct reader *reader, const struct auth_options *auth)
{
    if (auth->mode == AUTH_TOKENS && auth->tokens_file == NULL)
        config_error(reader, "auth", "\"tokens_file\" is missing, which mode tokens needs");
    if (auth->mode == AUTH_JWT && (auth->issuer == NULL || auth->audience == NULL || auth->jwks == NULL))
        config_error(reader, "auth", "mode jwt needs \"issuer\", \"audience\" and \"jwks\"");
}

static void read_document(struct reader *reader, const json_t *document, struct tool *defaults)
{
    struct catalog *catalog = reader->catalog;
    const char     *name;
    json_t         *member, *toolset;
    char            host[256];
    uint16_t        port;
    if (!config_read_fields(reader, document, &table_document, catalog))
        return;
    for (size_t i = 0; i < catalog->origin_count; i++)
        if (strncmp(catalog->origins[i], "http://", 7) != 0 &&
            strncmp(catalog->origins[i], "https://", 8) != 0)
            config_error(reader, "origins", "%.100s: must begin with http:// or https://",
                         catalog->origins[i]);
    if ((member = config_member(reader, document, &table_document, "auth")) != NULL) {
        size_t before = config_enter(reader, "auth");
        (void)config_read_fields(reader, member, &table_auth, &catalog->auth);
        config_leave(reader, before);
    }
    check_auth(reader, &catalog->auth);
    if ((member = config_member(reader, document, &table_document, "codec")) != NULL) {
        size_t before = config_enter(reader, "codec");
        (void)config_read_fields(reader, member, &table_codec, &catalog->codec);
        if (catalog->codec.endpoint != NULL && strncmp(catalog->codec.endpoint, "http://", 7) != 0 &&
            strncmp(catalog->codec.endpoint, "https://", 8) != 0)
            config_error(reader, "endpoint", "must begin with http:// or https://");
        config_leave(reader, before);
    }
    if (catalog->listen != NULL && !address_parse(catalog->listen, host, sizeof host, &port))
        config_error(reader, "listen", "must be HOST:PORT");
    if ((member = config_member(reader, document, &table_document, "defaults")) != NULL) {
        size_t before = config_enter(reader, "defaults");
        (void)config_read_fields(reader, member, &table_defaults, defaults);
        config_leave(reader, before);
    }
    size_t before = config_enter(reader, "toolsets");
    member = config_member(reader, document, &table_document, "toolsets");
    if (json_object_size(member) > CONFIG_TOOLSETS_MAX) {
        config_error(reader, NULL, "more than %d toolsets", CONFIG_TOOLSETS_MAX);
        member = NULL;
    }
    json_object_foreach(member, name, toolset)
    {
        size_t inner = config_enter(reader, name);
        read_toolset(reader, name, toolset, defaults);
        config_leave(reader, inner);
    }
    config_leave(reader, before);
}

static void read_source(struct reader *reader, struct tool *defaults)
{
    const struct config_source *source = reader->source;
    struct json_place           where;
    struct error                error;
    json_t                     *document = NULL;
    unsigned                    flags = source->toolset == NULL ? JSON_WITH_COMMENTS : 0;
    reader->text = (struct config_text){ source->file, source->text, source->toolset == NULL };
    buffer_clear(&reader->pointer);
    reader->catalog->private->texts_hash = combine(reader->catalog->private->texts_hash,
                                                   hash_stable(source->text));
    if (json_read(source->text, CONFIG_SIZE_MAX, flags, &document, &where, &error) != ST_OK) {
        size_t index = reader->report->count;
        config_error(reader, NULL, "%s", error.message);
        if (index < reader->report->count)
            reader->report->findings[index].place = where;
        return;
    }
    (void)config_own(reader, document);
    if (source->toolset == NULL)
        read_document(reader, document, defaults);
    else if (reader->catalog->toolset_count == CONFIG_TOOLSETS_MAX)
        config_error(reader, NULL, "more than %d toolsets", CONFIG_TOOLSETS_MAX);
    else
        read_toolset(reader, source->toolset, document, defaults);
}

/* `given` (may be NULL) are the defaults of a document that was read before: it must outlive the catalog. */
static enum status build(const struct config_source *sources, size_t count, const struct tool *given,
                         struct catalog **ret_catalog, struct config_report *report)
{
    struct catalog *catalog = xcalloc(1, sizeof *catalog);
    struct reader   reader = { .catalog = catalog, .report = report };
    struct tool     defaults = { 0 };
    catalog->references = 1;
    catalog->private = xcalloc(1, sizeof *catalog->private);
    arena_init(&catalog->private->arena, SIZE_MAX);
    catalog->toolsets = xcalloc(CONFIG_TOOLSETS_MAX, sizeof(struct toolset *));
    config_set_defaults(&reader, &table_document, catalog);
    config_set_defaults(&reader, &table_auth, &catalog->auth);
    config_set_defaults(&reader, &table_codec, &catalog->codec);
    config_set_defaults(&reader, &table_defaults, &defaults);
    config_set_defaults(&reader, &table_query, &defaults);
    config_set_defaults(&reader, &table_tool, &defaults);
    if (given != NULL)
        defaults = *given;
    for (size_t i = 0; i < count; i++) {
        reader.source = &sources[i];
        read_source(&reader, &defaults);
    }
    buffer_release(&reader.pointer);
    if (report->error_count > 0) {
        catalog_unref(catalog);
        return ST_INVALID_ARGUMENT;
    }
    catalog->private->defaults = defaults;
    *ret_catalog = catalog;
    return ST_OK;
}

enum status config_build(const struct config_source *sources, size_t count, struct catalog **ret_catalog,
                         struct config_report *report)
{
    return build(sources, count, NULL, ret_catalog, report);
}

/* All errors as one line; the rest as the number of them, when there is no room. */
static enum status refuse(const struct config_report *report, struct error *error)
{
    CLEANUP(buffer_release) struct buffer line = { 0 };
    size_t                                left = report->error_count;
    for (size_t i = 0; i < report->count; i++) {
        size_t before = line.size;
        if (report->findings[i].kind != CONFIG_ERROR)
            continue;
        if (before != 0)
            buffer_append_text(&line, "; ");
        config_finding_print(&report->findings[i], &line);
        if (before != 0 && line.size > ERROR_MESSAGE_SIZE_MAX - 40) {
            line.size = before;
            break;
        }
        left--;
    }
    if (left != 0)
        buffer_printf(&line, "; and %zu more", left);
    return error_set(error, ST_INVALID_ARGUMENT, "%.*s", BYTES_FMT(buffer_bytes(&line)));
}

enum status config_check_toolset(const struct catalog *base, struct bytes name, struct bytes document,
                                 struct buffer *warnings, struct error *error)
{
    const struct toolset *taken = base == NULL ? NULL : catalog_toolset(base, name);
    struct config_report  report;
    struct catalog       *catalog = NULL;
    if (taken != NULL && !taken->from_registry)
        return error_set(error, ST_FAILED_PRECONDITION,
                         "the server's own file declares the toolset \"%.*s\", and that one counts",
                         BYTES_FMT(name));
    config_report_init(&report);
    const char          *text = report_text(&report, name);
    struct config_source source = { .file = text, .text = document, .toolset = text };
    enum status status = build(&source, 1, base == NULL ? NULL : &base->private->defaults, &catalog, &report);
    if (status != ST_OK)
        status = refuse(&report, error);
    for (size_t i = 0; i < report.count && status == ST_OK; i++) {
        config_finding_print(&report.findings[i], warnings);
        buffer_append_byte(warnings, '\n');
    }
    catalog_unref(catalog);
    config_report_release(&report);
    return status;
}

struct catalog *catalog_ref(struct catalog *catalog)
{
    __atomic_add_fetch(&catalog->references, 1, __ATOMIC_RELAXED);
    return catalog;
}

void catalog_unref(struct catalog *catalog)
{
    if (catalog == NULL || __atomic_sub_fetch(&catalog->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (struct owned *owned = catalog->private->owned; owned != NULL; owned = owned->next) {
        schema_free(owned->schema);
        template_free(owned->template);
        json_decref(owned->json);
    }
    arena_release(&catalog->private->arena);
    free(catalog->private);
    free(catalog->toolsets);
    free(catalog);
}

const struct toolset *catalog_toolset(const struct catalog *catalog, struct bytes name)
{
    for (size_t i = 0; i < catalog->toolset_count; i++)
        if (bytes_equal_text(name, catalog->toolsets[i]->name))
            return catalog->toolsets[i];
    return NULL;
}

const struct tool *toolset_tool(const struct toolset *toolset, struct bytes name)
{
    for (size_t i = 0; i < toolset->tool_count; i++)
        if (bytes_equal_text(name, toolset->tools[i].name))
            return &toolset->tools[i];
    return NULL;
}

const struct prompt *toolset_prompt(const struct toolset *toolset, struct bytes name)
{
    for (size_t i = 0; i < toolset->prompt_count; i++)
        if (bytes_equal_text(name, toolset->prompts[i].name))
            return &toolset->prompts[i];
    return NULL;
}
