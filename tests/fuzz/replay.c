/* replay.c: a fuzz target without a fuzzer: each file named, or in a directory named, is read once.
 *
 * usage: fuzz_NAME PATH...; the first input that breaks something ends it, and is named.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mutant.h"
#include "fuzz.h"

static char   current[4096]; /* the input that is being read */
static size_t replayed;

/* The sanitizers end by abort as panic and assert do, so that one handler names the input. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__asan_default_options(void)
{
    return "abort_on_error=1";
}
const char *__ubsan_default_options(void)
{
    return "abort_on_error=1:print_stacktrace=1";
}

static void on_abort(int signal_number)
{
    static const char words[] = "while reading ";
    ssize_t           written = write(STDERR_FILENO, words, sizeof words - 1);
    written += write(STDERR_FILENO, current, strlen(current));
    written += write(STDERR_FILENO, "\n", 1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
    (void)written;
}

static void replay_file(const char *path)
{
    FILE       *file = fopen(path, "rb");
    struct stat about;
    if (file == NULL || fstat(fileno(file), &about) != 0)
        panic("%s: %s", path, strerror(errno));
    /* Exactly as large as the input, so that the sanitizers see a byte too many. */
    size_t   size = (size_t)about.st_size;
    uint8_t *data = xmalloc(size);
    if (fread(data, 1, size, file) != size)
        panic("%s: %s", path, strerror(errno));
    fclose(file);
    snprintf(current, sizeof current, "%s", path);
    (void)LLVMFuzzerTestOneInput(data, size);
    replayed++;
    free(data);
}

static void replay_directory(const char *path, DIR *directory)
{
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char file[sizeof current];
        if (entry->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(file, sizeof file, "%s/%s", path, entry->d_name) >= sizeof file)
            panic("%s: a longer path than there is", entry->d_name);
        replay_file(file);
    }
}

int main(int argc, char **argv)
{
    signal(SIGABRT, on_abort);
    mutant_plant();
    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        if (directory == NULL) {
            replay_file(argv[i]);
            continue;
        }
        replay_directory(argv[i], directory);
        closedir(directory);
    }
    printf("%zu inputs\n", replayed);
    return replayed == 0 ? 1 : 0; /* a corpus that is not there must not pass */
}
