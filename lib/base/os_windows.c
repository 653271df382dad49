/* os_windows.c - the operating system on Windows 8 and later. Paths are UTF-8 outside and UTF-16
 * inside. */
#if !defined(_WIN32_WINNT) || _WIN32_WINNT < 0x0602
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0602
#endif
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include "base/os.h"

#include "base/checked.h"

#include <windows.h>

#include <io.h>
#include <process.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_UNITS = 4096, PART = 1 << 30 };

/* --- errors and paths ------------------------------------------------------------------------- */

typedef struct error_text {
    char text[256];
} error_text;

/* What the system says about an error, in UTF-8 and without the line's end. */
static error_text describe(DWORD error)
{
    error_text out;
    WCHAR wide[128];
    DWORD flags = FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS;
    DWORD length = FormatMessageW(flags, NULL, error, 0, wide, 128, NULL);
    while (length > 0 && wide[length - 1] <= L' ')
        length--;
    int size = 0;
    if (length > 0)
        size = WideCharToMultiByte(CP_UTF8, 0, wide, (int)length, out.text,
                                   (int)sizeof out.text - 1, NULL, NULL);
    out.text[size] = '\0';
    if (size == 0)
        snprintf(out.text, sizeof out.text, "system error %lu", (unsigned long)error);
    return out;
}

static int32_t fail_io(const char *what)
{
    return lm_fail(LLM_E_IO, "cannot %s: %s", what, describe(GetLastError()).text);
}

static int32_t fail_path(const char *what, const char *path)
{
    DWORD error = GetLastError();
    bool absent = error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND ||
                  error == ERROR_MOD_NOT_FOUND;
    return lm_fail(absent ? LLM_E_NOT_FOUND : LLM_E_IO, "cannot %s '%s': %s", what, path,
                   describe(error).text);
}

static int32_t widen(const char *path, WCHAR out[PATH_UNITS])
{
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, out, PATH_UNITS) > 0)
        return LLM_OK;
    return lm_fail(LLM_E_INVALID, "the path '%s' is too long or no UTF-8", path);
}

/* --- files ------------------------------------------------------------------------------------ */

static HANDLE handle_of(lm_os_file file)
{
    return (HANDLE)file.handle;
}

int32_t lm_os_file_open(const char *path, lm_os_file *out)
{
    WCHAR wide[PATH_UNITS];
    out->handle = -1;
    LM_TRY(widen(path, wide));
    HANDLE handle = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL,
                                OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (handle == INVALID_HANDLE_VALUE)
        return fail_path("open", path);
    out->handle = (intptr_t)handle;
    return LLM_OK;
}

#if defined(_UCRT)
/* Not in every mingw-w64's headers. */
_invalid_parameter_handler __cdecl _set_thread_local_invalid_parameter_handler(
    _invalid_parameter_handler handler);

static void ignore_parameter(const wchar_t *expression, const wchar_t *function,
                             const wchar_t *file, unsigned line, uintptr_t reserved)
{
    (void)expression, (void)function, (void)file, (void)line, (void)reserved;
}
#endif

/* The C runtime ends the process over a descriptor that is not open, unless told not to. */
static HANDLE descriptor_handle(int fd)
{
    if (fd < 0)
        return INVALID_HANDLE_VALUE;
#if defined(_UCRT)
    _invalid_parameter_handler before =
        _set_thread_local_invalid_parameter_handler(ignore_parameter);
    HANDLE handle = (HANDLE)_get_osfhandle(fd);
    _set_thread_local_invalid_parameter_handler(before);
    return handle;
#else
    return (HANDLE)_get_osfhandle(fd);
#endif
}

int32_t lm_os_file_dup(int fd, lm_os_file *out)
{
    HANDLE self = GetCurrentProcess(), source = descriptor_handle(fd), handle = NULL;
    out->handle = -1;
    if (source == INVALID_HANDLE_VALUE)
        return lm_fail(LLM_E_IO, "cannot use file descriptor %d: it is not open", fd);
    if (!DuplicateHandle(self, source, self, &handle, 0, FALSE, DUPLICATE_SAME_ACCESS))
        return fail_io("use the file descriptor");
    out->handle = (intptr_t)handle;
    return LLM_OK;
}

void lm_os_file_close(lm_os_file *file)
{
    if (file->handle != -1)
        CloseHandle(handle_of(*file));
    file->handle = -1;
}

int32_t lm_os_file_size(lm_os_file file, uint64_t *out)
{
    LARGE_INTEGER size;
    if (GetFileType(handle_of(file)) != FILE_TYPE_DISK)
        return lm_fail(LLM_E_IO, "not a regular file; open a file, or use callbacks for a stream");
    if (!GetFileSizeEx(handle_of(file), &size))
        return fail_io("ask for the file's size");
    *out = (uint64_t)size.QuadPart;
    return LLM_OK;
}

int32_t lm_os_file_read(lm_os_file file, uint64_t offset, void *into, size_t size)
{
    char *at = into;
    while (size > 0) {
        OVERLAPPED where = {0};
        where.Offset = (DWORD)offset;
        where.OffsetHigh = (DWORD)(offset >> 32);
        DWORD got = 0;
        BOOL done = ReadFile(handle_of(file), at, size < PART ? (DWORD)size : PART, &got, &where);
        DWORD error = done ? ERROR_SUCCESS : GetLastError();
        if (!done && error != ERROR_HANDLE_EOF)
            return lm_fail(LLM_E_IO, "cannot read at offset %llu: %s", (unsigned long long)offset,
                           describe(error).text);
        if (got == 0)
            return lm_fail(LLM_E_IO, "the file ends at offset %llu, earlier than it said",
                           (unsigned long long)offset);
        at += got;
        offset += got;
        size -= got;
    }
    return LLM_OK;
}

int32_t lm_os_map(lm_os_file file, uint64_t size, lm_os_mapping *out)
{
    if (size == 0 || !lm_fits_size(size))
        return lm_fail(LLM_E_IO, "cannot map a file of %llu bytes", (unsigned long long)size);
    HANDLE section = CreateFileMappingW(handle_of(file), NULL, PAGE_READONLY, 0, 0, NULL);
    if (section == NULL)
        return fail_io("map the file");
    const void *data = MapViewOfFile(section, FILE_MAP_READ, 0, 0, (SIZE_T)size);
    int32_t rc = data == NULL ? fail_io("map the file") : LLM_OK;
    CloseHandle(section); /* the view keeps it alive */
    if (rc == LLM_OK)
        *out = (lm_os_mapping){data, size, 0};
    return rc;
}

void lm_os_fetch(const void *data, uint64_t size)
{
    (void)data; /* its own reading ahead is all that the oldest system we run on offers */
    (void)size;
}

void lm_os_large_pages(void *data, size_t size)
{
    (void)data; /* a privilege that few processes have is needed */
    (void)size;
}

void lm_os_unmap(lm_os_mapping *map)
{
    if (map->data != NULL)
        UnmapViewOfFile(map->data);
    map->data = NULL;
}

int32_t lm_os_output_open(const char *path, lm_os_output *out)
{
    WCHAR wide[PATH_UNITS];
    int length = snprintf(out->temporary, sizeof out->temporary, "%s.%lu.tmp", path,
                          (unsigned long)GetCurrentProcessId());
    out->file.handle = -1;
    if (path[0] == '\0')
        return lm_fail(LLM_E_INVALID, "an empty path to write to");
    if (length < 0 || (size_t)length >= sizeof out->temporary)
        return lm_fail(LLM_E_INVALID, "the path '%s' is too long", path);
    memcpy(out->path, path, strlen(path) + 1);
    LM_TRY(widen(out->temporary, wide));
    HANDLE handle =
        CreateFileW(wide, GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    if (handle == INVALID_HANDLE_VALUE)
        return lm_fail(LLM_E_IO, "cannot create '%s': %s", out->temporary,
                       describe(GetLastError()).text);
    out->file.handle = (intptr_t)handle;
    return LLM_OK;
}

int32_t lm_os_output_write(lm_os_output *output, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        DWORD put = 0;
        if (!WriteFile(handle_of(output->file), from, size < PART ? (DWORD)size : PART, &put, NULL))
            return fail_path("write", output->temporary);
        from += put;
        size -= put;
    }
    return LLM_OK;
}

static void remove_file(const char *path)
{
    WCHAR wide[PATH_UNITS];
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, PATH_UNITS) > 0)
        DeleteFileW(wide);
}

void lm_os_output_abandon(lm_os_output *output)
{
    if (output->file.handle == -1)
        return;
    lm_os_file_close(&output->file);
    remove_file(output->temporary);
}

static int32_t replace(const char *path, const char *by)
{
    WCHAR from[PATH_UNITS], to[PATH_UNITS];
    LM_TRY(widen(by, from));
    LM_TRY(widen(path, to));
    if (!MoveFileExW(from, to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        return fail_path("replace", path);
    return LLM_OK;
}

int32_t lm_os_output_commit(lm_os_output *output)
{
    HANDLE handle = handle_of(output->file);
    int32_t rc = FlushFileBuffers(handle) ? LLM_OK : fail_path("flush", output->temporary);
    output->file.handle = -1;
    if (!CloseHandle(handle) && rc == LLM_OK)
        rc = fail_path("close", output->temporary);
    if (rc == LLM_OK)
        rc = replace(output->path, output->temporary);
    if (rc < 0)
        remove_file(output->temporary);
    return rc;
}

/* --- time, processor, memory ------------------------------------------------------------------ */

uint64_t lm_os_now_ns(void)
{
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    uint64_t ticks = (uint64_t)count.QuadPart, rate = (uint64_t)frequency.QuadPart;
    return ticks / rate * 1000000000u + ticks % rate * 1000000000u / rate;
}

/* The system counts in ticks of many milliseconds: as if the thread always had a processor. */
uint64_t lm_os_thread_ns(void)
{
    return lm_os_now_ns();
}

uint32_t lm_os_cpu_count(void)
{
    DWORD_PTR process = 0, system = 0;
    uint32_t count = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &process, &system))
        for (; process != 0; process &= process - 1)
            count++;
    return count < 1 ? 1 : count;
}

void lm_os_hwcap(uint64_t words[2])
{
    words[0] = words[1] = 0;
}

bool lm_os_allow_tiles(void)
{
    return false;
}

uint64_t lm_os_memory_total(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : 0;
}

uint64_t lm_os_memory_free(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? status.ullAvailPhys : 0;
}

/* --- threads ---------------------------------------------------------------------------------- */

typedef struct thread_impl {
    HANDLE handle;
    void (*fn)(void *arg);
    void *arg;
} thread_impl;

static unsigned __stdcall thread_main(void *arg)
{
    thread_impl *impl = arg;
    impl->fn(impl->arg);
    return 0;
}

int32_t lm_os_thread_start(lm_allocator *a, void (*fn)(void *arg), void *arg, lm_os_thread *out)
{
    thread_impl *impl = LM_NEW(a, thread_impl);
    if (impl == NULL)
        return LLM_E_MEMORY;
    impl->fn = fn;
    impl->arg = arg;
    uintptr_t handle = _beginthreadex(NULL, 0, thread_main, impl, 0, NULL);
    if (handle == 0) {
        LM_DELETE(a, impl);
        return lm_fail(LLM_E_MEMORY, "cannot start a thread");
    }
    impl->handle = (HANDLE)handle; /* read by the joining thread only */
    out->impl = impl;
    return LLM_OK;
}

void lm_os_thread_join(lm_allocator *a, lm_os_thread *thread)
{
    thread_impl *impl = thread->impl;
    if (impl == NULL)
        return;
    WaitForSingleObject(impl->handle, INFINITE);
    CloseHandle(impl->handle);
    LM_DELETE(a, impl);
    thread->impl = NULL;
}

void lm_os_thread_yield(void)
{
    SwitchToThread();
}

void lm_os_relax(void)
{
    YieldProcessor();
}

int32_t lm_os_mutex_init(lm_allocator *a, lm_os_mutex *out)
{
    SRWLOCK *impl = LM_NEW(a, SRWLOCK);
    if (impl == NULL)
        return LLM_E_MEMORY;
    InitializeSRWLock(impl);
    out->impl = impl;
    return LLM_OK;
}

void lm_os_mutex_finish(lm_allocator *a, lm_os_mutex *mutex)
{
    SRWLOCK *impl = mutex->impl;
    if (impl == NULL)
        return;
    LM_DELETE(a, impl);
    mutex->impl = NULL;
}

void lm_os_mutex_lock(lm_os_mutex *mutex)
{
    AcquireSRWLockExclusive(mutex->impl);
}

void lm_os_mutex_unlock(lm_os_mutex *mutex)
{
    ReleaseSRWLockExclusive(mutex->impl);
}

int32_t lm_os_cond_init(lm_allocator *a, lm_os_cond *out)
{
    CONDITION_VARIABLE *impl = LM_NEW(a, CONDITION_VARIABLE);
    if (impl == NULL)
        return LLM_E_MEMORY;
    InitializeConditionVariable(impl);
    out->impl = impl;
    return LLM_OK;
}

void lm_os_cond_finish(lm_allocator *a, lm_os_cond *cond)
{
    CONDITION_VARIABLE *impl = cond->impl;
    if (impl == NULL)
        return;
    LM_DELETE(a, impl);
    cond->impl = NULL;
}

void lm_os_cond_wait(lm_os_cond *cond, lm_os_mutex *mutex)
{
    SleepConditionVariableSRW(cond->impl, mutex->impl, INFINITE, 0);
}

void lm_os_cond_wake_one(lm_os_cond *cond)
{
    WakeConditionVariable(cond->impl);
}

void lm_os_cond_wake_all(lm_os_cond *cond)
{
    WakeAllConditionVariable(cond->impl);
}

int32_t lm_os_sem_init(lm_allocator *a, lm_os_sem *out)
{
    (void)a;
    out->impl = CreateSemaphoreW(NULL, 0, LONG_MAX, NULL);
    return out->impl != NULL ? LLM_OK : lm_fail(LLM_E_MEMORY, "cannot make a semaphore");
}

void lm_os_sem_finish(lm_allocator *a, lm_os_sem *sem)
{
    (void)a;
    if (sem->impl != NULL)
        CloseHandle(sem->impl);
    sem->impl = NULL;
}

void lm_os_sem_post(lm_os_sem *sem)
{
    ReleaseSemaphore(sem->impl, 1, NULL);
}

void lm_os_sem_wait(lm_os_sem *sem)
{
    WaitForSingleObject(sem->impl, INFINITE);
}

void lm_os_sem_wait_for(lm_os_sem *sem, uint64_t ns)
{
    WaitForSingleObject(sem->impl, (DWORD)(ns / 1000000));
}

/* --- shared objects --------------------------------------------------------------------------- */

#if !defined(LM_STATIC_ONLY)
/* The folder of the file that this code was loaded from, with its last separator. */
static int32_t own_folder(WCHAR *out)
{
    HMODULE module;
    int32_t (*here)(const char *, const char *, void **) = lm_os_module_open;
    LPCWSTR address;
    memcpy(&address, &here, sizeof address);
    DWORD how =
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    DWORD length = 0;
    if (GetModuleHandleExW(how, address, &module))
        length = GetModuleFileNameW(module, out, PATH_UNITS);
    if (length == 0 || length >= PATH_UNITS)
        return lm_fail(LLM_E_UNSUPPORTED, "the library's own folder is not known");
    while (length > 0 && out[length - 1] != L'\\')
        length--;
    out[length] = 0;
    return LLM_OK;
}

static int32_t named_folder(const char *folder, WCHAR *out)
{
    WCHAR wide[PATH_UNITS];
    LM_TRY(widen(folder, wide));
    DWORD length = GetFullPathNameW(wide, PATH_UNITS - 1, out, NULL);
    if (length == 0 || length >= PATH_UNITS - 1)
        return lm_fail(LLM_E_INVALID, "the path '%s' is too long", folder);
    out[length] = L'\\';
    out[length + 1] = 0;
    return LLM_OK;
}

/* Finds the libraries beside the module too, and never those of the current folder. */
int32_t lm_os_module_open(const char *folder, const char *name, void **out)
{
    WCHAR path[PATH_UNITS];
    char file[64];
    *out = NULL;
    LM_TRY(folder == NULL ? own_folder(path) : named_folder(folder, path));
    snprintf(file, sizeof file, "libllm-%s.dll", name);
    size_t at = wcslen(path);
    for (size_t i = 0; i <= strlen(file); i++) {
        if (at + i >= PATH_UNITS)
            return lm_fail(LLM_E_INVALID, "the path of module '%s' is too long", name);
        path[at + i] = (WCHAR)file[i];
    }
    if (GetFileAttributesW(path) == INVALID_FILE_ATTRIBUTES)
        return lm_fail(LLM_E_NOT_FOUND, "no module '%s' is there", file);
    *out = LoadLibraryExW(path, NULL,
                          LOAD_LIBRARY_SEARCH_DEFAULT_DIRS | LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR);
    if (*out != NULL)
        return LLM_OK;
    fail_path("load", file);
    return LLM_E_UNSUPPORTED;
}

/* Looked for in the system's and the program's folders, never in the current one. */
int32_t lm_os_library_open(const char *name, void **out)
{
    WCHAR wide[PATH_UNITS];
    *out = NULL;
    LM_TRY(widen(name, wide));
    *out = LoadLibraryExW(wide, NULL, LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
    return *out == NULL ? fail_path("load", name) : LLM_OK;
}

void lm_os_library_close(void *library)
{
    if (library != NULL)
        FreeLibrary(library);
}

void *lm_os_library_symbol(void *library, const char *name)
{
    return (void *)(uintptr_t)GetProcAddress(library, name);
}
#endif
