/* web_internal.h: what the listener needs of the pages. */
#ifndef WEB_WEB_INTERNAL_H
#define WEB_WEB_INTERNAL_H
#include "base/base.h"
#include "base/buffer.h"

extern const char *const page_style;
/* Without its end, which page_end brings. */
void page_print_landing(struct buffer *buffer, const char *version, const char *grpc_address);
extern const char *const page_end;
/* Whether a Host header's value without its port names this machine to itself. */
bool host_is_loopback(const char *host);
#endif
