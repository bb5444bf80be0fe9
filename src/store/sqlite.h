/* sqlite.h: the store in one SQLite file, readable with the sqlite3 shell while the server runs.
 *
 * Owns:    FILE and, beside it, FILE-wal, FILE-shm (SQLite's own), FILE-lock (held as long as the store is open: a second
 *          server is refused) and FILE-ballast (space that is given up when the disk is full, so that work can be finished).
 * Thread:  one writer, which merges what all lanes have submitted into one transaction with one flush; two pools of
 *          readers, one for loads and pages of rows, one for lists and counts; one that checkpoints.
 * Durable: WAL with synchronous=FULL. A failed flush, an I/O error or a write by someone else to the file is answered
 *          STORE_UNKNOWN, and so is everything after it: the process is to exit, and what is on disk is the truth.
 * Limits:  requests that wait for readers (past it: RESOURCE_EXHAUSTED), the size of the write-ahead log (past it the writer
 *          waits for readers to end), the time to wait for someone else's lock (past it: STORE_ABORTED).
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H
#include "store/store.h"

struct store_sqlite_options {
    const char *path;
    int         load_threads, list_threads; /* 0: the default */
    int         busy_ms;                    /* how long someone else's lock is waited for; 0: the default */
    int64_t     checkpoint_size; /* of the log from which on it is copied into the file; 0: the default */
    int64_t     log_size_max;    /* past which the writer waits for readers; 0: the default */
    int64_t     list_slice_ns;   /* after which a list goes on in chunks; 0: the default; negative: at once */
    int64_t     list_chunk_rows; /* of the index that it goes along; 0: the default */
};
enum status store_sqlite_open(const struct store_sqlite_options *options, struct store **ret_store,
                              struct error *error) MUST_USE;

/* --- A look at a file that somebody else may own ---
 *
 * Nothing is ever written to it, so a server may serve it meanwhile. What is read is the file of one moment, until it is
 * renewed; as long as that lasts the write-ahead log cannot begin again, so it grows. One thread; reads are answered at once.
 * A store of an older schema is refused (FAILED_PRECONDITION): opening it as a store brings it up to date. */
enum status store_sqlite_view(const char *path, struct store **ret_store, struct error *error) MUST_USE;
/* From here on: as it is now. A failure is the next read's. */
void store_sqlite_view_renew(struct store *view);
/* What SQLite itself, and the shape of the tables, tell about the file: calls `report` for everything that is wrong. */
enum status store_sqlite_view_inspect(struct store *view, void (*report)(void *context, const char *what),
                                      void *context, struct error *error) MUST_USE;

/* --- A file in the making (draft.c) ---
 *
 * It is TARGET.partial until it is finished, and then TARGET, at once and durably; the file that was there is gone then. Who
 * begins with a target that exists (`force`), or makes a store that a server is to open, has the lock of the target until the
 * draft is freed: so no server runs on it. Of several that write one draft all but the first are refused. */
enum store_draft_kind {
    STORE_DRAFT_BACKUP, /* a plain file */
    STORE_DRAFT_STORE,
};
struct store_copy_options {
    int64_t rate;                                                 /* bytes a second; 0: as fast as it goes */
    void (*progress)(void *context, int64_t done, int64_t total); /* bytes; NULL: nobody looks */
    void *context;
};
struct store_draft;
enum status store_draft_begin(const char *target, enum store_draft_kind kind, bool force,
                              struct store_draft **ret_draft, struct error *error) MUST_USE;
const char *store_draft_path(const struct store_draft *draft);
/* Fills it with one moment of a file, also one that a server is serving: the server's log grows meanwhile. */
enum status store_draft_copy(struct store_draft *draft, const char *from,
                             const struct store_copy_options *options, struct error *error) MUST_USE;
/* Fills it with the rows of the target, without the space that deleted ones have left. */
enum status store_draft_compact(struct store_draft *draft, struct error *error) MUST_USE;
/* Brings its schema up to this release's. */
enum status store_draft_migrate(struct store_draft *draft, struct error *error) MUST_USE;
enum status store_draft_finish(struct store_draft *draft, struct error *error) MUST_USE;
/* Without having been finished it is removed. NULL is fine. */
void store_draft_free(struct store_draft *draft);
#endif
