/* compat.c: prints the table of RPCs as text, Markdown or JSON. */
#include "server/compat.h"

#include <stdio.h>
#include <string.h>

#include "api/api.h"

static const char *support_text(enum api_support support)
{
    static const char *const texts[] = { "not yet", "refused", "partial", "yes" };
    return texts[support];
}

static size_t count_support(enum api_support support)
{
    size_t count = 0;
    for (size_t i = 0; i < api_method_count(); i++)
        count += api_method(i).support == support;
    return count;
}

static const char *short_service(const char *service)
{
    const char *dot = strrchr(service, '.');
    return dot == NULL ? service : dot + 1;
}

static const char *note_of(struct api_method_info info)
{
    return info.note[0] != '\0' ? info.note : info.support == API_NOT_YET ? "answers UNIMPLEMENTED" : "";
}

static void print_text(void)
{
    const char *service = "";
    for (size_t i = 0; i < api_method_count(); i++) {
        struct api_method_info info = api_method(i);
        if (strcmp(service, info.service) != 0)
            printf("%s%s\n", i == 0 ? "" : "\n", info.service);
        service = info.service;
        printf("  %-46s %-8s%s%s\n", info.name, support_text(info.support),
               note_of(info)[0] == '\0' ? "" : " ", note_of(info));
    }
    printf("\n%zu RPCs: %zu served, %zu in part, %zu refused (PERMISSION_DENIED), %zu not yet (they answer "
           "UNIMPLEMENTED and name themselves)\n",
           api_method_count(), count_support(API_COMPLETE), count_support(API_PARTIAL),
           count_support(API_REFUSED), count_support(API_NOT_YET));
}

static void print_markdown(void)
{
    const char *service = "";
    printf("# RPCs and how far each is served\n\nPrinted by `perdure compat --markdown` from the table that "
           "serves them: "
           "%zu served, %zu in part, %zu refused, %zu not yet.\nWhat is refused answers PERMISSION_DENIED; "
           "what is "
           "not there yet answers UNIMPLEMENTED and names itself.\n",
           count_support(API_COMPLETE), count_support(API_PARTIAL), count_support(API_REFUSED),
           count_support(API_NOT_YET));
    for (size_t i = 0; i < api_method_count(); i++) {
        struct api_method_info info = api_method(i);
        if (strcmp(service, info.service) != 0)
            printf("\n## %s\n\n| RPC | served | notes |\n|---|---|---|\n", short_service(info.service));
        service = info.service;
        printf("| %s | %s | %s |\n", info.name, support_text(info.support), info.note);
    }
}

/* Names and notes are plain ASCII without quotes or backslashes; the unit test of the table sees to it. */
static void print_json(void)
{
    printf("[\n");
    for (size_t i = 0; i < api_method_count(); i++) {
        struct api_method_info info = api_method(i);
        printf("  {\"service\": \"%s\", \"rpc\": \"%s\", \"served\": \"%s\", \"note\": \"%s\"}%s\n",
               info.service, info.name, support_text(info.support), info.note,
               i + 1 == api_method_count() ? "" : ",");
    }
    printf("]\n");
}

int compat_main(int argc, char **argv)
{
    const char *format = argc == 0 ? "--text" : argv[0];
    if (argc == 2 && strcmp(argv[0], "--output") == 0 && strcmp(argv[1], "json") == 0)
        print_json();
    else if (argc <= 1 && strcmp(format, "--text") == 0)
        print_text();
    else if (argc == 1 && strcmp(format, "--markdown") == 0)
        print_markdown();
    else if (argc == 1 && (strcmp(format, "--help") == 0 || strcmp(format, "-h") == 0))
        printf("perdure compat [--text | --markdown | --output json]\n\nPrints every RPC of WorkflowService, "
               "OperatorService and this server's own ToolService, "
               "and how far this server serves it.\n");
    else {
        fprintf(stderr, "perdure: compat takes --text, --markdown or --output json\n");
        return 2;
    }
    return 0;
}
