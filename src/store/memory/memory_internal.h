/* memory_internal.h: the tables of the memory store, and what is done with them. */
#ifndef STORE_MEMORY_MEMORY_INTERNAL_H
#define STORE_MEMORY_MEMORY_INTERNAL_H
#include "base/list.h"
#include "store/memory.h"
#include "store/memory/order.h"
#include "store/store_internal.h"

/* Rows are never changed in place: a change puts a new copy, so that undoing it is putting the old one back. */
struct memory_tables {
    struct order        runs; /* these own their rows */
    struct order        transitions, ready, wakeups, outbox, links, entities;
    struct order        runs_by_workflow, ready_by_queue, wakeups_by_due; /* these share them */
    struct memory_undo *undo;
    size_t              undo_count, undo_capacity;
};
void memory_tables_init(struct memory_tables *tables);
void memory_tables_release(struct memory_tables *tables);

/* Applies a batch. Groups that may not be stored are left out and marked in batch->refused. */
enum store_outcome memory_apply(struct memory_tables *tables, struct store_batch *batch) MUST_USE;
/* Answers a read; its status says how that went. */
void memory_read(const struct memory_tables *tables, struct store_read *read);
void memory_read_list(const struct memory_tables *tables, struct store_read *read);
void memory_read_count(const struct memory_tables *tables, struct store_read *read);
#endif
