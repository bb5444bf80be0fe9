/* tools.h: the MCP gateway in this server: its calls go to the lanes, its requests come by the HTTP listener.
 *
 * Owns:    the gateway, its client of the API and its seal.
 * Thread:  made and freed on the main thread while the web's does not run; the rest runs on the web's.
 * Order:   made before web_start; web_stop ends its requests; closed after that; freed when the lanes have
 *          ended, before web_free.
 */
#ifndef SERVER_TOOLS_H
#define SERVER_TOOLS_H
#include "mcp/seal.h"
#include "server/local_client.h"
#include "web/web.h"

struct tools_options {
    struct web              *web;
    const struct local_lane *lanes;
    size_t                   lane_count;
    const char              *config_path;
    const uint8_t
        *key; /* of SEAL_KEY_SIZE bytes: the store's, so that what was given out outlives the process */
};
struct tools;
/* `ret_tools` is set also when it fails: lanes may still have its calls, so it is freed by tools_free when they have ended. */
enum status tools_new(const struct tools_options *options, struct tools **ret_tools,
                      struct error *error) MUST_USE;
/* Looks at the configuration now; from the main thread, while the web's runs. */
void tools_reload(struct tools *tools);
/* A toolset was applied or deleted through the API; from any lane's thread, until tools_free. */
void tools_registry_changed(struct tools *tools);
/* Whether a document can become a toolset of the registry (config_check_toolset); from any lane's thread, until tools_free. NULL: there
 * is no gateway, so nothing but the document counts. */
enum status tools_check_document(struct tools *tools, struct bytes name, struct bytes document,
                                 struct buffer *warnings, struct error *error) MUST_USE;
/* When the web has stopped, and before the lanes do: nothing is asked of them any more. NULL is fine. */
void tools_close(struct tools *tools);
/* Closes it, if that was not done. When no lane runs any more. NULL is fine. */
void tools_free(struct tools *tools);
#endif
