/* registry.c - parsing of device lists, lookup of backends, loading of modules. */
#include "backend/registry.h"

#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int32_t bad_list(const char *list, const char *why)
{
    return lm_fail(LLM_E_INVALID,
                   "device list '%.200s': %s; write names like \"cpu\" or \"vulkan:0,cpu\"", list,
                   why);
}

/* "1073741824", "512M", "4G" */
static int32_t parse_bytes(const char *list, const char *text, size_t size, uint64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; i < size && text[i] >= '0' && text[i] <= '9'; i++) {
        if (value > UINT64_MAX / 16)
            return bad_list(list, "a size that large does not exist");
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    static const struct {
        char letter;
        unsigned shift;
    } units[] = {{'K', 10}, {'M', 20}, {'G', 30}};
    unsigned shift = 0;
    for (size_t u = 0; i + 1 == size && u < 3; u++)
        if (text[i] == units[u].letter)
            shift = units[u].shift;
    if (i == 0 || (i != size && shift == 0) || value > UINT64_MAX >> shift)
        return bad_list(list, "the size behind '=' is no number of bytes");
    *out = value << shift;
    return LLM_OK;
}

static int32_t parse_one(const char *list, const char *text, size_t size, lm_device_name *out)
{
    memset(out, 0, sizeof *out);
    const char *equals = memchr(text, '=', size);
    if (equals != NULL) {
        LM_TRY(parse_bytes(list, equals + 1, size - (size_t)(equals + 1 - text), &out->budget));
        size = (size_t)(equals - text);
    }
    const char *colon = memchr(text, ':', size);
    size_t name = colon == NULL ? size : (size_t)(colon - text);
    if (name == 0 || name >= sizeof out->backend)
        return bad_list(list, "a device name is empty or too long");
    memcpy(out->backend, text, name);
    for (size_t i = name + 1; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || out->index > 9999)
            return bad_list(list, "the part behind ':' is no device number");
        out->index = out->index * 10 + (uint32_t)(text[i] - '0');
    }
    if (colon != NULL && name + 1 == size)
        return bad_list(list, "the device number is missing");
    return LLM_OK;
}

int32_t lm_device_names(const char *list, lm_device_name *names, uint32_t *count)
{
    if (list == NULL)
        list = "cpu";
    *count = 0;
    for (const char *at = list;; at++) {
        const char *end = strchr(at, ',');
        size_t size = end == NULL ? strlen(at) : (size_t)(end - at);
        if (*count == LM_MAX_DEVICES)
            return bad_list(list, "too many devices");
        lm_device_name *name = &names[*count];
        LM_TRY(parse_one(list, at, size, name));
        for (uint32_t i = 0; i < *count; i++)
            if (names[i].index == name->index && strcmp(names[i].backend, name->backend) == 0)
                return bad_list(list, "a device is named twice");
        ++*count;
        if (end == NULL)
            return LLM_OK;
        at = end;
    }
}

int32_t lm_registry_init(lm_registry *r, lm_allocator *alloc, const lm_host *host,
                         const char *module_folder)
{
    memset(r, 0, sizeof *r);
    r->alloc = alloc;
    r->host = *host;
    if (module_folder != NULL) {
        if (strlen(module_folder) >= sizeof r->module_folder)
            return lm_fail(LLM_E_INVALID, "the module folder's path is too long");
        memcpy(r->module_folder, module_folder, strlen(module_folder));
    }
    for (uint32_t i = 0; i < lm_backends_builtin_count && i < LM_MAX_BACKENDS; i++)
        r->entries[r->n_entries++] = (lm_registry_entry){lm_backends_builtin[i], NULL};
    return LLM_OK;
}

void lm_registry_finish(lm_registry *r)
{
    for (uint32_t i = 0; i < r->n_entries; i++)
        lm_os_library_close(r->entries[i].module);
    r->n_entries = 0;
}

static const lm_backend *known(const lm_registry *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_entries; i++)
        if (strcmp(r->entries[i].backend->name, name) == 0)
            return r->entries[i].backend;
    return NULL;
}

static int32_t not_there(const lm_registry *r, const char *name)
{
    char names[256] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < r->n_entries; i++) {
        int n = snprintf(names + used, sizeof names - used, "%s%s", used == 0 ? "" : ", ",
                         r->entries[i].backend->name);
        used += n > 0 && (size_t)n < sizeof names - used ? (size_t)n : 0;
    }
    return lm_fail(
        LLM_E_NOT_FOUND,
        "there is no backend '%s', and no module of that name %s%s; this library has: %s", name,
        r->module_folder[0] == '\0' ? "beside the library" : "in ", r->module_folder, names);
}

static bool is_module_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        if (!(*c >= 'a' && *c <= 'z') && !(*c >= '0' && *c <= '9'))
            return false;
    return true;
}

static int32_t load_module(lm_registry *r, const char *name)
{
    static const lm_core core = {lm_message_buffer};
    void *module;
    if (!is_module_name(name))
        return not_there(r, name);
    if (r->n_entries == LM_MAX_BACKENDS)
        return lm_fail(LLM_E_LIMIT, "too many backends are loaded");
    const char *folder = r->module_folder[0] == '\0' ? NULL : r->module_folder;
    int32_t rc = lm_os_module_open(folder, name, &module);
    if (rc == LLM_E_NOT_FOUND)
        return not_there(r, name);
    LM_TRY(rc);
    lm_backend_entry entry;
    void *symbol = lm_os_library_symbol(module, "llm_backend_entry");
    memcpy(&entry, &symbol, sizeof entry);
    const lm_backend *backend = symbol == NULL ? NULL : entry(LM_BACKEND_VERSION, &core);
    if (backend == NULL || backend->version != LM_BACKEND_VERSION ||
        strcmp(backend->name, name) != 0) {
        lm_os_library_close(module);
        return lm_fail(
            LLM_E_UNSUPPORTED,
            "module libllm-%s was made from other sources than this library, or got another "
            "name; build or install the two together",
            name);
    }
    r->entries[r->n_entries++] = (lm_registry_entry){backend, module};
    return LLM_OK;
}

int32_t lm_registry_find(lm_registry *r, const char *name, const lm_backend **out)
{
    *out = known(r, name);
    if (*out == NULL) {
        LM_TRY(load_module(r, name));
        *out = known(r, name);
    }
    return *out == NULL ? not_there(r, name) : LLM_OK;
}

int32_t lm_registry_open(lm_registry *r, const lm_device_name *name, lm_device **out)
{
    const lm_backend *backend;
    uint32_t count = 0;
    LM_TRY(lm_registry_find(r, name->backend, &backend));
    LM_TRY(backend->probe(&r->host, &count));
    if (count == 0)
        return lm_fail_within(LLM_E_NOT_FOUND, "there is no device %s:%u", name->backend,
                              (unsigned)name->index);
    if (name->index >= count)
        return lm_fail(LLM_E_NOT_FOUND, "there is no device %s:%u; the backend has %u",
                       name->backend, (unsigned)name->index, (unsigned)count);
    return backend->open(&r->host, name->index, out);
}
