/* pack.c - where the bytes of a weight go: planes, strides, padding, and walking any piece of the
 * image. What is inside a block is pack_blocks.c's. */
#include "backends/cuda/pack.h"

#include "base/checked.h"

#include <string.h>

enum { UNIT = 32, BLOCK = 256 /* values */, PLANE_ALIGN = 256, ROW_ALIGN = 16 };

/* Formats without a layout of their own are decoded. */
static uint32_t layout_of(const lm_weight_desc *desc)
{
    for (uint32_t i = 0; (desc->uses & LM_USE_VECTOR) == 0 && i < LCU_LAYOUT_COUNT; i++)
        if (lcu_layouts[i].format == desc->format->id)
            return i;
    return LCU_LAYOUT_F32;
}

/* Bytes of a plane's row before padding. */
static uint64_t plane_row(const lcu_layout *l, uint32_t plane, uint64_t cols)
{
    switch (plane) {
    case 0:
        return cols * l->low / 8;
    case 1:
        return cols * l->high / 8;
    case 2:
        return cols / BLOCK * l->scale_bytes;
    default:
        return cols / l->head_values * l->head_bytes;
    }
}

bool lcu_pack_plan(const lm_weight_desc *desc, lcu_weight_view *view, uint64_t *bytes,
                   uint32_t *support)
{
    uint64_t file_row, at = 0;
    uint32_t layout = layout_of(desc);
    bool vector = (desc->uses & LM_USE_VECTOR) != 0;
    *view = (lcu_weight_view){
        .layout = layout, .rows = desc->rows, .cols = desc->cols, .experts = desc->experts};
    *support =
        desc->format->id == lcu_layouts[layout].format ? LM_SUPPORT_NATIVE : LM_SUPPORT_TRANSCODE;
    if (desc->format->decode == NULL || !lm_format_row_bytes(desc->format, desc->cols, &file_row))
        return false;
    for (uint32_t i = 0; i < LCU_PLANES; i++) {
        uint64_t row = plane_row(&lcu_layouts[layout], i, desc->cols), plane;
        if (!vector)
            row = (row + ROW_ALIGN - 1) / ROW_ALIGN * ROW_ALIGN;
        view->plane[i] = at;
        view->stride[i] = (uint32_t)row;
        if (row > UINT32_MAX || !lm_mul_u64(row, desc->rows, &plane) ||
            !lm_add_u64(at, plane, &at) || !lm_align_u64(at, vector ? 4 : PLANE_ALIGN, &at))
            return false;
    }
    view->matrix_bytes = at;
    return lm_mul_u64(at, desc->experts, bytes) && lm_fits_size(*bytes);
}

uint64_t lcu_pack_unit(const lm_weight_desc *desc)
{
    (void)desc;
    return UNIT * sizeof(float); /* no unit of any plane crosses a multiple of it */
}

/* --- one piece of one row of a plane -------------------------------------------------------------- */

typedef struct piece {
    const lm_weight_desc *desc;
    uint32_t layout, plane;
    const uint8_t *row;  /* in the file */
    uint64_t row_bytes;  /* of the image, without padding */
    uint64_t from, size; /* bytes of the image's row, whole units */
    uint8_t *to;
} piece;

/* Values of a format that has no layout, whole blocks at a time. */
static void decode_piece(const piece *p)
{
    const lm_format *f = p->desc->format;
    float values[BLOCK];
    for (uint64_t at = p->from / sizeof(float), end = at + p->size / sizeof(float); at < end;) {
        uint64_t block = at / f->block, skip = at % f->block;
        uint64_t count = f->block - skip < end - at ? f->block - skip : end - at;
        f->decode(p->row + block * f->bytes, values, f->block);
        memcpy(p->to + (at * sizeof(float) - p->from), values + skip, count * sizeof(float));
        at += count;
    }
}

/* Planes 0 and 1 go by groups of 32, the others by what one block has. */
static void pack_units(const piece *p)
{
    const lcu_layout *l = &lcu_layouts[p->layout];
    const lm_format *f = p->desc->format;
    uint32_t values = p->plane < 2 ? UNIT : p->plane == 2 ? BLOCK : l->head_values;
    uint64_t unit = plane_row(l, p->plane, values);
    for (uint64_t at = p->from / unit, end = at + p->size / unit; at < end; at++) {
        uint64_t value = at * values;
        const uint8_t *block = p->row + value / f->block * f->bytes;
        uint32_t group = (uint32_t)(value % f->block / UNIT);
        uint8_t *to = p->to + (at * unit - p->from);
        if (p->plane == 0)
            lcu_pack_low(p->layout, block, group, to);
        else if (p->plane == 1)
            lcu_pack_high(p->layout, block, group, to);
        else if (p->plane == 2)
            lcu_pack_scales(p->layout, block, to);
        else
            lcu_pack_head(p->layout, block, to);
    }
}

static void pack_piece(const piece *p)
{
    uint64_t there = p->from < p->row_bytes ? p->row_bytes - p->from : 0;
    piece whole = *p;
    whole.size = p->size < there ? p->size : there;
    memset(p->to + whole.size, 0, (size_t)(p->size - whole.size));
    if (p->layout == LCU_LAYOUT_F32 && p->desc->format->id != LM_F32)
        decode_piece(&whole);
    else if (lcu_layouts[p->layout].low >= 16)
        memcpy(p->to, p->row + p->from, (size_t)whole.size);
    else
        pack_units(&whole);
}

/* --- any piece of the image ------------------------------------------------------------------------ */

/* Packs from byte `at` to the end of its row, or `most` bytes; answers how many. */
static uint64_t pack_some(const lm_weight_desc *desc, const lcu_weight_view *v, const uint8_t *data,
                          uint64_t at, uint64_t most, uint8_t *to)
{
    uint64_t expert = at / v->matrix_bytes, inside = at % v->matrix_bytes, file_row;
    uint32_t plane = 0;
    while (plane + 1 < LCU_PLANES && inside >= v->plane[plane + 1])
        plane++;
    inside -= v->plane[plane];
    uint64_t row = v->stride[plane] == 0 ? v->rows : inside / v->stride[plane];
    if (row >= v->rows) { /* the gap to the next plane */
        uint64_t end = plane + 1 < LCU_PLANES ? v->plane[plane + 1] : v->matrix_bytes;
        uint64_t gap = end - v->plane[plane] - inside;
        gap = gap < most ? gap : most;
        memset(to, 0, (size_t)gap);
        return gap;
    }
    uint64_t from = inside % v->stride[plane], size = v->stride[plane] - from;
    (void)lm_format_row_bytes(desc->format, desc->cols, &file_row);
    piece p = {.desc = desc,
               .layout = v->layout,
               .plane = plane,
               .row = data + (expert * v->rows + row) * file_row,
               .row_bytes = plane_row(&lcu_layouts[v->layout], plane, v->cols),
               .from = from,
               .size = size < most ? size : most,
               .to = to};
    pack_piece(&p);
    return p.size;
}

void lcu_pack(const lm_weight_desc *desc, const void *data, uint64_t from, uint64_t size, void *to)
{
    lcu_weight_view view;
    uint64_t bytes;
    uint32_t support;
    if (!lcu_pack_plan(desc, &view, &bytes, &support))
        return;
    for (uint64_t done = 0; done < size;)
        done += pack_some(desc, &view, data, from + done, size - done, (uint8_t *)to + done);
}
