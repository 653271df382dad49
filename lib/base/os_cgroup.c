/* os_cgroup.c - how many processors the control groups of a Linux process leave it. A group's quota
 * binds all groups below it, so the least on the way up to the root counts. */
#include "base/os.h"

#include <stdio.h>
#include <string.h>

/* Rounded up: two thirds of a processor are one thread's work. 0: no quota. */
static uint32_t cpus_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    long long cpus = quota / period + (quota % period != 0);
    return cpus > 0xffff ? 0 : (uint32_t)cpus;
}

/* The numbers in a file, at most two; "max" ends them. */
static int read_numbers(const char *folder, const char *name, long long numbers[2])
{
    char path[LM_OS_PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    int count = fscanf(file, "%lld %lld", &numbers[0], &numbers[1]);
    fclose(file);
    return count < 0 ? 0 : count;
}

static uint32_t quota_v2(const char *folder)
{
    long long both[2];
    return read_numbers(folder, "cpu.max", both) == 2 ? cpus_of(both[0], both[1]) : 0;
}

static uint32_t quota_v1(const char *folder)
{
    long long quota[2], period[2];
    bool known = read_numbers(folder, "cpu.cfs_quota_us", quota) > 0 &&
                 read_numbers(folder, "cpu.cfs_period_us", period) > 0;
    return known ? cpus_of(quota[0], period[0]) : 0;
}

/* From the group at `path` up to the mount itself. In a container the path may not be there, being
 * the host's; its root then still holds the container's own limit. */
static uint32_t least_quota(const char *mount, const char *path, uint32_t (*quota)(const char *))
{
    char folder[LM_OS_PATH_BYTES];
    int length = snprintf(folder, sizeof folder, "%s%s", mount, path);
    if (length < 0 || (size_t)length >= sizeof folder)
        return 0;
    uint32_t least = 0;
    for (;;) {
        uint32_t cpus = quota(folder);
        if (cpus != 0 && (least == 0 || cpus < least))
            least = cpus;
        char *slash = strrchr(folder, '/');
        if (slash == NULL || slash < folder + strlen(mount))
            return least;
        *slash = '\0';
    }
}

/* Is `cpu` among the controllers of "cpu,cpuacct"? */
static bool has_cpu(const char *controllers)
{
    for (const char *at = controllers; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || at[3] == '\0'))
            return true;
    }
    return false;
}

/* A line is "number:controllers:path"; version 2 has no controllers. */
static uint32_t quota_of_line(const char *root, char *line)
{
    char mount[LM_OS_PATH_BYTES];
    char *controllers = strchr(line, ':'), *path;
    line[strcspn(line, "\n")] = '\0';
    if (controllers == NULL || (path = strchr(++controllers, ':')) == NULL)
        return 0;
    *path++ = '\0';
    bool second = *controllers == '\0';
    if (!second && !has_cpu(controllers))
        return 0;
    int length = snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, second ? "" : "/cpu");
    if (length < 0 || (size_t)length >= sizeof mount)
        return 0;
    return least_quota(mount, path, second ? quota_v2 : quota_v1);
}

uint32_t lm_os_cgroup_cpus(const char *root)
{
    char line[LM_OS_PATH_BYTES];
    int length = snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *file = length < 0 || (size_t)length >= sizeof line ? NULL : fopen(line, "re");
    if (file == NULL)
        return 0;
    uint32_t least = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        uint32_t cpus = quota_of_line(root, line);
        if (cpus != 0 && (least == 0 || cpus < least))
            least = cpus;
    }
    fclose(file);
    return least;
}
