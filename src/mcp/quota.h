/* quota.h: how many runs each caller has open, and whether a namespace's lists can tell.
 *
 * What counts is what the server has stored: runs say who called by the search attribute McpCaller, and a count of those that are
 * open is asked for when a caller is seen first and whenever the bound seems reached. In between this adds what it starts and
 * takes off nothing, so it may believe in too many, and then asks; it never believes in too few.
 *
 * Owns:    its entries. Thread: the loop's. Survives: nothing here; a restarted server counts again.
 * Limits:  QUOTA_CALLERS_MAX callers, of which the one seen longest ago is forgotten; QUOTA_NAMESPACES_MAX namespaces.
 */
#ifndef MCP_QUOTA_H
#define MCP_QUOTA_H
#include "base/list.h"
#include "base/table.h"

#define QUOTA_CALLERS_MAX    16384
#define QUOTA_NAMESPACES_MAX 1024
#define ATTRIBUTE_TOOL       "McpTool"   /* NAME, of the tool that started the run */
#define ATTRIBUTE_CALLER     "McpCaller" /* who called it */

/* Whether runs of a namespace can carry the search attributes. */
enum quota_attributes {
    ATTRIBUTES_UNKNOWN, /* to be looked up, and added when they are not there */
    ATTRIBUTES_THERE,
    ATTRIBUTES_REFUSED, /* they mean something else there, or there is no room: runs go without, and nothing is counted */
};
struct quota {
    struct table callers, namespaces;
    struct list  by_use;
};
void                  quota_init(struct quota *quota);
void                  quota_release(struct quota *quota);
enum quota_attributes quota_attributes(struct quota *quota, const char *namespace_name);
void quota_set_attributes(struct quota *quota, const char *namespace_name, enum quota_attributes state);

struct quota_entry;
/* The caller's, made when there is none. NULL: no entry can be forgotten in its favour, so nothing is bounded. It stays while it is held:
 * one start is under way for each quota_hold until quota_drop. */
struct quota_entry *quota_hold(struct quota *quota, const char *namespace_name, struct bytes caller);
void                quota_drop(struct quota_entry *entry, bool has_started); /* NULL is fine */
/* Whether, with all that are held, at most `most` are open, as far as is known; false: count. */
bool quota_surely_fits(const struct quota_entry *entry, uint32_t most);
/* What was started so far: for quota_counted, which is told what it was when the count was asked for. */
uint64_t quota_starts(const struct quota_entry *entry);
void     quota_counted(struct quota_entry *entry, uint64_t starts_before, uint64_t count);
#endif
