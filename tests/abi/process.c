/* process.c - a library that comes and goes: loaded and unloaded again and again, used by a child of a
 * process that uses it, and still in use when the process ends. It is never linked.
 * usage: process LIBRARY MODEL (a small text model) */
#define _POSIX_C_SOURCE 200809L
#include <llm/llm.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "process.c:%d: %s\n", __LINE__, #condition);                           \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

enum { MADE = 8 };

/* A loaded copy with all that hangs on it. */
typedef struct host {
    void *library;
    llm_runtime *runtime;
    llm_model *model;
    llm_session *session;
    llm_token made[MADE];
} host;

static void find(void *library, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(library, name);
    check(symbol != NULL);
    memcpy(function, &symbol, size);
}

static void start(host *h, const char *library, const char *model)
{
    static const llm_token prompt[] = {1, 5, 9, 13, 17, 21, 25, 29};
    memset(h, 0, sizeof *h);
    h->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    check(h->library != NULL);
    int32_t (*create)(const llm_runtime_params *, llm_runtime **);
    int32_t (*open)(llm_runtime *, const char *, const llm_model_params *, llm_model **);
    int32_t (*begin)(llm_model *, const llm_session_params *, llm_session **);
    int32_t (*feed)(llm_session *, const llm_token *, uint64_t, const llm_feed_params *);
    int32_t (*next)(llm_session *, llm_piece *);
    find(h->library, "llm_runtime_create", &create, sizeof create);
    find(h->library, "llm_model_open", &open, sizeof open);
    find(h->library, "llm_session_create", &begin, sizeof begin);
    find(h->library, "llm_session_feed", &feed, sizeof feed);
    find(h->library, "llm_session_next", &next, sizeof next);
    llm_runtime_params rp = {.struct_size = sizeof rp, .threads = 3};
    check(create(&rp, &h->runtime) == LLM_OK);
    check(open(h->runtime, model, NULL, &h->model) == LLM_OK);
    check(begin(h->model, NULL, &h->session) == LLM_OK);
    check(feed(h->session, prompt, sizeof prompt / sizeof *prompt, NULL) == LLM_OK);
    for (int i = 0; i < MADE; i++) {
        llm_piece piece = LLM_PIECE_INIT;
        check(next(h->session, &piece) == LLM_OK);
        h->made[i] = piece.token;
    }
}

static void stop(host *h)
{
    void (*end)(llm_session *), (*release)(llm_model *), (*destroy)(llm_runtime *);
    find(h->library, "llm_session_destroy", &end, sizeof end);
    find(h->library, "llm_model_release", &release, sizeof release);
    find(h->library, "llm_runtime_destroy", &destroy, sizeof destroy);
    end(h->session);
    release(h->model);
    destroy(h->runtime);
    check(dlclose(h->library) == 0);
}

/* Nothing of it stays: no thread, no mapping. */
static void check_gone(const char *library)
{
    check(dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD) == NULL);
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    int threads = 0;
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "Threads: %d", &threads) == 1)
            check(threads == 1);
    check(threads == 1);
    fclose(status);
}

/* In a child the parent's objects are there and its threads are not; objects of its own work. */
static void fork_beside(const host *parent, const char *library, const char *model)
{
    int status;
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        host own;
        start(&own, library, model);
        check(memcmp(own.made, parent->made, sizeof own.made) == 0);
        stop(&own);
        exit(0); /* with the parent's objects alive */
    }
    check(waitpid(child, &status, 0) == child);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
    check(argc == 3);
    host first, again;
    start(&first, argv[1], argv[2]);
    stop(&first);
    for (int i = 0; i < 4; i++) {
        check_gone(argv[1]);
        start(&again, argv[1], argv[2]);
        check(memcmp(again.made, first.made, sizeof first.made) == 0);
        if (i < 3)
            stop(&again);
    }
    fork_beside(&again, argv[1], argv[2]);
    return 0; /* with everything alive */
}
