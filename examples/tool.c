/* tool.c - options, messages, progress, JSON of the example programs. */
#define _POSIX_C_SOURCE 200809L
#include "tool.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#define isatty _isatty
#define fileno _fileno
#else
#include <unistd.h>
#endif

static const char *program_name = "llm";
static bool bar_shown;
static llm_writer *unfinished;
static volatile sig_atomic_t interrupted; /* the signal */

/* --- ending ----------------------------------------------------------------------------------- */

#if defined(__GNUC__)
__attribute__((noreturn))
#endif
static void
leave(int status)
{
    llm_writer_destroy(unfinished);
    exit(status);
}

/* A second one ends the program at once. */
static void interrupt(int number)
{
    interrupted = number;
    signal(number, SIG_DFL);
}

void tool_unfinished(llm_writer *writer)
{
    unfinished = writer;
    signal(SIGINT, writer == NULL ? SIG_DFL : interrupt);
    signal(SIGTERM, writer == NULL ? SIG_DFL : interrupt);
}

/* One line, whatever the message holds. */
static void say(const char *format, va_list args, const char *tail)
{
    char line[2048];
    int size = vsnprintf(line, sizeof line, format, args);
    fflush(stdout);
    fprintf(stderr, "%s%s: ", bar_shown ? "\r\033[K" : "", program_name);
    tool_plain_text(stderr, line, strlen(line));
    fprintf(stderr, "%s%s\n", size >= (int)sizeof line ? "..." : "", tail);
}

void tool_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args, "");
    va_end(args);
    leave(1);
}

void tool_misused(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args, " (--help tells more)");
    va_end(args);
    leave(2);
}

void tool_check(int32_t status)
{
    if (status < 0)
        tool_fail("%s", llm_last_error());
}

void tool_flush(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        tool_fail("cannot write to stdout: %s", strerror(errno));
}

/* --- options ---------------------------------------------------------------------------------- */

static void print_help(const tool_program *p)
{
    printf("usage: %s %s\n\n%s\n\n", p->name, p->usage, p->about);
    for (const tool_option *o = p->options; o->name != NULL; o++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", o->name, o->value == NULL ? "" : o->value);
        printf("  %-22s %s\n", left, o->help);
    }
    printf("  %-22s %s\n", "--help", "this text");
    tool_flush();
    exit(0);
}

static double parse_number(const tool_option *o, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    bool whole = o->kind != TOOL_COUNT || (value >= 0 && value == floor(value));
    if (end == text || *end != '\0' || !isfinite(value) || !whole)
        tool_misused("%s takes %s, not '%s'", o->name,
                     o->kind == TOOL_COUNT ? "a whole number" : "a number", text);
    if (o->most > 0 && value > o->most)
        tool_misused("%s takes at most %.15g, not '%s'", o->name, o->most, text);
    return value;
}

static uint64_t parse_size(const tool_option *o, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    const char *units = "KMG", *unit = *end == '\0' ? NULL : strchr(units, *end);
    bool good = end != text && (*end == '\0' || (unit != NULL && end[1] == '\0'));
    if (unit != NULL)
        value *= pow(1024, (double)(unit - units + 1));
    if (!good || !(value >= 1 && value <= 0x1p62))
        tool_misused("%s takes a number of bytes like 512M, not '%s'", o->name, text);
    return (uint64_t)value;
}

static void take_option(const tool_option *o, const char *text)
{
    tool_texts *texts = o->target;
    switch (o->kind) {
    case TOOL_FLAG:
        *(bool *)o->target = true;
        return;
    case TOOL_TEXT:
        *(const char **)o->target = text;
        return;
    case TOOL_COUNT:
        *(uint64_t *)o->target = (uint64_t)parse_number(o, text);
        return;
    case TOOL_NUMBER:
        *(double *)o->target = parse_number(o, text);
        return;
    case TOOL_SIZE:
        *(uint64_t *)o->target = parse_size(o, text);
        return;
    case TOOL_TEXTS:
        if (texts->count == TOOL_MOST_TEXTS)
            tool_misused("%s is given too often", o->name);
        texts->items[texts->count++] = text;
        return;
    }
}

static const tool_option *find_option(const tool_program *p, const char *name)
{
    for (const tool_option *o = p->options; o->name != NULL; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

void tool_parse(const tool_program *p, int argc, char **argv)
{
    int words = 0;
    program_name = p->name;
#if defined(_WIN32)
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#endif
    for (int i = 1; i < argc; i++) {
        const tool_option *o = find_option(p, argv[i]);
        if (strcmp(argv[i], "--help") == 0)
            print_help(p);
        if (o == NULL) {
            if (argv[i][0] == '-' && argv[i][1] != '\0')
                tool_misused("there is no option %s", argv[i]);
            if (words == p->n_words)
                tool_misused("'%s' is one argument too many", argv[i]);
            p->words[words++] = argv[i];
            continue;
        }
        if (o->kind != TOOL_FLAG && i + 1 == argc)
            tool_misused("%s needs a value", o->name);
        take_option(o, o->kind == TOOL_FLAG ? NULL : argv[++i]);
    }
    if (words < p->n_words)
        tool_misused("usage: %s %s", p->name, p->usage);
}

/* --- models ----------------------------------------------------------------------------------- */

static int32_t show_loading(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    tool_progress("loading", done, total);
    return 0;
}

void tool_open(const char *path, const tool_compute *compute, const llm_engine_params *shape,
               tool_model *out)
{
    memset(out, 0, sizeof *out);
    llm_runtime_params rp = {.struct_size = sizeof rp,
                             .threads = (uint32_t)compute->threads,
                             .module_folder = compute->modules};
    llm_model_params mp = {.struct_size = sizeof mp,
                           .context = (uint32_t)compute->context,
                           .devices = compute->devices,
                           .budget = compute->budget,
                           .progress = show_loading};
    llm_engine_params ep = {.struct_size = sizeof ep};
    if (shape != NULL)
        ep = *shape;
    ep.cache_type = compute->cache;
    ep.flags |= compute->fast ? LLM_ENGINE_FAST : 0;
    tool_check(llm_runtime_create(&rp, &out->runtime));
    tool_check(llm_model_open(out->runtime, path, &mp, &out->model));
    out->info.struct_size = sizeof out->info;
    tool_check(llm_model_get_info(out->model, &out->info));
    tool_check(llm_engine_create(out->model, &ep, &out->engine));
}

void tool_close(tool_model *m)
{
    llm_engine_release(m->engine);
    llm_model_release(m->model);
    llm_runtime_destroy(m->runtime);
}

uint64_t tool_memory(const tool_model *m)
{
    llm_memory_use host = {.struct_size = sizeof host};
    llm_engine_stats stats = {.struct_size = sizeof stats};
    tool_check(llm_runtime_memory(m->runtime, &host));
    tool_check(llm_engine_get_stats(m->engine, &stats));
    return host.bytes + stats.device_bytes;
}

/* --- text ------------------------------------------------------------------------------------- */

char *tool_read(FILE *from, const char *name, uint64_t *size)
{
    size_t capacity = 1 << 16, used = 0;
    char *text = malloc(capacity);
    while (text != NULL) {
        used += fread(text + used, 1, capacity - used - 1, from);
        if (used < capacity - 1)
            break;
        char *bigger = realloc(text, capacity *= 2);
        if (bigger == NULL)
            free(text);
        text = bigger;
    }
    if (text == NULL)
        tool_fail("no memory for '%s'", name);
    if (ferror(from))
        tool_fail("cannot read '%s': %s", name, strerror(errno));
    text[used] = '\0';
    *size = used;
    return text;
}

char *tool_read_file(const char *path, uint64_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        tool_fail("cannot open '%s': %s", path, strerror(errno));
    char *text = tool_read(file, path, size);
    fclose(file);
    return text;
}

llm_token *tool_encode(const llm_tokenizer *tokenizer, const char *text, uint64_t size,
                       uint32_t flags, uint64_t *count)
{
    /* Few schemes make more ids than bytes and those that they add; then they say how many. */
    llm_token *ids = NULL;
    int32_t rc = LLM_E_BUFFER;
    for (*count = size + 16; rc == LLM_E_BUFFER;) {
        uint64_t capacity = *count;
        free(ids);
        ids = malloc(capacity * sizeof *ids);
        if (ids == NULL)
            tool_fail("no memory for %llu ids", (unsigned long long)capacity);
        rc = llm_tokenizer_encode(tokenizer, text, size, flags, ids, capacity, count);
    }
    tool_check(rc);
    return ids;
}

llm_token *tool_ids(const char *text, const char *option, uint64_t *count)
{
    static const char between[] = ", \t\r\n";
    llm_token *ids = malloc((strlen(text) + 1) * sizeof *ids);
    if (ids == NULL)
        tool_fail("no memory for the ids");
    *count = 0;
    for (const char *at = text + strspn(text, between); *at != '\0';) {
        size_t size = strcspn(at, between);
        char *end;
        long value = strtol(at, &end, 10);
        if (end != at + size || value < 0 || value > INT32_MAX) {
            if (option == NULL)
                tool_fail("'%.*s' is no token id", size > 20 ? 20 : (int)size, at);
            tool_misused("%s: '%.*s' is no number", option, size > 20 ? 20 : (int)size, at);
        }
        ids[(*count)++] = (llm_token)value;
        at += size + strspn(at + size, between);
    }
    return ids;
}

/* Bytes of the whole UTF-8 character at the head of a text; 0 when there is none. */
static size_t character(const unsigned char *text, uint64_t size)
{
    size_t n = text[0] < 0x80   ? 1
               : text[0] < 0xc2 ? 0
               : text[0] < 0xe0 ? 2
               : text[0] < 0xf0 ? 3
                                : 4;
    if (text[0] > 0xf4 || n > size)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if (n > 2 && ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
                  (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f)))
        return 0;
    return n;
}

void tool_json_text(FILE *to, const char *text, uint64_t size)
{
    fputc('"', to);
    for (uint64_t i = 0; i < size;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = character((const unsigned char *)text + i, size - i);
        if (n == 0)
            fputs("\\ufffd", to);
        else if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (c < 0x20)
            fprintf(to, "\\u%04x", c);
        else
            fwrite(text + i, 1, n, to);
        i += n == 0 ? 1 : n;
    }
    fputc('"', to);
}

void tool_plain_text(FILE *to, const char *text, uint64_t size)
{
    for (uint64_t i = 0; i < size;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = character((const unsigned char *)text + i, size - i);
        if (c == '\n')
            fputs("\\n", to);
        else if (n == 0 || c < 0x20 || c == 0x7f)
            fprintf(to, "\\x%02x", c);
        else
            fwrite(text + i, 1, n, to);
        i += n == 0 ? 1 : n;
    }
}

/* --- progress and figures --------------------------------------------------------------------- */

double tool_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void tool_progress(const char *what, uint64_t done, uint64_t total)
{
    static double last;
    double now = tool_now();
    bool over = done >= total;
    if (interrupted != 0)
        leave(128 + interrupted);
    if (!isatty(fileno(stderr)) || (!over && now - last < 0.1))
        return;
    last = now;
    char bar[31] = "..............................";
    memset(bar, '#', total == 0 ? 30 : (size_t)(done * 30 / total));
    fprintf(stderr, "\r%s [%s] %3u%%", what, bar,
            (unsigned)(total == 0 ? 100 : done * 100 / total));
    if (over)
        fprintf(stderr, "\r\033[K");
    bar_shown = !over;
}

const char *tool_bytes(uint64_t bytes, char *text)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    snprintf(text, 32, unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
    return text;
}
