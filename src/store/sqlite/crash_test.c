/* crash_test.c: power cuts and failing disks, under the real store.
 *
 * A file system of our own sits between SQLite and the real one. It knows which writes were not flushed yet. Before every
 * write and flush it asks what would be on the disk if the power went off now: all, none or some sectors of what was not
 * flushed; and opens that, with the real SQLite, to see that everything that was answered durable is there, and nothing by
 * halves. In the second half it lets each write and flush fail in turn. */
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testing.h"
#include "store/contract/fixture.h"
#include "store/sqlite.h"

#define SECTOR         512
#define BATCH_ROWS     3 /* transitions in each batch: found all or none */
#define IMAGE_SIZE_MAX (16 << 20)

/* --- What is on the disk --- */

struct pending {
    int64_t  offset;
    size_t   size;
    uint8_t *data; /* NULL: the file was cut to `offset` */
};
struct image {
    const char     *suffix;
    uint8_t        *flushed;
    int64_t         size;
    struct pending *pending;
    size_t          pending_count, pending_capacity;
};
struct disk {
    pthread_mutex_t lock;
    struct image    images[2]; /* the file and its log */
    struct random   random;
    bool            cuts;    /* try a power cut before each operation */
    int64_t         fail_at; /* this operation fails; 0: none */
    int64_t         operations, failed_at, flushes_after_failure;
    int64_t         images_tried, images_wrong;
    _Atomic int64_t submitted, durable; /* batches */
};
static struct disk  disk = { .lock = PTHREAD_MUTEX_INITIALIZER,
                             .images = { { .suffix = "store.db" }, { .suffix = "store.db-wal" } } };
static char         directory[64], store_path[96], crash_path[96];
static sqlite3_vfs *real_vfs;

static void image_apply(uint8_t *to, int64_t *size, const struct pending *pending, size_t from, size_t count)
{
    if (pending->data == NULL) {
        *size = MIN(*size, pending->offset);
        return;
    }
    int64_t begin = pending->offset + (int64_t)from, end = begin + (int64_t)count;
    assert(end <= IMAGE_SIZE_MAX);
    if (begin > *size)
        memset(to + *size, 0, (size_t)(begin - *size));
    memcpy(to + begin, pending->data + from, count);
    *size = MAX(*size, end);
}

static void image_flush(struct image *image)
{
    for (size_t i = 0; i < image->pending_count; i++) {
        image_apply(image->flushed, &image->size, &image->pending[i], 0, image->pending[i].size);
        free(image->pending[i].data);
    }
    image->pending_count = 0;
}

static void image_note(struct image *image, int64_t offset, const void *data, size_t size)
{
    if (image->pending_count == image->pending_capacity) {
        image->pending_capacity = image->pending_capacity == 0 ? 64 : image->pending_capacity * 2;
        image->pending = xrealloc(image->pending, image->pending_capacity * sizeof *image->pending);
    }
    struct pending *pending = &image->pending[image->pending_count++];
    *pending = (struct pending){ .offset = offset, .size = size };
    if (data != NULL)
        pending->data = memcpy(xmalloc(size), data, size);
}

static void disk_forget(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(disk.images); i++) {
        struct image *image = &disk.images[i];
        if (image->flushed == NULL)
            image->flushed = xcalloc(1, IMAGE_SIZE_MAX);
        image_flush(image);
        image->size = 0;
    }
    disk.cuts = false;
    disk.fail_at = disk.operations = disk.failed_at = disk.flushes_after_failure = 0;
    disk.images_tried = disk.images_wrong = 0;
    disk.submitted = disk.durable = 0;
}

/* --- A power cut --- */

enum survival { NOTHING, EVERYTHING, SOME_SECTORS, SURVIVAL_COUNT };

static void write_image(const struct image *image, const char *path, enum survival survival)
{
    static uint8_t bytes[IMAGE_SIZE_MAX]; /* under the disk's lock */
    int64_t        size = image->size;
    memcpy(bytes, image->flushed, (size_t)size);
    for (size_t i = 0; i < image->pending_count && survival != NOTHING; i++) {
        const struct pending *pending = &image->pending[i];
        if (survival == EVERYTHING || pending->data == NULL) {
            image_apply(bytes, &size, pending, 0, pending->size);
            continue;
        }
        for (size_t at = 0; at < pending->size; at += SECTOR) {
            if (random_below(&disk.random, 2) == 0)
                image_apply(bytes, &size, pending, at, MIN(pending->size - at, (size_t)SECTOR));
        }
    }
    int file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (file < 0 || write(file, bytes, (size_t)size) != size)
        panic("cannot write %s", path);
    close(file);
}

static int64_t ask(sqlite3 *handle, const char *sql)
{
    sqlite3_stmt *statement;
    int64_t       answer = -1;
    if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) != SQLITE_OK)
        return -1;
    if (sqlite3_step(statement) == SQLITE_ROW)
        answer = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return answer;
}

/* Whether the file at `path` has what was durable, and no part of a batch. */
static bool is_right(const char *path, const char *vfs, int64_t durable, int64_t submitted)
{
    sqlite3 *handle;
    if (sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, vfs) != SQLITE_OK)
        return false;
    /* It is thrown away: no flush, no copying of the log. */
    sqlite3_exec(handle, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    int64_t rows = ask(handle, "SELECT count(*) FROM transition_position");
    bool    right = rows == -1 && durable == 0; /* cut before there was a schema */
    if (rows >= 0) {
        int64_t whole = ask(handle,
                            "SELECT count(*) FROM transition_position p JOIN transition_log l "
                            "ON l.sequence = p.sequence AND l.branch = p.branch AND l.number = p.number");
        int64_t last = ask(handle, "SELECT coalesce(max(number), 0) FROM transition_position");
        int64_t checked = ask(handle,
                              "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'");
        right = rows % BATCH_ROWS == 0 && rows == whole && rows == last && checked == 1 &&
                rows / BATCH_ROWS >= durable && rows / BATCH_ROWS <= submitted;
        if (!right)
            print_error("rows %" PRId64 ", whole %" PRId64 ", last %" PRId64 ", checked %" PRId64
                        "; durable %" PRId64 ", submitted %" PRId64 "\n",
                        rows, whole, last, checked, durable, submitted);
    }
    sqlite3_close(handle);
    return right;
}

static void remove_store(const char *path)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", "-lock", "-ballast" };
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        (void)unlink(name);
    }
}

static void cut_power(void)
{
    int64_t durable = disk.durable, submitted = disk.submitted;
    char    log_path[128];
    snprintf(log_path, sizeof log_path, "%s-wal", crash_path);
    for (enum survival survival = NOTHING; survival < SURVIVAL_COUNT; survival++) {
        remove_store(crash_path);
        write_image(&disk.images[0], crash_path, survival);
        write_image(&disk.images[1], log_path, survival);
        disk.images_tried++;
        disk.images_wrong += !is_right(crash_path, real_vfs->zName, durable, submitted);
    }
    remove_store(crash_path);
}

/* --- The file system --- */

struct file {
    sqlite3_file  base;
    struct image *image; /* NULL: not one of ours to watch */
    _Alignas(8) uint8_t real[];
};

static sqlite3_file *real_of(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((struct file *)(void *)file)->real;
}

static struct image *image_of(sqlite3_file *file)
{
    return ((struct file *)(void *)file)->image;
}

/* Before each operation that changes the disk; false: it is to fail. */
static bool may_go_on(bool flush)
{
    disk.operations++;
    if (disk.cuts)
        cut_power();
    if (disk.failed_at != 0 && flush)
        disk.flushes_after_failure++;
    if (disk.operations != disk.fail_at)
        return true;
    disk.failed_at = disk.operations;
    return false;
}

static int shim_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}
static int shim_read(sqlite3_file *file, void *to, int size, sqlite3_int64 offset)
{
    return real_of(file)->pMethods->xRead(real_of(file), to, size, offset);
}
static int shim_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 offset)
{
    int code = SQLITE_IOERR_WRITE;
    pthread_mutex_lock(&disk.lock);
    if (image_of(file) == NULL || may_go_on(false)) {
        code = real_of(file)->pMethods->xWrite(real_of(file), from, size, offset);
        if (image_of(file) != NULL)
            image_note(image_of(file), offset, from, (size_t)size);
    }
    pthread_mutex_unlock(&disk.lock);
    return code;
}
static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int code = SQLITE_IOERR_TRUNCATE;
    pthread_mutex_lock(&disk.lock);
    if (image_of(file) == NULL || may_go_on(false)) {
        code = real_of(file)->pMethods->xTruncate(real_of(file), size);
        if (image_of(file) != NULL)
            image_note(image_of(file), size, NULL, 0);
    }
    pthread_mutex_unlock(&disk.lock);
    return code;
}
static int shim_sync(sqlite3_file *file, int flags UNUSED)
{
    int code = SQLITE_IOERR_FSYNC;
    pthread_mutex_lock(&disk.lock);
    if (image_of(file) == NULL || may_go_on(true)) {
        code = SQLITE_OK; /* the real disk need not be waited for */
        if (image_of(file) != NULL)
            image_flush(image_of(file));
    }
    pthread_mutex_unlock(&disk.lock);
    return code;
}
static int shim_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), ret_size);
}
static int shim_lock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xLock(real_of(file), lock);
}
static int shim_unlock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), lock);
}
static int shim_reserved(sqlite3_file *file, int *ret_reserved)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret_reserved);
}
static int shim_control(sqlite3_file *file, int operation, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}
static int shim_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}
static int shim_traits(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}
static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret_at)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, ret_at);
}
static int shim_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}
static void shim_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}
static int shim_shm_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static struct image *image_named(const char *name)
{
    for (size_t i = 0; name != NULL && i < ARRAY_COUNT(disk.images); i++) {
        size_t size = strlen(name), suffix = strlen(disk.images[i].suffix);
        if (size > suffix && strcmp(name + size - suffix, disk.images[i].suffix) == 0)
            return &disk.images[i];
    }
    return NULL;
}

static int shim_open(sqlite3_vfs *vfs UNUSED, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    static const sqlite3_io_methods methods = {
        .iVersion = 2,
        .xClose = shim_close,
        .xRead = shim_read,
        .xWrite = shim_write,
        .xTruncate = shim_truncate,
        .xSync = shim_sync,
        .xFileSize = shim_size,
        .xLock = shim_lock,
        .xUnlock = shim_unlock,
        .xCheckReservedLock = shim_reserved,
        .xFileControl = shim_control,
        .xSectorSize = shim_sector,
        .xDeviceCharacteristics = shim_traits,
        .xShmMap = shim_shm_map,
        .xShmLock = shim_shm_lock,
        .xShmBarrier = shim_shm_barrier,
        .xShmUnmap = shim_shm_unmap,
    };
    struct file *opened = (struct file *)(void *)file;
    opened->image = image_named(name);
    int code = real_vfs->xOpen(real_vfs, name, real_of(file), flags, ret_flags);
    opened->base.pMethods = code == SQLITE_OK ? &methods : NULL;
    return code;
}

static int shim_delete(sqlite3_vfs *vfs UNUSED, const char *name, int sync_directory)
{
    struct image *image = image_named(name);
    if (image != NULL) {
        pthread_mutex_lock(&disk.lock);
        image_flush(image);
        image->size = 0;
        pthread_mutex_unlock(&disk.lock);
    }
    return real_vfs->xDelete(real_vfs, name, sync_directory);
}

static void remove_directory(void)
{
    remove_store(store_path);
    remove_store(crash_path);
    (void)rmdir(directory);
}

__attribute__((constructor)) static void install(void)
{
    static sqlite3_vfs shim;
    real_vfs = sqlite3_vfs_find("unix");
    shim = *real_vfs;
    shim.zName = "watched";
    shim.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    shim.xOpen = shim_open;
    shim.xDelete = shim_delete;
    sqlite3_vfs_register(&shim, 1);
    snprintf(directory, sizeof directory, "/tmp/perdure-crash-XXXXXX");
    if (mkdtemp(directory) == NULL)
        panic("cannot make %s", directory);
    snprintf(store_path, sizeof store_path, "%s/store.db", directory);
    snprintf(crash_path, sizeof crash_path, "%s/crash", directory);
    atexit(remove_directory);
}

/* --- Tests --- */

static struct store *open_store(int64_t checkpoint_size, struct error *error)
{
    struct store               *store;
    struct store_sqlite_options options = { .path = store_path, .checkpoint_size = checkpoint_size };
    return store_sqlite_open(&options, &store, error) == ST_OK ? store : NULL;
}

/* Commits batches until one is not durable. */
static enum store_outcome commit_batches(struct fixture *fixture, int count)
{
    struct operation   operation;
    enum store_outcome outcome = STORE_DURABLE;
    operation_init(&operation, fixture);
    for (int i = 0; i < count && outcome == STORE_DURABLE; i++) {
        static uint8_t events[900];
        int64_t        first = disk.submitted * BATCH_ROWS;
        operation_insert_run(&operation, 0, disk.submitted + 1, "workflow");
        for (int row = 1; row <= BATCH_ROWS; row++)
            operation_insert_transition(&operation, 0, 1, first + row, bytes_of(events, sizeof events),
                                        "delta");
        disk.submitted++;
        outcome = operation_commit(&operation);
        disk.durable += outcome == STORE_DURABLE;
        store_batch_clear(&operation.batch);
    }
    store_batch_release(&operation.batch);
    return outcome;
}

static const struct store_contract_subject watched = { .name = "watched" };

/* A lane without a store. */
static void lane_init(struct fixture *fixture)
{
    struct fixture none = { .subject = &watched };
    fixture_lane(fixture, &none);
}

TEST(a_power_cut_at_any_moment_loses_nothing_durable)
{
    struct error   error;
    struct fixture f;
    for (int round = 0; round < 2; round++) {
        remove_store(store_path);
        disk_forget();
        random_seed(&disk.random, 7 + (uint64_t)round);
        lane_init(&f);
        disk.cuts = true;
        /* In the second round the log is copied and begins again all the time. */
        f.store = open_store(round == 0 ? 0 : 20000, &error);
        assert_non_null(f.store);
        CHECK_EQ(commit_batches(&f, 97), STORE_DURABLE);
        store_close(f.store);
        f.store = open_store(0, &error); /* closing has copied and removed the log */
        assert_non_null(f.store);
        CHECK_EQ(commit_batches(&f, 3), STORE_DURABLE);
        store_close(f.store);
        disk.cuts = false;
        CHECK_INT(disk.images_wrong, 0);
        CHECK(disk.images_tried > 900);
        CHECK(is_right(store_path, real_vfs->zName, 100, 100));
        fixture_lane_release(&f);
    }
}

TEST(a_write_or_flush_that_fails_stops_the_store_and_is_not_tried_again)
{
    struct error   error;
    struct fixture f;
    int64_t        last = 1;
    for (int64_t fail_at = 1; fail_at <= last + 1; fail_at++) {
        remove_store(store_path);
        disk_forget();
        disk.fail_at = fail_at;
        lane_init(&f);
        f.store = open_store(0, &error);
        if (f.store != NULL) {
            enum store_outcome outcome = commit_batches(&f, 50);
            if (disk.failed_at != 0) {
                CHECK_EQ(outcome, STORE_UNKNOWN);
                CHECK_EQ(commit_batches(&f, 1), STORE_UNKNOWN);
                CHECK_EQ(store_probe(f.store, NULL), ST_UNAVAILABLE);
            } else {
                CHECK_EQ(outcome, STORE_DURABLE);
                disk.fail_at = 0;
            }
            last = MAX(last, disk.operations);
            bool failed = disk.failed_at != 0;
            store_close(f.store);
            CHECK(!failed || disk.flushes_after_failure == 0);
        } else {
            CHECK(disk.failed_at != 0);
            CHECK(error.message[0] != '\0');
            last = MAX(last, disk.operations);
        }
        disk.fail_at = 0;
        CHECK(is_right(store_path, real_vfs->zName, disk.durable, disk.submitted));
        f.store = open_store(0, &error); /* the next start recovers */
        assert_non_null(f.store);
        store_close(f.store);
        fixture_lane_release(&f);
    }
    CHECK(last > 100);
}
