/* suites - the parts of the shared suite. Each adds its tests for the backend named on the command
 * line. */
#ifndef TEST_BACKEND_SUITES_H
#define TEST_BACKEND_SUITES_H

#include "backend/cases.h"

extern const char *suite_backend; /* under test */
extern bool suite_fast;           /* with fast numerics */

/* A growing list of tests; names are copied. */
typedef struct suite {
    struct CMUnitTest *tests;
    size_t count, capacity;
} suite;

void suite_add(suite *s, CMUnitTestFunction fn, const void *state, const char *prefix,
               const char *name);
bool suite_computes(void); /* not the null backend */

void suite_match(suite *s);  /* against ref */
void suite_exact(suite *s);  /* the same bits whatever the schedule */
void suite_fused(suite *s);  /* the same bits for coarse steps and their primitives */
void suite_cache(suite *s);  /* pages */
void suite_memory(suite *s); /* promises, failures */
void suite_refused(suite *s);

#endif
