/* system.h: the kernel as the process sees it, with a disk of our own below.
 *
 * The functions of the C library by which SQLite and the store reach their files are defined in system.c and thereby take
 * the place of the library's, for libsqlite3.so too. They do what they are asked, note it on the disk (disk.h), cut the power
 * before the call that was chosen, or let that call fail. So are semaphores: it is known when the store's threads are at rest,
 * and the one that copies the log goes on only by as many calls as it is allowed. Thus one seed gives one sequence of calls.
 *
 * Owns:    the only disk of the process.
 * Thread:  system_* are the main thread's; a lock guards what the store's threads share with it.
 */
#ifndef POWER_SYSTEM_H
#define POWER_SYSTEM_H
#include "disk.h"

/* What was asked of the disk, in order. */
struct system_trace {
    struct disk_operation *operations; /* with copies of the data */
    size_t                 count, capacity;
    uint64_t               hash;
};
void system_trace_release(struct system_trace *trace);

enum system_fault {
    SYSTEM_NO_FAULT,
    SYSTEM_IO_ERROR, /* EIO from whatever the call is */
    SYSTEM_FULL,  /* no space from this write on, until something is removed or some more calls have failed */
    SYSTEM_SHORT, /* a write that is done in part, and then no space */
    SYSTEM_MEMORY, /* SQLite gets no memory, once */
    SYSTEM_FAULT_COUNT,
};
extern const char *const system_fault_names[SYSTEM_FAULT_COUNT];
enum system_flushes {
    SYSTEM_FLUSHES_DONE,
    SYSTEM_FLUSHES_OF_COMMITS_IGNORED, /* what synchronous=NORMAL comes to: the log is flushed when it is copied only */
    SYSTEM_FLUSHES_IGNORED,
};

/* A disk without files, in a new directory. `trace`: NULL, or where everything is noted. */
void        system_begin(uint64_t seed, struct system_trace *trace, enum system_flushes flushes);
void        system_end(void);
const char *system_path(void); /* of the store */

/* From now on: before the `operations`th change of the disk the power goes; 0: it does not. */
void system_cut(uint64_t operations, enum disk_survival survival);
/* The same, but only the process dies there: what it wrote is still to be flushed by whoever does. */
void system_kill(uint64_t operations);
/* The power went, or the process died. */
bool system_is_off(void);
/* From now on the `calls`th call fails. */
void        system_fail(uint64_t calls, enum system_fault fault);
bool        system_has_failed(void);
const char *system_failed_call(void); /* the last one */
/* A flush that failed was tried again: what the store must never do; says which, "" when none was. */
const char *system_flushed_again(void);
/* A change of the disk that the writer asked for failed, or a flush by whomever: nothing may be durable any more. */
bool system_must_stop(void);

/* The process dies now, if it has not: what it does from now on to its files is lost. Then the directory has what survived:
 * all that the process saw, or after a power cut what that left. */
void system_die(void);
void system_revive(void);

/* Waits until `answered` was set by system_answer on another thread and the store's threads are at rest. */
void system_await(const bool *answered);
void system_answer(bool *answered);
/* The copying of the log goes on to its end; before the store is closed. */
void system_let_copy(void);
/* What the process sees now has been shown to somebody. */
void system_note_answer(void);
#endif
