/* disk.h: what is on the disk, and what would be left of it if the power went now.
 *
 * Files have what the process sees, what has been flushed, and the changes in between, which a power cut may take or leave
 * one by one, sector by sector. Names are the same: a file that was made or removed is so for the process at once, and after
 * a power cut only if its directory was flushed. Nothing here reads or writes a real file; system.c feeds it with what the
 * process asks the kernel for.
 *
 * Owns:    copies of all that is written. Thread: the caller's; system.c has a lock.
 * Limits:  DISK_FILE_SIZE_MAX bytes per file.
 */
#ifndef POWER_DISK_H
#define POWER_DISK_H
#include "base/base.h"
#include "base/random.h"

#define DISK_FILE_SIZE_MAX (64 << 20)
#define DISK_SECTOR        512

enum disk_name { DISK_STORE, DISK_LOG, DISK_JOURNAL, DISK_NAME_COUNT };
extern const char *const disk_suffixes[DISK_NAME_COUNT];

enum disk_operation_kind {
    DISK_CREATE,
    DISK_WRITE,
    DISK_TRUNCATE, /* to `offset` */
    DISK_FLUSH,
    DISK_FLUSH_FAILED, /* as Linux does it: some of it is on the disk, and none of it will be tried again */
    DISK_UNLINK,
    DISK_FLUSH_DIRECTORY,
    DISK_ANSWER, /* nothing is asked of the disk: what the process sees now has been shown to somebody */
    DISK_OPERATION_KIND_COUNT,
};
extern const char *const disk_operation_names[DISK_OPERATION_KIND_COUNT];
struct disk_operation {
    enum disk_operation_kind kind;
    enum disk_name           name;
    int64_t                  offset;
    size_t                   size;
    const uint8_t           *data;
};

struct disk_bytes {
    uint8_t *base;
    size_t   size, capacity;
};
struct disk_inode;
struct disk_entry { /* of the directory, not flushed */
    enum disk_name     name;
    struct disk_inode *inode; /* NULL: the name was removed */
};
struct disk {
    struct disk_inode *seen[DISK_NAME_COUNT], *flushed[DISK_NAME_COUNT];
    struct disk_entry *entries;
    size_t             entry_count;
    struct disk_inode *inodes; /* all there ever were */
    struct random      random; /* for flushes that fail */
};
void disk_init(struct disk *disk, uint64_t seed);
void disk_release(struct disk *disk);
void disk_apply(struct disk *disk, const struct disk_operation *operation);

/* What survives of what was not flushed. */
enum disk_survival {
    DISK_NOTHING,
    DISK_EVERYTHING,
    DISK_PREFIX,  /* of the changes to each file, the last of them in part */
    DISK_CHANGES, /* some of the changes */
    DISK_SECTORS, /* some sectors of them */
    DISK_GARBAGE, /* the same, and what a file has grown by without them is not zeros */
    DISK_SURVIVAL_COUNT,
};
extern const char *const disk_survival_names[DISK_SURVIVAL_COUNT];
struct disk_image {
    bool              exists[DISK_NAME_COUNT];
    struct disk_bytes file[DISK_NAME_COUNT];
};
void disk_survive(const struct disk *disk, enum disk_survival survival, struct random *random,
                  struct disk_image *ret_image);
/* What the process sees. */
void disk_see(const struct disk *disk, struct disk_image *ret_image);
/* From here on this, and nothing else, is on the disk, flushed. */
void disk_replace(struct disk *disk, const struct disk_image *image);
void disk_bytes_put(struct disk_bytes *bytes, int64_t offset, const void *data, size_t size);
void disk_image_release(struct disk_image *image);
/* Whether there is anything that a power cut might take: if not, all survivals are alike. */
bool disk_is_flushed(const struct disk *disk);
#endif
