/* features.h: what the clients, workers and programs of a seed may do; each is drawn by itself, and can be left out. */
#ifndef SIM_FEATURES_H
#define SIM_FEATURES_H
#include <stddef.h>

/* X(identifier, name) */
#define SIM_FEATURES(X)                                                                                      \
    X(RIVALS, "rivals")                                                                                      \
    X(VISITS, "visits")                                                                                      \
    X(EAGER, "eager")                                                                                        \
    X(INLINE, "inline-tasks")                                                                                \
    X(HEARTBEATS, "task-heartbeats")                                                                         \
    X(UPDATES, "updates")                                                                                    \
    X(MARKERS, "markers")                                                                                    \
    X(UPSERTS, "upserts")                                                                                    \
    X(RACES, "races")                                                                                        \
    X(CANCELLED_ACTIVITIES, "cancelled-activities")                                                          \
    X(FAILING_ACTIVITIES, "failing-activities")                                                              \
    X(SIGNALS_OUT, "signals-out")                                                                            \
    X(CHILDREN, "children")                                                                                  \
    X(CANCELLED_CHILDREN, "cancelled-children")                                                              \
    X(LEFT_CHILDREN, "left-children")                                                                        \
    X(SIGNAL_WITH_START, "signal-with-start")                                                                \
    X(UPDATE_WITH_START, "update-with-start")                                                                \
    X(RETRIES, "retries")                                                                                    \
    X(CRON, "cron")                                                                                          \
    X(TIMEOUTS, "timeouts")                                                                                  \
    X(CANCELS, "cancels")                                                                                    \
    X(TERMINATIONS, "terminations")                                                                          \
    X(DELETIONS, "deletions")                                                                                \
    X(RESETS, "resets")                                                                                      \
    X(OPTIONS, "options")                                                                                    \
    X(BAD_TOKENS, "bad-tokens")                                                                              \
    X(BAD_COMMANDS, "bad-commands")                                                                          \
    X(PATIENCE, "patience") /* timers, delays and back-offs of minutes to months */                          \
    /* drawn with the configuration, not by a bit of their own */                                            \
    X(CALLBACKS, "callbacks")                                                                                \
    X(SHADOW, "second-namespace")                                                                            \
    X(BUSY, "busy")                                                                                          \
    X(STICKY, "sticky")                                                                                      \
    X(QUERIES, "queries")                                                                                    \
    X(FAIR, "fair")                                                                                          \
    X(OPERATORS, "operators")

enum sim_feature {
#define X(identifier, name) FEATURE_##identifier,
    SIM_FEATURES(X)
#undef X
        SIM_FEATURE_COUNT
};
const char *sim_feature_name(enum sim_feature feature);
/* SIM_FEATURE_COUNT: there is none of this name. */
enum sim_feature sim_feature_named(const char *name, size_t size);
#endif
