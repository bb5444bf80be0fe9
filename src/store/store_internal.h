/* store_internal.h: what the implementations of a store share: rows as data, pages of an answer, filters.
 *
 * Owns:    nothing; rows are copied into the arena of a read or into memory of the caller.
 * Thread:  any; nothing here has state.
 */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H
#include "store/store.h"

/* --- Rows: where the slices of each row structure are --- */

struct store_row_type {
    const char   *name;
    size_t        size; /* of the structure */
    const size_t *slices;
    size_t        slice_count;
};
extern const struct store_row_type store_row_run, store_row_transition, store_row_ready, store_row_wakeup,
    store_row_branch, store_row_identity, store_row_outbox, store_row_link, store_row_entity;

/* Bytes of all slices. */
size_t store_row_bytes(const struct store_row_type *type, const void *row);
/* Copies the structure to `to` and its slices to `bytes`, which has room for store_row_bytes. */
void store_row_copy(const struct store_row_type *type, void *to, uint8_t *bytes, const void *row);
/* What a row counts towards the size limit of a page: the same in every store, so that pages are the same. */
size_t store_row_page_size(const struct store_row_type *type, const void *row);

/* What the status of a run without a close time may be. */
#define STORE_OPEN_STATUS_COUNT 3
extern const int32_t store_open_statuses[STORE_OPEN_STATUS_COUNT];
bool                 store_status_is_open(int64_t status);

/* --- Batches --- */

/* Whether a write may be stored at all: sizes and the status of open runs. */
enum status store_write_check(const struct store_write *write, struct error *error) MUST_USE;
/* The indexes of the writes sorted by group, in the batch's arena. Groups are independent of each other, so a store that
 * goes through them one by one may do so in this order. */
size_t *store_batch_by_group(struct store_batch *batch);
/* Hands the batch or read back to its lane. Neither may be touched afterwards. */
void store_batch_post(struct store_batch *batch, enum store_outcome outcome);
void store_read_post(struct store_read *read);

/* --- Reads --- */

/* The number of the transition that holds an event, between `first` and `last`: the last one whose first event id is not
 * above it. `first_event_id` answers of one transition; a negative answer ends the search with 0: there is no such row. */
int64_t store_transition_of_event(int64_t first, int64_t last, int64_t event_id,
                                  int64_t (*first_event_id)(void *context, int64_t number), void *context);

/* Clears the answer's fields. */
void store_read_start(struct store_read *read);

enum store_page_step {
    STORE_PAGE_TAKEN,
    STORE_PAGE_END,   /* the page is full: the row was not taken, read->more is set */
    STORE_PAGE_SPENT, /* the arena's budget: read->status is set */
};
/* Adds rows of one type to an answer until its limits are reached. */
struct store_page {
    struct store_read           *read;
    const struct store_row_type *type;
    void                       **rows; /* the answer's array and count */
    size_t                      *count;
    size_t                       capacity, size;
};
void store_page_runs(struct store_page *page, struct store_read *read);
void store_page_transitions(struct store_page *page, struct store_read *read);
void store_page_ready(struct store_page *page, struct store_read *read);
void store_page_wakeups(struct store_page *page, struct store_read *read);
void store_page_branches(struct store_page *page, struct store_read *read);
void store_page_identities(struct store_page *page, struct store_read *read);
void store_page_outbox(struct store_page *page, struct store_read *read);
void store_page_links(struct store_page *page, struct store_read *read);
void store_page_entities(struct store_page *page, struct store_read *read);
/* `row` is copied. */
enum store_page_step store_page_add(struct store_page *page, const void *row) MUST_USE;
/* Adds to the group of the answer that has these values, one for each key. They are copied. */
enum status store_groups_add(struct store_read *read, size_t *capacity, const struct store_value *values,
                             int64_t count) MUST_USE;
/* Notes where an ordered page ends; copied into the answer's arena. */
enum status store_last_keys_set(struct store_read *read, const struct store_column_value *keys) MUST_USE;

enum status store_ready_count_add(struct store_read *read, size_t *capacity,
                                  const struct store_ready_count *count) MUST_USE;

/* --- Filters --- */

enum store_column_type { STORE_COLUMN_TEXT, STORE_COLUMN_UUID, STORE_COLUMN_NUMERIC };
#define STORE_COLUMN_COUNT STORE_COLUMN_ATTRIBUTE /* those of a run's own row */
enum store_column_type    store_column_type(enum store_column column);
struct store_column_value store_run_column(const struct store_run *run, enum store_column column);
bool store_filter_matches_run(const struct store_filter *filter, const struct store_run *run);
int  store_value_compare(const struct store_value *a, const struct store_value *b);
/* Goes behind the next value of one attribute, and gives it. */
bool store_attributes_find(struct bytes *attributes, const struct store_attribute *attribute,
                           struct store_value *ret_value);

/* --- Keys --- */

/* Of a list's order or a count's grouping, and which kind of runs it is of. */
enum status store_keys_check(const struct store_read *read, struct error *error) MUST_USE;
/* What a run has for a key; of a list of keywords the first one. */
struct store_column_value store_key_of(const struct store_run *run, const struct store_key *key);
/* The order of an ordered list: by the keys, then by the number, in the direction of the last key. At least one key. */
int store_keys_compare(const struct store_key *keys, size_t count, const struct store_column_value *a,
                       store_number a_number, const struct store_column_value *b, store_number b_number);
/* The smallest text that is greater than all that start with `prefix`, in `room` of prefix.size bytes; false: none is. */
bool store_prefix_end(struct bytes prefix, uint8_t *room, struct bytes *ret_end);
#endif
