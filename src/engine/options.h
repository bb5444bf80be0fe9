/* options.h: changing the options of a run that is under way, and what is common to all updates by field mask. */
#ifndef ENGINE_OPTIONS_H
#define ENGINE_OPTIONS_H
#include "engine/draft.h"

/* Whether a mask's path names this field, which is given in snake case; the path may also be in JSON's camel case. */
bool mask_path_is(struct bytes path, const char *name);
/* INVALID_ARGUMENT: the mask names a part of a message that the request does not hold. */
enum status mask_not_provided(const char *what, struct error *error);
/* Merges `priority`, or the one part of it that the path names. *ret_known is false for any other path. */
enum status mask_merge_priority(struct bytes *into, struct bytes from, struct bytes path, struct arena *arena,
                                bool *ret_known, struct error *error) MUST_USE;

/* WorkflowExecutionOptionsUpdated, on arrival; attached requests are fold.c's. */
void options_fold(struct execution                                                    *execution,
                  const struct history_WorkflowExecutionOptionsUpdatedEventAttributes *updated,
                  struct arena                                                        *arena);

/* NULL: there is none. A copy in the arena. */
struct workflow_VersioningOverride *execution_versioning_override(const struct execution *execution,
                                                                  struct arena           *arena);

/* Merges what the mask names into the options of the draft's run; an event says so, unless nothing changes. */
enum status options_change(struct draft *draft, const struct workflow_WorkflowExecutionOptions *given,
                           const struct google_FieldMask *mask, struct bytes identity,
                           struct workflow_WorkflowExecutionOptions *ret_merged, bool *ret_changes,
                           struct error *error) MUST_USE;

/* The request; live is an open run. The mask is known to name what there is, and the values to be sound. */
void decide_update_options(const struct execution *live, struct workflow_request *request, struct env *env,
                           struct decision *decision);
#endif
