/* params.c - reading and writing size-tagged structures and named parameters. */
#include "base/params.h"

#include <math.h>
#include <string.h>

#define MOST_SIZE 4096u /* no structure comes near it: more is a struct_size nobody set */

int32_t lm_params_in(void *known, size_t known_size, const void *given, const char *name)
{
    memset(known, 0, known_size);
    if (given == NULL)
        return LLM_OK;
    uint32_t size;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size || size > MOST_SIZE)
        return lm_fail(LLM_E_INVALID, "%s: struct_size is %u; set it to sizeof(%s)", name,
                       (unsigned)size, name);
    if (size > known_size) {
        const unsigned char *bytes = given;
        for (size_t i = known_size; i < size; i++)
            if (bytes[i] != 0)
                return lm_fail(LLM_E_UNSUPPORTED,
                               "%s: a field behind byte %u is set that this library does not "
                               "know; use a newer library or leave it zero",
                               name, (unsigned)known_size);
    }
    memcpy(known, given, size < known_size ? size : known_size);
    return LLM_OK;
}

int32_t lm_params_out(void *given, const void *known, size_t known_size, const char *name)
{
    if (given == NULL)
        return lm_fail(LLM_E_INVALID, "%s: NULL where a structure to fill was expected", name);
    uint32_t size;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size)
        return lm_fail(LLM_E_INVALID, "%s: struct_size is %u; set it to sizeof(%s)", name,
                       (unsigned)size, name);
    size_t copied = size < known_size ? size : known_size;
    memcpy((char *)given + sizeof size, (const char *)known + sizeof size, copied - sizeof size);
    return LLM_OK;
}

int32_t lm_flags_check(uint32_t given, uint32_t known, const char *name)
{
    if ((given & ~known) != 0)
        return lm_fail(LLM_E_UNSUPPORTED, "%s: the bits 0x%x are none that this library knows",
                       name, (unsigned)(given & ~known));
    return LLM_OK;
}

static int32_t store(const llm_param *p, const lm_param_row *row, const char *what, void *target)
{
    char *at = (char *)target + row->offset;
    double number = p->kind == LLM_KIND_FLOAT ? p->value.f : (double)p->value.i;
    bool integer_for_float = p->kind == LLM_KIND_INT && row->kind == LLM_KIND_FLOAT;
    if (p->kind != row->kind && !integer_for_float)
        return lm_fail(LLM_E_INVALID, "%s: parameter '%s' has kind %u; it takes kind %u", what,
                       p->key, (unsigned)p->kind, (unsigned)row->kind);
    bool numeric = row->kind == LLM_KIND_INT || row->kind == LLM_KIND_FLOAT;
    if (numeric &&
        (isnan(number) || (row->min < row->max && (number < row->min || number > row->max))))
        return lm_fail(LLM_E_INVALID, "%s: parameter '%s' is %g; it must lie in [%g, %g]", what,
                       p->key, number, row->min, row->max);
    switch (row->kind) {
    case LLM_KIND_INT:
        memcpy(at, &p->value.i, sizeof(int64_t));
        return LLM_OK;
    case LLM_KIND_FLOAT:
        memcpy(at, &number, sizeof number);
        return LLM_OK;
    case LLM_KIND_BOOL: {
        bool flag = p->value.i != 0;
        memcpy(at, &flag, sizeof flag);
        return LLM_OK;
    }
    case LLM_KIND_STRING:
        if (p->value.s == NULL)
            return lm_fail(LLM_E_INVALID, "%s: parameter '%s' is a NULL string", what, p->key);
        memcpy(at, &p->value.s, sizeof p->value.s);
        return LLM_OK;
    case LLM_KIND_TOKENS:
    case LLM_KIND_FLOATS: {
        lm_param_array array = {p->value.p, p->count};
        if (array.items == NULL && array.count > 0)
            return lm_fail(LLM_E_INVALID, "%s: parameter '%s' is a NULL array of %u", what, p->key,
                           (unsigned)array.count);
        memcpy(at, &array, sizeof array);
        return LLM_OK;
    }
    default:
        return lm_fail(LLM_E_INTERNAL, "%s: parameter '%s' has no storage", what, p->key);
    }
}

int32_t lm_params_read(const llm_param *params, uint32_t n_params, const lm_param_row *rows,
                       uint32_t n_rows, const char *what, void *target)
{
    if (params == NULL && n_params > 0)
        return lm_fail(LLM_E_INVALID, "%s: NULL where %u parameters were announced", what,
                       (unsigned)n_params);
    for (uint32_t i = 0; i < n_params; i++) {
        const llm_param *p = &params[i];
        if (p->key == NULL)
            return lm_fail(LLM_E_INVALID, "%s: parameter %u has no key", what, (unsigned)i);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(params[j].key, p->key) == 0)
                return lm_fail(LLM_E_INVALID, "%s: parameter '%s' is given twice", what, p->key);
        const lm_param_row *row = NULL;
        for (uint32_t r = 0; r < n_rows && row == NULL; r++)
            if (strcmp(rows[r].key, p->key) == 0)
                row = &rows[r];
        if (row == NULL)
            return lm_fail(LLM_E_INVALID, "%s: there is no parameter '%s'", what, p->key);
        LM_TRY(store(p, row, what, target));
    }
    return LLM_OK;
}
