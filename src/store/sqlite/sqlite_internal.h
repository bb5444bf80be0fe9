/* sqlite_internal.h: the parts of the SQLite store: connections, the writer, readers, the checkpointer. */
#ifndef STORE_SQLITE_SQLITE_INTERNAL_H
#define STORE_SQLITE_SQLITE_INTERNAL_H
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>

#include "base/buffer.h"
#include "store/sqlite.h"
#include "store/store_internal.h"

#define SQLITE_PAGE_SIZE 4096

/* --- Connections (connection.c): each is used by one thread only --- */

/* Statements that are kept prepared; lists make their own. */
enum sqlite_statement {
    SQL_BEGIN,
    SQL_BEGIN_READ,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVEPOINT,
    SQL_SAVEPOINT_RELEASE,
    SQL_SAVEPOINT_ROLLBACK,
    SQL_DATA_VERSION,
    SQL_META_PUT,
    SQL_RUN_INSERT,
    SQL_RUN_UPDATE,
    SQL_RUN_UPDATE_OPEN, /* of a run that stays open with its status: touches no index */
    SQL_RUN_SNAPSHOT,
    SQL_RUN_DELETE,
    SQL_RUN_ATTRIBUTES,
    SQL_ATTRIBUTES_DELETE,
    SQL_ATTRIBUTE_INSERT,
    SQL_ATTRIBUTE_NAME,
    SQL_ATTRIBUTE_NAME_INSERT,
    SQL_TRANSITION_INSERT,
    SQL_POSITION_INSERT,
    SQL_TRANSITIONS_DELETE,
    SQL_POSITIONS_DELETE,
    SQL_READY_INSERT,
    SQL_READY_DELETE,
    SQL_WAKEUP_SET,
    SQL_WAKEUP_DELETE,
    SQL_OUTBOX_INSERT,
    SQL_OUTBOX_DELETE,
    SQL_LINK_TAKE,
    SQL_ENTITY_PUT,
    SQL_ENTITY_DELETE,
    SQL_READ_CURRENT_RUN,
    SQL_READ_RUN,
    SQL_READ_ATTRIBUTES,
    SQL_READ_LISTED_RUN,
    SQL_READ_HISTORY,
    SQL_READ_HISTORY_BACKWARD,
    SQL_READ_NEWEST_TRANSITION,
    SQL_READ_FIRST_EVENT,
    SQL_READ_READY,
    SQL_READ_READY_HEAD_OF_KEYS,
    SQL_READ_READY_HEAD_OF_PRIORITIES,
    SQL_READ_READY_COUNTS,
    SQL_READ_READY_ROWS,
    SQL_READ_WAKEUPS,
    SQL_READ_WAKEUP,
    SQL_READ_BRANCHES,
    SQL_READ_IDENTITIES,
    SQL_READ_OUTBOX,
    SQL_READ_LINKS,
    SQL_READ_ENTITY,
    SQL_READ_ENTITIES,
    SQL_STATEMENT_COUNT,
};
struct sqlite_connection {
    sqlite3      *handle;
    const char   *path; /* borrowed from the store */
    sqlite3_stmt *statements[SQL_STATEMENT_COUNT];
    /* Readers: how long one query may take before it is done in chunks of so many rows, and until when the one under way
     * may; see lists.c. */
    int64_t slice_ns, chunk_rows, deadline_ns;
    bool    holds; /* a transaction over several reads, see view.c */
};
enum status sqlite_connection_open(struct sqlite_connection *connection, const char *path, int cache_kib,
                                   int busy_ms, struct error *error) MUST_USE;
/* Of a file that somebody else may own: nothing is ever written by it. */
enum status sqlite_connection_view(struct sqlite_connection *connection, const char *path,
                                   struct error *error) MUST_USE;
void        sqlite_connection_close(struct sqlite_connection *connection);
/* Prepares on first use; an SQLite result code. The statement is reset and has no bindings. */
int sqlite_statement(struct sqlite_connection *connection, enum sqlite_statement which,
                     sqlite3_stmt **ret_statement) MUST_USE;
/* The page cache of the connection is counted as this thread's. */
void sqlite_publish_cache(const struct sqlite_connection *connection);
/* Runs a statement without parameters or rows. */
int sqlite_run(struct sqlite_connection *connection, enum sqlite_statement which) MUST_USE;
/* Names the file, and what SQLite says about it. */
enum status sqlite_error(const struct sqlite_connection *connection, enum status status, const char *what,
                         struct error *error);
/* An unset value is stored as NULL; text that is never unset is bound as it is. */
struct sqlite_binder {
    sqlite3_stmt *statement;
    int           index, code; /* of the last one bound; the first error */
};
void sqlite_bind_number(struct sqlite_binder *binder, int64_t value);
void sqlite_bind_number_if(struct sqlite_binder *binder, bool set, int64_t value);
void sqlite_bind_text(struct sqlite_binder *binder, struct bytes text);
void sqlite_bind_text_if_set(struct sqlite_binder *binder, struct bytes text);
void sqlite_bind_blob(struct sqlite_binder *binder, struct bytes blob);
void sqlite_bind_blob_if_set(struct sqlite_binder *binder, struct bytes blob);
void sqlite_bind_uuid_if_set(struct sqlite_binder *binder, const struct uuid *uuid);

/* --- The file (file.c): its lock, its ballast, its schema --- */

struct sqlite_file {
    char *path, *lock_path, *ballast_path;
    int   lock;   /* the descriptor of FILE-lock */
    int   itself; /* and of the file, for another lock on it */
};
/* Takes the lock alone: of a file that is about to be put there. */
enum status sqlite_file_reserve(struct sqlite_file *file, const char *path, struct error *error) MUST_USE;
/* Takes the lock and makes the file, readable by its owner only. */
enum status sqlite_file_open(struct sqlite_file *file, const char *path, struct error *error) MUST_USE;
void        sqlite_file_close(struct sqlite_file *file);
/* Sets space aside, if there is as much again when `with_room`; ST_RESOURCE_EXHAUSTED when there is not. */
enum status sqlite_ballast_take(const struct sqlite_file *file, bool with_room, struct error *error);
void        sqlite_ballast_release(const struct sqlite_file *file);
/* What schema the file has; refuses those that sqlite_migrate refuses. */
enum status sqlite_schema_version(struct sqlite_connection *connection, int *ret_version,
                                  struct error *error) MUST_USE;
/* Brings the schema up to this release's; refuses a newer one and files that are not ours. */
enum status sqlite_migrate(struct sqlite_connection *connection, struct error *error) MUST_USE;

/* --- The log (log_file.c): once per process, before the first connection --- */

#define SQLITE_LOG_SYSTEM "perdure" /* the file system that connections are opened with */
void sqlite_log_system_register(void);

/* --- Writes (writes.c) --- */

/* Applies one write in the open transaction; an SQLite result code. */
int sqlite_write(struct sqlite_connection *connection, const struct store_write *write, int64_t *sequence,
                 struct error *error) MUST_USE;

/* --- Reads (reads.c, lists.c) --- */

void sqlite_read(struct sqlite_connection *connection, struct store_read *read);
void sqlite_read_list(struct sqlite_connection *connection, struct store_read *read);
/* The number by which rows name an attribute of runs of a kind; 0: none has it. */
int  sqlite_attribute_number(struct sqlite_connection *connection, int64_t namespace_number, int kind,
                             const struct store_attribute *attribute, int64_t *ret_number) MUST_USE;
void sqlite_read_count(struct sqlite_connection *connection, struct store_read *read);
/* Sets the read's status by an SQLite result code. */
void sqlite_read_failed(const struct sqlite_connection *connection, struct store_read *read, int code);
/* Ends the read's transaction and begins the next one. */
int sqlite_read_again(struct sqlite_connection *connection) MUST_USE;
/* From here on the connection's queries are interrupted after a slice, or only after what a whole read may take. */
void sqlite_read_slice(struct sqlite_connection *connection);
void sqlite_read_whole(struct sqlite_connection *connection);
/* The run at the row of a SQL_READ_RUN-like statement; slices are borrowed from it. False: the row is damaged. */
bool sqlite_decode_run(sqlite3_stmt *statement, struct store_run *ret_run);
void sqlite_damaged(const struct sqlite_connection *connection, struct store_read *read, const char *what,
                    int64_t number);

/* --- The writer (writer.c) --- */

struct sqlite_store;
/* Counters that several threads see; relaxed, for statistics only. */
struct sqlite_counters {
    _Atomic uint64_t commits, batches, writes, bytes, reads, aborts, refusals, checkpoints;
    _Atomic int64_t  commit_ns_total, commit_ns_max;
};
struct sqlite_writer {
    struct sqlite_store     *store;
    struct sqlite_connection connection;
    pthread_t                thread;
    struct mailbox           requests; /* batches, and probes */
    sem_t                    wake;
    atomic_bool              stopping;
    struct message          *pending, **pending_end; /* taken from the mailbox, oldest first */
    int64_t                  sequence;               /* of the last row of the log of transitions */
    int64_t                  data_version;
    bool                     failed; /* an outcome was unknown: nothing is written any more */
    struct error             failure;
};
/* The connection, with the schema up to date; then the thread; its end, when all that was submitted is done; and last of
 * all connections its own. */
enum status sqlite_writer_open(struct sqlite_writer *writer, struct sqlite_store *store,
                               struct error *error) MUST_USE;
void        sqlite_writer_start(struct sqlite_writer *writer);
void        sqlite_writer_stop(struct sqlite_writer *writer);
void        sqlite_writer_close(struct sqlite_writer *writer);
enum status sqlite_writer_probe(struct sqlite_writer *writer, struct error *error) MUST_USE;

/* --- Readers (readers.c) --- */

#define SQLITE_READERS_MAX 16
struct sqlite_reader {
    struct sqlite_connection connection;
    struct sqlite_readers   *readers;
    pthread_t                thread;
};
struct sqlite_readers {
    struct sqlite_store *store;
    struct sqlite_reader reader[SQLITE_READERS_MAX];
    int                  count;
    pthread_mutex_t      lock; /* guards what follows; a leaf: nothing else is locked while it is held */
    pthread_cond_t       wake;
    struct message      *first, **end;
    size_t               waiting, waiting_max;
    bool                 stopping;
};
enum status sqlite_readers_start(struct sqlite_readers *readers, struct sqlite_store *store, int count,
                                 size_t waiting_max, struct error *error) MUST_USE;
void        sqlite_readers_stop(struct sqlite_readers *readers);
void        sqlite_readers_post(struct sqlite_readers *readers, struct store_read *read);

/* --- The checkpointer (checkpoint.c) --- */

struct sqlite_checkpointer {
    struct sqlite_store     *store;
    struct sqlite_connection connection;
    pthread_t                thread;
    sem_t                    wake;
    pthread_mutex_t          copying; /* one copies at a time, or SQLite says it is busy; a leaf lock */
    atomic_bool              stopping;
    _Atomic int64_t          log_pages;   /* after the last commit */
    int64_t                  wake_pages;  /* the writer's: when to wake it next */
    int64_t                  limit_pages; /* the writer's: when to wait for readers next */
    atomic_bool              finish;      /* few pages remain: the writer is to copy the last ones */
    _Atomic int failed; /* an SQLite result code: a flush failed, nothing may be written any more */
};
enum status sqlite_checkpointer_start(struct sqlite_checkpointer *checkpointer, struct sqlite_store *store,
                                      struct error *error) MUST_USE;
void        sqlite_checkpointer_stop(struct sqlite_checkpointer *checkpointer);
/* Before anything is read: a process that was killed may have left a commit in the log that it had not flushed. Whoever is
 * shown it must find it after a power cut, too; and a log whose flush had failed is only in the kernel's cache. */
int sqlite_checkpoint_first(struct sqlite_connection *writer) MUST_USE;
/* On the writer's thread, between two transactions. An SQLite result code that is not OK means a failed flush. */
int sqlite_checkpoint_between(struct sqlite_checkpointer *checkpointer,
                              struct sqlite_connection   *writer) MUST_USE;
/* The writer's hook after each commit. */
int sqlite_checkpoint_hook(void *checkpointer, sqlite3 *handle, const char *database, int pages);

/* --- The whole --- */

struct sqlite_store {
    struct store                store;
    struct store_sqlite_options options;
    struct sqlite_file          file;
    struct sqlite_writer        writer;
    struct sqlite_readers       loads, lists;
    struct sqlite_checkpointer  checkpointer;
    struct sqlite_counters      counters;
};
#endif
