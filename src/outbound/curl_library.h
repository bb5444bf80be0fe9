/* curl_library.h: libcurl's functions, loaded when they are needed first.
 *
 * libcurl brings forty libraries along, which are half of what an idle server takes of memory and of time to start, and most
 * servers never send anything.
 *
 * Thread: curl_library_load by any; `curl` is constant afterwards.
 */
#ifndef OUTBOUND_CURL_LIBRARY_H
#define OUTBOUND_CURL_LIBRARY_H
#define CURL_DISABLE_TYPECHECK /* its macros would name the functions */
#include <curl/curl.h>

#include "base/base.h"

#define CURL_FUNCTIONS(X)                                                                                    \
    X(global_init)                                                                                           \
    X(easy_init)                                                                                             \
    X(easy_cleanup)                                                                                          \
    X(easy_perform)                                                                                          \
    X(easy_setopt)                                                                                           \
    X(easy_getinfo)                                                                                          \
    X(easy_header)                                                                                           \
    X(easy_strerror)                                                                                         \
    X(multi_init)                                                                                            \
    X(multi_cleanup)                                                                                         \
    X(multi_setopt)                                                                                          \
    X(multi_assign)                                                                                          \
    X(multi_add_handle)                                                                                      \
    X(multi_remove_handle)                                                                                   \
    X(multi_info_read)                                                                                       \
    X(multi_socket_action)                                                                                   \
    X(multi_perform)                                                                                         \
    X(multi_poll)                                                                                            \
    X(slist_append)                                                                                          \
    X(slist_free_all)
#define CURL_MEMBER(name) __typeof__(curl_##name) *name;
struct curl_functions {
    CURL_FUNCTIONS(CURL_MEMBER)
};
#undef CURL_MEMBER
extern struct curl_functions curl;
/* UNAVAILABLE says what is missing. */
enum status curl_library_load(struct error *error) MUST_USE;
#endif
