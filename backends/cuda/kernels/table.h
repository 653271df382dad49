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
    X(round, lcu_round_args, 256, 80, round_rows)                                                  \
    X(embed, lcu_embed_args, 256, 80, embed_rows)

#define LCU_TABLE_NORM(X)                                                                          \
    X(norm, lcu_norm_args, 256, 80, norm_groups<false>)                                            \
    X(norm_warp, lcu_norm_args, 256, 80, norm_groups<true>)                                        \
    X(pool, lcu_pool_args, 256, 80, pool_rows)

#define LCU_TABLE_ROPE(X)                                                                          \
    X(rope_table, lcu_rope_table_args, 64, 80, rope_table)                                         \
    X(rope, lcu_rope_args, 256, 80, rope_rows)                                                     \
    X(append, lcu_append_args, 128, 80, append_rows)                                               \
    X(heads, lcu_heads_args, 256, 80, heads_rows)

/* Layouts that tensor cores take, and of these what is no BF16 yet. */
#define LCU_TILED_LAYOUTS(R, X)                                                                    \
    R(X, BF16)                                                                                     \
    LCU_SLAB_LAYOUTS(R, X)
#define LCU_SLAB_LAYOUTS(R, X)                                                                     \
    R(X, F16)                                                                                      \
    R(X, F8_E4M3)                                                                                  \
    R(X, Q8_0)                                                                                     \
    R(X, Q4_0)                                                                                     \
    R(X, Q5_0)                                                                                     \
    R(X, Q4_1)                                                                                     \
    R(X, Q5_1)                                                                                     \
    R(X, IQ4_NL)                                                                                   \
    R(X, MXFP4)                                                                                    \
    R(X, Q4_K)                                                                                     \
    R(X, Q5_K)                                                                                     \
    R(X, Q6_K)                                                                                     \
    R(X, Q3_K)                                                                                     \
    R(X, Q2_K)                                                                                     \
    R(X, IQ4_XS)

/* For 1 and for up to 4 rows of activations. */
#define LCU_FEW_ROW(X, l)                                                                          \
    X(few_##l##_1, lcu_few_args, 256, 80, few<LCU_LAYOUT_##l, 1>)                                  \
    X(few_##l##_4, lcu_few_args, 256, 80, few<LCU_LAYOUT_##l, 4>)

/* The last of three weights has another layout. */
#define LCU_FEW_MIXED(X, l, m)                                                                     \
    X(few_##l##_##m##_1, lcu_few_args, 256, 80, few<LCU_LAYOUT_##l, 1, LCU_LAYOUT_##m>)            \
    X(few_##l##_##m##_4, lcu_few_args, 256, 80, few<LCU_LAYOUT_##l, 4, LCU_LAYOUT_##m>)

#define LCU_TABLE_FEW(X)                                                                           \
    LCU_FEW_ROW(X, F32)                                                                            \
    LCU_TILED_LAYOUTS(LCU_FEW_ROW, X)                                                              \
    LCU_FEW_MIXED(X, Q4_K, Q6_K)                                                                   \
    LCU_FEW_MIXED(X, Q5_K, Q6_K)

/* Gate and up together. */
#define LCU_FEW_GLU_ROW(X, l)                                                                      \
    X(few_glu_##l##_1, lcu_few_args, 256, 80, few_glu<LCU_LAYOUT_##l, 1>)                          \
    X(few_glu_##l##_4, lcu_few_args, 256, 80, few_glu<LCU_LAYOUT_##l, 4>)

#define LCU_TABLE_FEW_GLU(X)                                                                       \
    LCU_FEW_GLU_ROW(X, F32)                                                                        \
    LCU_TILED_LAYOUTS(LCU_FEW_GLU_ROW, X)

/* For 8 rows of activations; gate and up together; for one expert. */
#define LCU_GEMV_ROW(X, l)                                                                         \
    X(gemv_##l, lcu_linear_args, 128, 80, gemv<LCU_LAYOUT_##l, 8>)                                 \
    X(gemv_glu_##l, lcu_linear_args, 128, 80, gemv_glu<LCU_LAYOUT_##l, 8>)                         \
    X(gemv_##l##_expert, lcu_expert_args, 128, 80, gemv_expert<LCU_LAYOUT_##l>)

#define LCU_TABLE_GEMV(X)                                                                          \
    X(quantise, lcu_quantise_args, 256, 80, quantise)                                              \
    LCU_GEMV_ROW(X, F32)                                                                           \
    LCU_TILED_LAYOUTS(LCU_GEMV_ROW, X)

/* For 16, 64 and 128 rows of activations. */
#define LCU_TILES_ROW(X, l)                                                                        \
    X(tiles_##l##_16, lcu_tiles_args, 256, 80, tiles_few<LCU_LAYOUT_##l, 2>)                       \
    X(tiles_##l##_64, lcu_tiles_args, 256, 80, tiles_few<LCU_LAYOUT_##l, 8>)                       \
    X(tiles_##l##_128, lcu_tiles_args, 128, 80, tiles_many<LCU_LAYOUT_##l>)

#define LCU_TABLE_TILES(X)                                                                         \
    X(pack_x, lcu_pack_args, 128, 80, pack_x<false>)                                               \
    X(pack_cores, lcu_pack_args, 128, 80, pack_x<true>)                                            \
    LCU_TILED_LAYOUTS(LCU_TILES_ROW, X)

/* For more, by warpgroups. */
#define LCU_WIDE_ROW(X, l) X(wide_##l, lcu_tiles_args, 384, 90, tiles_wide<LCU_LAYOUT_##l>)
#define LCU_TABLE_WIDE(X)  LCU_TILED_LAYOUTS(LCU_WIDE_ROW, X)

/* For more still, before the library. */
#define LCU_SLAB_ROW(X, l) X(slab_##l, lcu_slab_args, 256, 80, slab_rows<LCU_LAYOUT_##l>)
#define LCU_TABLE_SLAB(X)  LCU_SLAB_LAYOUTS(LCU_SLAB_ROW, X)

/* For so many heads that share keys and values. */
#define LCU_ATTN_ROW(X, heads)                                                                     \
    X(attn_walk_##heads, lcu_attn_args, 128, 80, attn_walk<heads>)                                 \
    X(attn_split_##heads, lcu_attn_args, 128, 80, attn_split<heads>)

#define LCU_TABLE_ATTN(X)                                                                          \
    LCU_ATTN_ROW(X, 1)                                                                             \
    LCU_ATTN_ROW(X, 2)                                                                             \
    LCU_ATTN_ROW(X, 4)                                                                             \
    LCU_ATTN_ROW(X, 8)

#define LCU_TABLE_ATTN_PROMPT(X)                                                                   \
    X(attn_prompt_64, lcu_attn_args, 128, 80, attn_prompt<64>)                                     \
    X(attn_prompt_128, lcu_attn_args, 128, 80, attn_prompt<128>)                                   \
    X(attn_prompt_256, lcu_attn_args, 128, 80, attn_prompt<256>)

/* Over latent entries, for 16 and for 64 queries. */
#define LCU_TABLE_ATTN_LATENT(X)                                                                   \
    X(attn_latent_16_f16, lcu_attn_args, 128, 80, attn_latent<16, false>)                          \
    X(attn_latent_64_f16, lcu_attn_args, 256, 80, attn_latent<64, false>)                          \
    X(attn_latent_16_bf16, lcu_attn_args, 128, 80, attn_latent<16, true>)                          \
    X(attn_latent_64_bf16, lcu_attn_args, 256, 80, attn_latent<64, true>)                          \
    X(attn_latent_join, lcu_attn_args, 128, 80, attn_latent_join)

#define LCU_TABLE_ATTN_WIDE(X)                                                                     \
    X(attn_wide_64_f16, lcu_attn_args, 384, 90, attn_wide<64, false>)                              \
    X(attn_wide_128_f16, lcu_attn_args, 384, 90, attn_wide<128, false>)                            \
    X(attn_wide_256_f16, lcu_attn_args, 384, 90, attn_wide<256, false>)                            \
    X(attn_wide_64_bf16, lcu_attn_args, 384, 90, attn_wide<64, true>)                              \
    X(attn_wide_128_bf16, lcu_attn_args, 384, 90, attn_wide<128, true>)                            \
    X(attn_wide_256_bf16, lcu_attn_args, 384, 90, attn_wide<256, true>)

#define LCU_TABLE_MOE(X)                                                                           \
    X(route, lcu_route_args, 32, 80, route_row)                                                    \
    X(combine, lcu_combine_args, 256, 80, combine_rows)

#define LCU_TABLE_ORDER(X) X(order, lcu_order_args, 256, 80, order_places)

#define LCU_TABLE_STATE(X)                                                                         \
    X(conv, lcu_conv_args, 128, 80, conv_seq)                                                      \
    X(conv_keep, lcu_conv_args, 128, 80, conv_keep)                                                \
    X(scan, lcu_scan_args, 128, 80, scan_seq)

#define LCU_TABLE_SAMPLE(X) X(best, lcu_best_args, 512, 80, best_row)

#define LCU_TABLE(X)                                                                               \
    LCU_TABLE_VALUES(X)                                                                            \
    LCU_TABLE_NORM(X)                                                                              \
    LCU_TABLE_ROPE(X)                                                                              \
    LCU_TABLE_FEW(X)                                                                               \
    LCU_TABLE_FEW_GLU(X)                                                                           \
    LCU_TABLE_GEMV(X)                                                                              \
    LCU_TABLE_TILES(X)                                                                             \
    LCU_TABLE_WIDE(X)                                                                              \
    LCU_TABLE_SLAB(X)                                                                              \
    LCU_TABLE_ATTN(X)                                                                              \
    LCU_TABLE_ATTN_PROMPT(X)                                                                       \
    LCU_TABLE_ATTN_WIDE(X)                                                                         \
    LCU_TABLE_ATTN_LATENT(X)                                                                       \
    LCU_TABLE_ORDER(X)                                                                             \
    LCU_TABLE_MOE(X)                                                                               \
    LCU_TABLE_STATE(X)                                                                             \
    LCU_TABLE_SAMPLE(X)

#endif
