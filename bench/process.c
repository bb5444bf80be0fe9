/* process.c: the server as a child process, and what the system says about it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static void spawn(struct server_process *server, const char *binary, const char *memory)
{
    char store[128], line[256], address[32];
    int  out[2];
    snprintf(store, sizeof store, "sqlite:%s/store.db", server->directory);
    snprintf(address, sizeof address, "127.0.0.1:%u", server->port);
    if (pipe2(out, O_CLOEXEC) != 0)
        panic("pipe: %s", strerror(errno));
    server->started_ns = clock_monotonic_ns(&clock_system);
    server->pid = fork();
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a bench that is interrupted leaves no server behind */
        dup2(out[1], STDOUT_FILENO);
        execl(binary, binary, "server", "--grpc", address, "--http", "127.0.0.1:0", "--store", store,
              "--memory", memory, "--log-level", "warn", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    FILE *stream = fdopen(out[0], "r");
    if (server->pid < 0 || stream == NULL || fgets(line, sizeof line, stream) == NULL)
        panic("%s did not start", binary);
    const char *at = strstr(line, "gRPC 127.0.0.1:");
    if (at == NULL)
        panic("unexpected first line: %s", line);
    server->port = (uint16_t)atoi(at + strlen("gRPC 127.0.0.1:"));
    fclose(stream);
}

void server_process_start(struct server_process *server, const char *binary, const char *memory)
{
    *server = (struct server_process){ 0 };
    snprintf(server->directory, sizeof server->directory, "/var/tmp/perdure-bench-XXXXXX");
    if (mkdtemp(server->directory) == NULL)
        panic("mkdtemp: %s", strerror(errno));
    spawn(server, binary, memory);
}

void server_process_restart(struct server_process *server, const char *binary, const char *memory)
{
    server->port = 0;
    spawn(server, binary, memory);
}

void server_process_stop(struct server_process *server, int signal_number)
{
    int status;
    kill(server->pid, signal_number);
    waitpid(server->pid, &status, 0);
    if (signal_number == SIGTERM && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        fprintf(stderr, "bench: the server ended with status %x\n", (unsigned)status);
}

static void each_file(const struct server_process *server, void (*visit)(const char *path, void *context),
                      void                        *context)
{
    DIR *directory = opendir(server->directory);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", server->directory, entry->d_name);
        if (entry->d_name[0] != '.')
            visit(path, context);
    }
    if (directory != NULL)
        closedir(directory);
}

static void remove_file(const char *path, void *context UNUSED)
{
    unlink(path);
}

void server_process_remove(struct server_process *server)
{
    each_file(server, remove_file, NULL);
    rmdir(server->directory);
}

static void add_size(const char *path, void *context)
{
    struct stat status;
    size_t      size = strlen(path);
    if (size > 3 && strcmp(path + size - 3, ".db") == 0 && stat(path, &status) == 0)
        *(int64_t *)context += status.st_size;
}

int64_t server_process_disk(const struct server_process *server)
{
    int64_t total = 0;
    each_file(server, add_size, &total);
    return total;
}

int64_t server_process_cpu_ns(const struct server_process *server)
{
    clockid_t       clock;
    struct timespec time;
    if (clock_getcpuclockid(server->pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return 0;
    return (int64_t)time.tv_sec * NS_PER_S + time.tv_nsec;
}

int64_t server_process_rss(const struct server_process *server)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)server->pid);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    }
    if (file != NULL)
        fclose(file);
    return (int64_t)kib * 1024;
}

int64_t machine_flushes(void)
{
    FILE   *file = fopen("/proc/diskstats", "r");
    char    line[512];
    int64_t total = -1;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        long long flushes;
        char      name[64];
        /* Columns 19 and 20 are flush requests and their time, from Linux 5.5 on. */
        if (sscanf(line, "%*d %*d %63s %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %lld",
                   name, &flushes) == 2)
            total = (total < 0 ? 0 : total) + flushes;
    }
    if (file != NULL)
        fclose(file);
    return total;
}

void samples_add(struct samples *samples, int64_t value)
{
    if (samples->count == samples->capacity) {
        samples->capacity = MAX(samples->capacity * 2, (size_t)1024);
        samples->values = xrealloc(samples->values, samples->capacity * sizeof(int64_t));
    }
    samples->values[samples->count++] = value;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t samples_percentile(struct samples *samples, double percent)
{
    if (samples->count == 0)
        return 0;
    qsort(samples->values, samples->count, sizeof(int64_t), compare);
    size_t index = (size_t)(percent / 100 * (double)samples->count);
    return samples->values[MIN(index, samples->count - 1)];
}

void samples_release(struct samples *samples)
{
    free(samples->values);
    *samples = (struct samples){ 0 };
}
