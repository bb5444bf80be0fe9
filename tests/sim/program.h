/* program.h: shared by the parts of a simulated workflow's program: its whole, its operations, its updates. */
#ifndef SIM_PROGRAM_H
#define SIM_PROGRAM_H
#include "actors.h"

/* --- program.c --- */
const struct history_HistoryEvent *event_at(const struct program *program, int64_t id);
/* The first event of this type with this name (a timer's, activity's, child's, marker's), or 0; NULL: any. */
int64_t find_event(const struct program *program, int32_t type, const char *name);
int64_t count_events(const struct program *program, int32_t type);
/* Whether what this event began has ended, in whichever way. */
bool                    is_over(const struct program *program, int64_t scheduled);
bool                    is_child_started(const struct program *program, int64_t initiated);
unsigned                generation_of(const struct program *program);
struct bytes            original_run(const struct program *program);
struct command_Command *add_command(struct program *program, int32_t type);

/* Adds a command and gives its attributes to be filled. */
#define ADD_COMMAND(program, type, number, member, structure)                                                \
    ({                                                                                                       \
        struct command_Command *command_ = add_command(program, enums_COMMAND_TYPE_##type);                  \
        command_->attributes_case = number;                                                                  \
        command_->member##_command_attributes = NEW((program)->sim, struct structure);                       \
        command_->member##_command_attributes;                                                               \
    })

/* --- operations.c --- */
/* Issues what the operation needs and is not there yet; whether the program may go on to the next one. */
bool operation_passes(struct program *program, size_t index, const struct operation *operation);
void start_timer(struct program *program, const char *name, int64_t duration);
void signal_external(struct program *program, struct bytes workflow_id, struct bytes name,
                     struct bytes control);

/* --- updates.c --- */
/* Answers what the task brought, and completes what was accepted earlier. */
void program_updates(struct program *program);
#endif
