/* table.h - every kernel of the backend, one row each, instances of templates included.
 *
 * X(symbol, arguments, threads, capability, body...): `symbol` names it to the host
 * (LCU_K_symbol), `body` is the device function that it calls, `capability` the least compute
 * capability that has code for it. Each .cu file defines bodies and ends with LCU_DEFINE_ALL of its
 * part of the table. */
#ifndef LM_BACKENDS_CUDA_TABLE_H
#define LM_BACKENDS_CUDA_TABLE_H

#define LCU_TABLE_VALUES(X)                                                                        \
    X(add, lcu_values_args, 256, 80, add_values)                                                   \
    X(row_add, lcu_values_args, 256, 80, row_add)                                                  \
    X(scale, lcu_values_args, 256, 80, scale_values)                                               \
    X(act_mul, lcu_values_args, 256, 80, act_mul)                                                  \
    X(move, lcu_move_args, 256, 80, move_columns)                                                  \
    X(embed, lcu_embed_args, 256, 80, embed_rows)

#define LCU_TABLE_NORM(X)                                                                          \
    X(norm, lcu_norm_args, 256, 80, norm_block)                                                    \
    X(norm_warp, lcu_norm_args, 256, 80, norm_warp)                                                \
    X(pool, lcu_pool_args, 256, 80, pool_rows)

#define LCU_TABLE_ROPE(X)                                                                          \
    X(rope_table, lcu_rope_table_args, 64, 80, rope_table)                                         \
    X(rope, lcu_rope_args, 256, 80, rope_rows)                                                     \
    X(append, lcu_append_args, 128, 80, append_rows)

#define LCU_TABLE_LINEAR(X)                                                                        \
    X(linear, lcu_linear_args, 128, 80, linear_rows)                                               \
    X(expert, lcu_expert_args, 128, 80, expert_rows)

#define LCU_TABLE_ATTN(X) X(attn, lcu_attn_args, 128, 80, attn_row)

#define LCU_TABLE_MOE(X)                                                                           \
    X(route, lcu_route_args, 32, 80, route_row)                                                    \
    X(combine, lcu_combine_args, 256, 80, combine_rows)

#define LCU_TABLE_STATE(X)                                                                         \
    X(conv, lcu_conv_args, 128, 80, conv_seq)                                                      \
    X(conv_keep, lcu_conv_args, 128, 80, conv_keep)                                                \
    X(scan, lcu_scan_args, 128, 80, scan_seq)

#define LCU_TABLE_SAMPLE(X) X(best, lcu_best_args, 512, 80, best_row)

#define LCU_TABLE(X)                                                                               \
    LCU_TABLE_VALUES(X)                                                                            \
    LCU_TABLE_NORM(X)                                                                              \
    LCU_TABLE_ROPE(X)                                                                              \
    LCU_TABLE_LINEAR(X)                                                                            \
    LCU_TABLE_ATTN(X)                                                                              \
    LCU_TABLE_MOE(X)                                                                               \
    LCU_TABLE_STATE(X)                                                                             \
    LCU_TABLE_SAMPLE(X)

#endif
