/* curl_library.c: dlopen, once. */
#include "outbound/curl_library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#define LIBRARY "libcurl.so.4"

struct curl_functions curl;
static pthread_once_t loading = PTHREAD_ONCE_INIT;
static bool           loaded;
static char           problem[256]; /* when it was not */

static bool find(void *library, const char *name, void *ret_function)
{
    void *symbol = dlsym(library, name);
    memcpy(ret_function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool  complete = library != NULL;
#define FIND(name) complete = complete && find(library, "curl_" #name, &curl.name);
    CURL_FUNCTIONS(FIND)
    if (!complete) {
        const char *why = dlerror();
        snprintf(problem, sizeof problem, LIBRARY " cannot be loaded: %s", why == NULL ? "?" : why);
        return;
    }
    loaded = curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (!loaded)
        snprintf(problem, sizeof problem, LIBRARY " does not start");
}

enum status curl_library_load(struct error *error)
{
    pthread_once(&loading, load);
    return loaded ? ST_OK : error_set(error, ST_UNAVAILABLE, "%s", problem);
}
