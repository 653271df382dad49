/* json.c - finds values by skipping over others. */
#include "support/json.h"

#include "support/support.h"

#include <stdlib.h>
#include <string.h>

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *skip_string(const char *at)
{
    for (at++; *at != '"' && *at != '\0'; at++)
        at += *at == '\\' && at[1] != '\0';
    return *at == '"' ? at + 1 : at;
}

/* Behind a value of any kind. */
static const char *skip_value(const char *at)
{
    size_t depth = 0;
    do {
        at = skip_space(at);
        if (*at == '"') {
            at = skip_string(at);
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (*at == ',' || *at == ':') {
            at++;
        } else {
            at += strcspn(at, ",:]}\"[{ \t\r\n");
        }
    } while (depth > 0 && *at != '\0');
    return at;
}

const char *json_member(const char *object, const char *key)
{
    const char *at = skip_space(object);
    size_t size = strlen(key);
    if (*at != '{')
        return NULL;
    for (at = skip_space(at + 1); *at == '"';) {
        const char *name = at + 1;
        at = skip_string(at);
        bool found = (size_t)(at - 1 - name) == size && memcmp(name, key, size) == 0;
        at = skip_space(skip_space(at) + 1);
        if (found)
            return at;
        at = skip_space(skip_value(at));
        at = *at == ',' ? skip_space(at + 1) : at;
    }
    return NULL;
}

const char *json_item(const char *array, size_t index)
{
    const char *at = skip_space(array);
    if (*at != '[')
        return NULL;
    at = skip_space(at + 1);
    for (; *at != ']' && *at != '\0'; index--) {
        if (index == 0)
            return at;
        at = skip_space(skip_value(at));
        at = *at == ',' ? skip_space(at + 1) : at;
    }
    return NULL;
}

size_t json_count(const char *array)
{
    size_t count = 0;
    while (json_item(array, count) != NULL)
        count++;
    return count;
}

/* Walks an array of numbers once. */
static size_t numbers(const char *array, int32_t *integers, float *floats, size_t capacity)
{
    size_t count = 0;
    assert_non_null(array);
    const char *at = skip_space(array);
    assert_true(*at == '[');
    for (at = skip_space(at + 1); *at != ']'; count++) {
        char *end;
        double value = strtod(at, &end);
        assert_true(end > at && count < capacity);
        if (integers != NULL)
            integers[count] = (int32_t)value;
        else
            floats[count] = (float)value;
        at = skip_space(end);
        at = *at == ',' ? skip_space(at + 1) : at;
    }
    return count;
}

size_t json_integers(const char *array, int32_t *out, size_t capacity)
{
    return numbers(array, out, NULL, capacity);
}

size_t json_floats(const char *array, float *out, size_t capacity)
{
    return numbers(array, NULL, out, capacity);
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

char *json_string(const char *string)
{
    static const char escapes[] = "n\nt\tr\rb\bf\f";
    assert_non_null(string);
    const char *end = skip_string(string);
    char *text = malloc((size_t)(end - string)), *out = text;
    assert_non_null(text);
    for (const char *at = string + 1; at < end - 1; at++) {
        if (*at != '\\') {
            *out++ = *at;
            continue;
        }
        const char *known = strchr(escapes, *++at);
        if (*at == 'u') {
            char digits[5] = {at[1], at[2], at[3], at[4], '\0'};
            out = put_utf8(out, (unsigned)strtoul(digits, NULL, 16));
            at += 4;
        } else {
            *out++ = known != NULL ? known[1] : *at;
        }
    }
    *out = '\0';
    return text;
}
