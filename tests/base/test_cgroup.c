/* test_cgroup.c - quotas of control groups, on made-up trees of the system's files. */
#include "base/os.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MADE 64

static char root[1024];
static char made[MADE][2048]; /* files and folders, in the order of their making */
static int n_made;

static void note(const char *path)
{
    assert_true(n_made < MADE);
    snprintf(made[n_made++], sizeof made[0], "%s", path);
}

/* Writes a file below the root, and the folders it is in. */
static void put(const char *path, const char *text)
{
    char full[2048];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        if (mkdir(full, 0777) == 0)
            note(full);
        *at = '/';
    }
    test_write(full, text, strlen(text));
    note(full);
}

static void start(const char *name)
{
    snprintf(root, sizeof root, "%s", test_scratch(name));
    if (mkdir(root, 0777) == 0)
        note(root);
}

static int remove_all(void **state)
{
    (void)state;
    while (n_made > 0)
        remove(made[--n_made]);
    return 0;
}

static void test_cgroup__version_2(void **state)
{
    (void)state;
    start("cgroup-v2");
    assert_int_equal(lm_os_cgroup_cpus(root), 0);
    put("/proc/self/cgroup", "0::/outer/inner\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 0);
    put("/sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 0);
    put("/sys/fs/cgroup/outer/inner/cpu.max", "550000 100000\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 6);
    put("/sys/fs/cgroup/outer/cpu.max", "200000 100000\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 2);
    put("/sys/fs/cgroup/outer/cpu.max", "50000 100000\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 1);
    put("/sys/fs/cgroup/outer/cpu.max", "nonsense\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 6);
}

/* The path is the host's and not there; the container's own limit lies at the mount. */
static void test_cgroup__container(void **state)
{
    (void)state;
    start("cgroup-container");
    put("/proc/self/cgroup", "12:cpuset:/\n4:cpu,cpuacct:/docker/0123\n0::/\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 3);
}

static void test_cgroup__version_1(void **state)
{
    (void)state;
    start("cgroup-v1");
    put("/proc/self/cgroup", "9:cpuset:/a\n2:cpuacct:/a\n1:cpu:/a/b\n");
    put("/sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 0);
    put("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "150000\n");
    put("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 2);
}

static void test_cgroup__odd_lines(void **state)
{
    (void)state;
    start("cgroup-odd");
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    put("/proc/self/cgroup", "\nno colon\n1:one colon\n::\n:::\n7:cpusets,cpux:/\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 1); /* "::" is version 2 with no path */
    put("/proc/self/cgroup", "7:cpusets,cpux:/\n");
    assert_int_equal(lm_os_cgroup_cpus(root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_cgroup__version_2, remove_all),
        cmocka_unit_test_teardown(test_cgroup__container, remove_all),
        cmocka_unit_test_teardown(test_cgroup__version_1, remove_all),
        cmocka_unit_test_teardown(test_cgroup__odd_lines, remove_all),
    };
    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
