/* config_watch.c: the catalog in force, while its file and the registry change.
 *
 * Each second the file and those it names are looked at (inode, size, time of change); inotify would say less about files
 * that editors and mounts replace. What is built anew from the same texts changes nothing.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/log.h"
#include "io/loop.h"
#include "mcp/config_internal.h"

#define LOOK_NS NS_PER_S

/* What a file is recognized by; all zero when it is not there. */
struct stamp {
    dev_t           device;
    ino_t           inode;
    off_t           size;
    struct timespec changed;
};
struct watched_file {
    char        *path;
    struct stamp stamp;
};
struct document {
    char         *file, *toolset; /* the name in findings, and that of the toolset */
    struct buffer text;
    uint64_t      version;
    bool          bad; /* left out of the catalog in force */
};
struct config_watch {
    struct loop        *loop;
    struct loop_timer   timer;
    config_changed     *changed;
    void               *context;
    char               *path;                        /* NULL: only the registry speaks */
    struct buffer       text;                        /* of the file, as it was last good */
    struct watched_file files[CONFIG_FILES_MAX + 1]; /* the file itself first */
    size_t              file_count;
    struct document    *documents;
    size_t              document_count;
    struct catalog     *catalog;
    uint64_t            version;
};

static struct stamp stamp_of(const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return (struct stamp){ 0 };
    return (struct stamp){ about.st_dev, about.st_ino, about.st_size, about.st_mtim };
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* Whether one of the files is another than before; their stamps are taken again. */
static bool files_changed(struct config_watch *watch)
{
    bool changed = false;
    for (size_t i = 0; i < watch->file_count; i++) {
        struct stamp stamp = stamp_of(watch->files[i].path);
        changed = changed || !same_stamp(&stamp, &watch->files[i].stamp);
        watch->files[i].stamp = stamp;
    }
    return changed;
}

/* What the last reading looked for is watched from now on, whether the reading was good or not: a mistake may be in any of
 * these. Those that were watched already keep the stamp from before the reading, so that no change falls in between. */
static void watch_files(struct config_watch *watch, const struct config_report *report)
{
    struct watched_file *files = xcalloc(ARRAY_COUNT(watch->files), sizeof *files);
    size_t               count = watch->path != NULL, first = count;
    files[0] = watch->files[0];
    for (size_t i = 0; i < report->file_count; i++) {
        struct watched_file *file = &files[count++];
        file->path = strdup(report->files[i]);
        if (file->path == NULL)
            panic("out of memory");
        file->stamp = stamp_of(file->path);
        for (size_t k = first; k < watch->file_count; k++)
            if (strcmp(watch->files[k].path, file->path) == 0)
                file->stamp = watch->files[k].stamp;
    }
    for (size_t i = first; i < watch->file_count; i++)
        free(watch->files[i].path);
    memcpy(watch->files, files, count * sizeof *files);
    watch->file_count = count;
    free(files);
}

static void log_findings(const struct config_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        CLEANUP(buffer_release) struct buffer line = { 0 };
        config_finding_print(&report->findings[i], &line);
        buffer_append_byte(&line, 0);
        if (report->findings[i].kind == CONFIG_ERROR)
            log_error("mcp.config", "finding=%s", (const char *)line.base);
        else
            log_warn("mcp.config", "finding=%s", (const char *)line.base);
    }
    if (report->left_out > 0)
        log_warn("mcp.config", "findings_left_out=%zu", report->left_out);
}

/* From a text of the file and the documents that are not bad. */
static enum status build_once(struct config_watch *watch, struct bytes text, struct catalog **ret_catalog,
                              struct config_report *report)
{
    struct config_source *sources = xcalloc(watch->document_count + 1, sizeof *sources);
    size_t                count = 0;
    if (watch->path != NULL)
        sources[count++] = (struct config_source){ watch->path, text, NULL, 0 };
    for (size_t i = 0; i < watch->document_count; i++) {
        struct document *document = &watch->documents[i];
        if (!document->bad)
            sources[count++] = (struct config_source){ document->file, buffer_bytes(&document->text),
                                                       document->toolset, document->version };
    }
    enum status status = config_build(sources, count, ret_catalog, report);
    free(sources);
    return status;
}

/* Marks the documents that an error is in; false: none is, so the file is what is wrong. */
static bool mark_bad(struct config_watch *watch, const struct config_report *report)
{
    bool marked = false;
    for (size_t i = 0; i < report->count; i++)
        for (size_t k = 0; k < watch->document_count && report->findings[i].kind == CONFIG_ERROR; k++)
            if (!watch->documents[k].bad && strcmp(report->findings[i].file, watch->documents[k].file) == 0)
                marked = watch->documents[k].bad = true;
    return marked;
}

/* The catalog, without the documents that have errors; each is named once. */
static enum status build(struct config_watch *watch, struct bytes text, struct catalog **ret_catalog,
                         struct error *error)
{
    enum status status = ST_INVALID_ARGUMENT;
    for (size_t i = 0; i < watch->document_count; i++)
        watch->documents[i].bad = false;
    for (bool again = true; again;) {
        struct config_report report;
        config_report_init(&report);
        status = build_once(watch, text, ret_catalog, &report);
        log_findings(&report);
        watch_files(watch, &report);
        again = status != ST_OK && mark_bad(watch, &report);
        if (status != ST_OK && !again) {
            CLEANUP(buffer_release) struct buffer line = { 0 };
            for (size_t i = 0; i < report.count && line.size == 0; i++)
                if (report.findings[i].kind == CONFIG_ERROR)
                    config_finding_print(&report.findings[i], &line);
            (void)error_set(error, status, "%.*s%s", BYTES_FMT(buffer_bytes(&line)),
                            report.error_count > 1 ? " (and more, in the log)" : "");
        }
        config_report_release(&report);
    }
    return status;
}

static void put_in_force(struct config_watch *watch, struct catalog *catalog)
{
    struct catalog *before = watch->catalog;
    if (before != NULL && before->private->texts_hash == catalog->private->texts_hash) {
        catalog_unref(catalog);
        return;
    }
    catalog->version = ++watch->version;
    watch->catalog = catalog;
    watch->changed(watch->context, catalog);
    if (before != NULL)
        log_info("mcp.config.loaded", "version=%" PRIu64 " toolsets=%zu", catalog->version,
                 catalog->toolset_count);
    catalog_unref(before);
}

/* Reads the file and builds; nothing changes when that fails. */
static enum status reload(struct config_watch *watch, struct error *error)
{
    struct arena    arena;
    struct bytes    text = BYTES_EMPTY;
    struct catalog *catalog = NULL;
    struct error    reason;
    enum status     status = ST_OK;
    arena_init(&arena, SIZE_MAX);
    if (watch->path != NULL && !config_read_whole(watch->path, CONFIG_SIZE_MAX, &arena, &text, &reason))
        status = error_set(error, ST_INVALID_ARGUMENT, "%s: %s", watch->path, reason.message);
    else
        status = build(watch, text, &catalog, error);
    if (status == ST_OK) {
        buffer_clear(&watch->text);
        buffer_append(&watch->text, text);
        put_in_force(watch, catalog);
    }
    arena_release(&arena);
    return status;
}

void config_watch_reload(struct config_watch *watch)
{
    struct error error;
    (void)files_changed(watch);
    if (reload(watch, &error) != ST_OK)
        log_error("mcp.config.kept", "version=%" PRIu64 " reason=%s", watch->version, error.message);
}

static void look(struct loop_timer *timer)
{
    struct config_watch *watch = CONTAINER_OF(timer, struct config_watch, timer);
    if (files_changed(watch))
        config_watch_reload(watch);
    loop_timer_set(watch->loop, timer, loop_now(watch->loop) + LOOK_NS);
}

enum status config_watch_new(struct loop *loop, const char *path, config_changed *changed, void *context,
                             struct config_watch **ret_watch, struct error *error)
{
    struct config_watch *watch = xcalloc(1, sizeof *watch);
    watch->loop = loop;
    watch->changed = changed;
    watch->context = context;
    loop_timer_init(&watch->timer, look);
    if (path != NULL) {
        watch->path = strdup(path);
        watch->files[0].path = watch->path;
        if (watch->path == NULL)
            panic("out of memory");
        watch->file_count = 1;
        (void)files_changed(watch);
    }
    enum status status = reload(watch, error);
    if (status != ST_OK) {
        config_watch_free(watch);
        return status;
    }
    if (path != NULL)
        loop_timer_set(loop, &watch->timer, loop_now(loop) + LOOK_NS);
    *ret_watch = watch;
    return ST_OK;
}

static void release_documents(struct config_watch *watch)
{
    for (size_t i = 0; i < watch->document_count; i++) {
        free(watch->documents[i].file);
        free(watch->documents[i].toolset);
        buffer_release(&watch->documents[i].text);
    }
    free(watch->documents);
    watch->documents = NULL;
    watch->document_count = 0;
}

void config_watch_registry(struct config_watch *watch, const struct config_source *documents, size_t count)
{
    struct catalog *catalog = NULL;
    struct error    error;
    release_documents(watch);
    watch->documents = xcalloc(MAX(count, (size_t)1), sizeof *watch->documents);
    for (size_t i = 0; i < count; i++) {
        struct document *document = &watch->documents[watch->document_count++];
        assert(documents[i].toolset != NULL);
        document->file = strdup(documents[i].file);
        document->toolset = strdup(documents[i].toolset);
        if (document->file == NULL || document->toolset == NULL)
            panic("out of memory");
        buffer_append(&document->text, documents[i].text);
        document->version = documents[i].version;
    }
    if (build(watch, buffer_bytes(&watch->text), &catalog, &error) == ST_OK)
        put_in_force(watch, catalog);
    else
        log_error("mcp.config.kept", "version=%" PRIu64 " reason=%s", watch->version, error.message);
}

void config_watch_free(struct config_watch *watch)
{
    if (watch == NULL)
        return;
    loop_timer_clear(watch->loop, &watch->timer);
    release_documents(watch);
    for (size_t i = 0; i < watch->file_count; i++)
        free(watch->files[i].path);
    buffer_release(&watch->text);
    catalog_unref(watch->catalog);
    free(watch);
}

struct catalog *config_watch_catalog(const struct config_watch *watch)
{
    return watch->catalog;
}
