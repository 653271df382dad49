/* json - just enough to look into reference files: values are places in the text. Trusts them. */
#ifndef TEST_JSON_H
#define TEST_JSON_H

#include <stddef.h>
#include <stdint.h>

/* The value behind "key" of an object, or NULL. */
const char *json_member(const char *object, const char *key);
/* The index-th item of an array, or NULL behind the last. */
const char *json_item(const char *array, size_t index);
size_t json_count(const char *array);
/* Numbers of an array; fails the test when there are more than `capacity`. Returns how many. */
size_t json_integers(const char *array, int32_t *out, size_t capacity);
size_t json_floats(const char *array, float *out, size_t capacity);
/* The text of a string as UTF-8 with a NUL; free() it. */
char *json_string(const char *string);

#endif
