/* registry.h: brings what was declared through the API (perdure.api.v1.ToolService) to the configuration, beside mcp.json.
 *
 * Owns:    nothing durable: the documents are the server's. Thread: the loop's.
 * Ends:    registry_free; an answer on its way is dropped.
 * Failing: what cannot be read leaves what was there, and is asked for again after REGISTRY_AGAIN_NS.
 */
#ifndef MCP_REGISTRY_H
#define MCP_REGISTRY_H
#include "mcp/backend.h"
#include "mcp/config.h"

#define REGISTRY_AGAIN_NS (5 * NS_PER_S)

struct registry;
/* Asks at once. */
struct registry *registry_new(struct backend *backend, struct config_watch *watch);
void             registry_free(struct registry *registry); /* NULL is fine */
/* Something was applied or deleted: asks again. */
void registry_changed(struct registry *registry);
#endif
