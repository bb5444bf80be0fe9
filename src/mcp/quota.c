/* quota.c: entries by namespace and caller. */
#include "mcp/quota.h"

#include "base/hash.h"

/* How many of the oldest are looked at for one that can be forgotten. */
#define LOOKS_MAX 16

struct quota_entry {
    struct table_link link;
    struct list       by_use;
    bool              known; /* it was counted */
    uint64_t          open;  /* at most so many; what is held comes on top */
    uint32_t          held;
    uint64_t          starts;
    size_t            namespace_size, size; /* of the name, and of its part before the caller's */
    char              name[];
};
struct quota_namespace {
    struct table_link     link;
    enum quota_attributes state;
    char                  name[];
};

void quota_init(struct quota *quota)
{
    table_init(&quota->callers);
    table_init(&quota->namespaces);
    list_init(&quota->by_use);
}

static void forget(struct quota *quota, struct quota_entry *entry)
{
    table_remove(&quota->callers, &entry->link);
    list_remove(&entry->by_use);
    free(entry);
}

void quota_release(struct quota *quota)
{
    struct table_iterator at = { 0 };
    LIST_FOR_EACH (entry, &quota->by_use, struct quota_entry, by_use)
        forget(quota, entry);
    for (struct table_link *link; (link = table_iterate(&quota->namespaces, &at)) != NULL;) {
        table_remove(&quota->namespaces, link);
        free(CONTAINER_OF(link, struct quota_namespace, link));
    }
    table_release(&quota->callers);
    table_release(&quota->namespaces);
}

/* --- namespaces --- */

static struct quota_namespace *namespace_named(struct quota *quota, const char *name, uint64_t hash)
{
    for (struct table_link *link = table_first(&quota->namespaces, hash); link != NULL;
         link = table_next(link)) {
        struct quota_namespace *found = CONTAINER_OF(link, struct quota_namespace, link);
        if (strcmp(found->name, name) == 0)
            return found;
    }
    return NULL;
}

enum quota_attributes quota_attributes(struct quota *quota, const char *namespace_name)
{
    const struct quota_namespace *found = namespace_named(quota, namespace_name,
                                                          hash_bytes(bytes_of_text(namespace_name)));
    if (found != NULL)
        return found->state;
    return quota->namespaces.count >= QUOTA_NAMESPACES_MAX ? ATTRIBUTES_REFUSED : ATTRIBUTES_UNKNOWN;
}

void quota_set_attributes(struct quota *quota, const char *namespace_name, enum quota_attributes state)
{
    uint64_t                hash = hash_bytes(bytes_of_text(namespace_name));
    struct quota_namespace *found = namespace_named(quota, namespace_name, hash);
    if (found == NULL && quota->namespaces.count >= QUOTA_NAMESPACES_MAX)
        return;
    if (found == NULL) {
        found = xcalloc(1, sizeof *found + strlen(namespace_name) + 1);
        memcpy(found->name, namespace_name, strlen(namespace_name) + 1);
        table_insert(&quota->namespaces, &found->link, hash);
    }
    found->state = state;
}

/* --- callers --- */

static struct quota_entry *entry_of(struct quota *quota, struct bytes namespace_name, struct bytes caller,
                                    uint64_t hash)
{
    for (struct table_link *link = table_first(&quota->callers, hash); link != NULL;
         link = table_next(link)) {
        struct quota_entry *entry = CONTAINER_OF(link, struct quota_entry, link);
        if (bytes_equal(bytes_of(entry->name, entry->namespace_size), namespace_name) &&
            bytes_equal(bytes_of(entry->name + entry->namespace_size, entry->size - entry->namespace_size),
                        caller))
            return entry;
    }
    return NULL;
}

/* Makes room for one more: what is forgotten is counted again. Who starts something right now is not forgotten. */
static bool make_room(struct quota *quota)
{
    size_t looks = 0;
    if (quota->callers.count < QUOTA_CALLERS_MAX)
        return true;
    LIST_FOR_EACH (entry, &quota->by_use, struct quota_entry, by_use) {
        if (entry->held == 0) {
            forget(quota, entry);
            return true;
        }
        if (++looks == LOOKS_MAX)
            return false;
    }
    return false;
}

struct quota_entry *quota_hold(struct quota *quota, const char *namespace_name, struct bytes caller)
{
    struct bytes        space = bytes_of_text(namespace_name);
    uint64_t            hash = hash_combine(hash_bytes(space), hash_bytes(caller));
    struct quota_entry *entry = entry_of(quota, space, caller, hash);
    if (entry == NULL) {
        if (!make_room(quota))
            return NULL;
        entry = xcalloc(1, sizeof *entry + space.size + caller.size + 1);
        memcpy(entry->name, space.base, space.size);
        if (caller.size != 0)
            memcpy(entry->name + space.size, caller.base, caller.size);
        entry->namespace_size = space.size;
        entry->size = space.size + caller.size;
        list_init(&entry->by_use);
        table_insert(&quota->callers, &entry->link, hash);
    }
    list_remove(&entry->by_use);
    list_append(&quota->by_use, &entry->by_use);
    entry->held++;
    return entry;
}

void quota_drop(struct quota_entry *entry, bool has_started)
{
    if (entry == NULL)
        return;
    assert(entry->held > 0);
    entry->held--;
    entry->open += has_started;
    entry->starts += has_started;
}

bool quota_surely_fits(const struct quota_entry *entry, uint32_t most)
{
    return entry->known && entry->open + entry->held <= most;
}

uint64_t quota_starts(const struct quota_entry *entry)
{
    return entry->starts;
}

void quota_counted(struct quota_entry *entry, uint64_t starts_before, uint64_t count)
{
    assert(starts_before <= entry->starts);
    entry->known = true;
    entry->open = count + (entry->starts - starts_before); /* the count may have come before those */
}
