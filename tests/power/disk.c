/* disk.c: files as the process sees them, as they were flushed, and what may become of the difference. */
#include "disk.h"

const char *const disk_suffixes[DISK_NAME_COUNT] = { "", "-wal", "-journal" };
const char *const disk_operation_names[DISK_OPERATION_KIND_COUNT] = {
    "create", "write", "truncate", "flush", "failed-flush", "unlink", "flush-directory", "answer"
};
const char *const disk_survival_names[DISK_SURVIVAL_COUNT] = { "nothing", "everything", "prefix",
                                                               "changes", "sectors",    "garbage" };

struct change {
    int64_t  offset;
    size_t   size;
    uint8_t *data; /* NULL: the file was cut to `offset` */
};
struct disk_inode {
    struct disk_inode *next;
    struct disk_bytes  seen, flushed;
    struct change     *changes;
    size_t             change_count, change_capacity;
};

/* --- Bytes --- */

static void reserve(struct disk_bytes *bytes, size_t size)
{
    if (size > DISK_FILE_SIZE_MAX)
        panic("a file of %zu bytes is more than the disk has room for", size);
    if (size <= bytes->capacity)
        return;
    bytes->capacity = MAX(size, bytes->capacity * 2);
    bytes->base = xrealloc(bytes->base, bytes->capacity);
}

static void copy(struct disk_bytes *to, const struct disk_bytes *from)
{
    reserve(to, from->size);
    if (from->size != 0)
        memcpy(to->base, from->base, from->size);
    to->size = from->size;
}

/* `random`: a hole is filled with what was on the disk before. */
static void grow(struct disk_bytes *bytes, size_t size, struct random *random)
{
    if (size <= bytes->size)
        return;
    reserve(bytes, size);
    for (size_t at = bytes->size; at < size; at++)
        bytes->base[at] = random == NULL ? 0 : (uint8_t)random_next(random);
    bytes->size = size;
}

static void put(struct disk_bytes *bytes, int64_t offset, const uint8_t *data, size_t size,
                struct random *random)
{
    grow(bytes, (size_t)offset + size, random);
    memcpy(bytes->base + offset, data, size);
}

static void make(struct disk_bytes *bytes, const struct change *change)
{
    if (change->data != NULL)
        put(bytes, change->offset, change->data, change->size, NULL);
    else if ((size_t)change->offset < bytes->size)
        bytes->size = (size_t)change->offset;
    else
        grow(bytes, (size_t)change->offset, NULL);
}

/* --- Changes --- */

static void note(struct disk_inode *inode, const struct disk_operation *operation)
{
    if (inode->change_count == inode->change_capacity) {
        inode->change_capacity = inode->change_capacity == 0 ? 16 : inode->change_capacity * 2;
        inode->changes = xrealloc(inode->changes, inode->change_capacity * sizeof(*inode->changes));
    }
    struct change *change = &inode->changes[inode->change_count++];
    *change = (struct change){ .offset = operation->offset, .size = operation->size };
    if (operation->kind == DISK_WRITE) {
        change->data = xmalloc(operation->size + 1);
        memcpy(change->data, operation->data, operation->size);
    }
    make(&inode->seen, change);
}

static void forget_changes(struct disk_inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++)
        free(inode->changes[i].data);
    inode->change_count = 0;
}

static void flush(struct disk_inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++)
        make(&inode->flushed, &inode->changes[i]);
    forget_changes(inode);
}

static void put_sectors(struct disk_bytes *bytes, const struct change *change, struct random *random,
                        bool garbage)
{
    for (size_t at = 0; at < change->size;) {
        size_t end = MIN(change->size,
                         at + DISK_SECTOR - (size_t)(change->offset + (int64_t)at) % DISK_SECTOR);
        if (random_below(random, 2) == 0)
            put(bytes, change->offset + (int64_t)at, change->data + at, end - at, garbage ? random : NULL);
        at = end;
    }
}

/* The kernel marks the pages clean all the same: what did not reach the disk then will not by the next flush. */
static void flush_in_part(struct disk *disk, struct disk_inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        if (inode->changes[i].data != NULL)
            put_sectors(&inode->flushed, &inode->changes[i], &disk->random, false);
        else if (random_below(&disk->random, 2) == 0)
            make(&inode->flushed, &inode->changes[i]);
    }
    forget_changes(inode);
}

/* --- Names --- */

static struct disk_inode *inode_new(struct disk *disk)
{
    struct disk_inode *inode = xcalloc(1, sizeof(*inode));
    inode->next = disk->inodes;
    disk->inodes = inode;
    return inode;
}

static void enter(struct disk *disk, enum disk_name name, struct disk_inode *inode)
{
    disk->seen[name] = inode;
    disk->entries = xrealloc(disk->entries, (disk->entry_count + 1) * sizeof(*disk->entries));
    disk->entries[disk->entry_count++] = (struct disk_entry){ name, inode };
}

void disk_init(struct disk *disk, uint64_t seed)
{
    *disk = (struct disk){ .inodes = NULL };
    random_seed(&disk->random, seed);
}

void disk_release(struct disk *disk)
{
    for (struct disk_inode *inode; (inode = disk->inodes) != NULL;) {
        disk->inodes = inode->next;
        forget_changes(inode);
        free(inode->changes);
        free(inode->seen.base);
        free(inode->flushed.base);
        free(inode);
    }
    free(disk->entries);
    *disk = (struct disk){ .inodes = NULL };
}

void disk_apply(struct disk *disk, const struct disk_operation *operation)
{
    struct disk_inode *inode = disk->seen[operation->name];
    switch (operation->kind) {
    case DISK_CREATE:
        assert(inode == NULL);
        enter(disk, operation->name, inode_new(disk));
        return;
    case DISK_UNLINK:
        assert(inode != NULL);
        enter(disk, operation->name, NULL);
        return;
    case DISK_WRITE:
    case DISK_TRUNCATE:
        assert(inode != NULL);
        note(inode, operation);
        return;
    case DISK_FLUSH:
        assert(inode != NULL);
        flush(inode);
        return;
    case DISK_FLUSH_FAILED:
        assert(inode != NULL);
        flush_in_part(disk, inode);
        return;
    case DISK_FLUSH_DIRECTORY:
        memcpy(disk->flushed, disk->seen, sizeof(disk->flushed));
        disk->entry_count = 0;
        return;
    case DISK_ANSWER:
    case DISK_OPERATION_KIND_COUNT:
        return;
    }
}

bool disk_is_flushed(const struct disk *disk)
{
    if (disk->entry_count != 0)
        return false;
    for (enum disk_name name = 0; name < DISK_NAME_COUNT; name++) {
        if (disk->seen[name] != NULL && disk->seen[name]->change_count != 0)
            return false;
    }
    return true;
}

/* --- Power cuts --- */

static void survive(const struct disk_inode *inode, enum disk_survival survival, struct random *random,
                    struct disk_bytes *ret_bytes)
{
    copy(ret_bytes, &inode->flushed);
    size_t count = survival == DISK_NOTHING ? 0 : inode->change_count;
    if (survival == DISK_PREFIX)
        count = (size_t)random_below(random, inode->change_count + 1);
    for (size_t i = 0; i < count; i++) {
        struct change change = inode->changes[i];
        if (survival == DISK_PREFIX && i + 1 == count && change.data != NULL)
            change.size = (size_t)random_below(random, change.size + 1);
        if ((survival == DISK_SECTORS || survival == DISK_GARBAGE) && change.data != NULL)
            put_sectors(ret_bytes, &change, random, survival == DISK_GARBAGE);
        else if (survival == DISK_EVERYTHING || survival == DISK_PREFIX || random_below(random, 2) == 0)
            make(ret_bytes, &change);
    }
}

void disk_survive(const struct disk *disk, enum disk_survival survival, struct random *random,
                  struct disk_image *ret_image)
{
    struct disk_inode *left[DISK_NAME_COUNT];
    memcpy(left, disk->flushed, sizeof(left));
    size_t count = survival == DISK_NOTHING      ? 0
                   : survival == DISK_EVERYTHING ? disk->entry_count
                                                 : (size_t)random_below(random, disk->entry_count + 1);
    for (size_t i = 0; i < count; i++)
        left[disk->entries[i].name] = disk->entries[i].inode;
    for (enum disk_name name = 0; name < DISK_NAME_COUNT; name++) {
        ret_image->exists[name] = left[name] != NULL;
        ret_image->file[name].size = 0;
        if (left[name] != NULL)
            survive(left[name], survival, random, &ret_image->file[name]);
    }
}

void disk_see(const struct disk *disk, struct disk_image *ret_image)
{
    for (enum disk_name name = 0; name < DISK_NAME_COUNT; name++) {
        ret_image->exists[name] = disk->seen[name] != NULL;
        ret_image->file[name].size = 0;
        if (disk->seen[name] != NULL)
            copy(&ret_image->file[name], &disk->seen[name]->seen);
    }
}

void disk_replace(struct disk *disk, const struct disk_image *image)
{
    struct random random = disk->random;
    disk_release(disk);
    disk->random = random;
    for (enum disk_name name = 0; name < DISK_NAME_COUNT; name++) {
        if (!image->exists[name])
            continue;
        disk->seen[name] = disk->flushed[name] = inode_new(disk);
        copy(&disk->seen[name]->seen, &image->file[name]);
        copy(&disk->seen[name]->flushed, &image->file[name]);
    }
}

void disk_bytes_put(struct disk_bytes *bytes, int64_t offset, const void *data, size_t size)
{
    put(bytes, offset, data, size, NULL);
}

void disk_image_release(struct disk_image *image)
{
    for (enum disk_name name = 0; name < DISK_NAME_COUNT; name++)
        free(image->file[name].base);
    *image = (struct disk_image){ .exists = { false } };
}
