"""The tiny models: their shapes, and for each the changes of its configuration that its reference
must be able to tell from the real thing."""

from dataclasses import dataclass, field

import transformers as tf

LONG = dict(max_position_embeddings=512)
SMALL = dict(vocab_size=80, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
             tie_word_embeddings=False, bos_token_id=None, eos_token_id=None, pad_token_id=None)


@dataclass
class Case:
    name: str
    config: tf.PretrainedConfig
    prompt: int = 104             # tokens of the prompt
    greedy: int = 40              # tokens continued
    context: int = 256            # what a session on it is created with
    model: str = ""               # another case's file, when it is shared
    pooling: str = ""             # embedding models
    must_matter: list = field(default_factory=list)  # configuration changes ...
    noticeable: float = 5e-3      # ... and by how much they must change the result, relatively


GELU = 1.5e-4  # the two forms of GELU differ no more than this, and a good program sees it


def rope(theta=10000.0, **more):
    return dict(rope_theta=theta, **({"rope_type": "default"} | more))


def llama(**more):
    return tf.LlamaConfig(**(SMALL | LONG | dict(rope_parameters=rope()) | more))


def gemma3(**full):
    return tf.Gemma3TextConfig(**(SMALL | LONG | dict(
        num_hidden_layers=7, head_dim=16, intermediate_size=32, num_attention_heads=2,
        num_key_value_heads=1, query_pre_attn_scalar=16, sliding_window=20,
        tie_word_embeddings=True,
        layer_types=["sliding_attention"] * 5 + ["full_attention", "sliding_attention"],
        rope_parameters=dict(sliding_attention=rope(500.0), full_attention=rope(20000.0, **full)))))


def phi3(**more):
    base = SMALL | dict(pad_token_id=0, max_position_embeddings=256, num_key_value_heads=4,
                        original_max_position_embeddings=256, sliding_window=None,
                        rope_parameters=rope(partial_rotary_factor=1.0))
    return tf.Phi3Config(**(base | more))


def phi3_longrope():
    return phi3(
        max_position_embeddings=1024, original_max_position_embeddings=256, num_key_value_heads=2,
        num_attention_heads=2, tie_word_embeddings=True,
        rope_parameters=rope(
            rope_type="longrope", partial_rotary_factor=0.75, original_max_position_embeddings=256,
            short_factor=[1.0, 1.05, 1.1, 1.3, 1.6, 2.0],
            long_factor=[1.0, 1.4, 2.0, 3.5, 6.0, 9.0]))


def mamba2(groups):
    return tf.Mamba2Config(
        vocab_size=80, hidden_size=32, num_hidden_layers=2, state_size=16, num_heads=8, head_dim=8,
        expand=2, n_groups=groups, conv_kernel=4, chunk_size=32, layer_norm_epsilon=1e-5,
        tie_word_embeddings=groups == 1, time_step_limit=(0.0, float("inf")),
        bos_token_id=None, eos_token_id=None, pad_token_id=None)


def bert():
    return tf.BertConfig(vocab_size=80, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                         intermediate_size=64, max_position_embeddings=160, type_vocab_size=2,
                         layer_norm_eps=1e-12, pad_token_id=0)


CASES = [
    Case("llama", llama(hidden_size=48, intermediate_size=64),
         must_matter=[dict(rope_parameters=rope(9000.0)), dict(rms_norm_eps=1e-2)]),
    Case("llama-rope-llama3", llama(
        num_attention_heads=2, num_key_value_heads=1, rope_parameters=rope(
            100.0, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=64)),
         must_matter=[dict(rope_parameters=rope(100.0))]),
    Case("llama-rope-linear", llama(rope_parameters=rope(rope_type="linear", factor=4.0)),
         must_matter=[dict(rope_parameters=rope())]),
    Case("llama-rope-yarn", llama(
        num_attention_heads=2, num_key_value_heads=1, rope_parameters=rope(
            rope_type="yarn", factor=4.0, original_max_position_embeddings=128)),
         must_matter=[dict(rope_parameters=rope()), dict(rope_parameters=rope(
             rope_type="yarn", factor=4.0, original_max_position_embeddings=128,
             attention_factor=1.0))]),
    Case("mistral", tf.MistralConfig(**(SMALL | LONG | dict(
        hidden_size=24, head_dim=8, sliding_window=None, rope_parameters=rope(1e6)))),
         must_matter=[dict(rope_parameters=rope(1e5)), dict(sliding_window=64)]),
    Case("mixtral", tf.MixtralConfig(**(SMALL | LONG | dict(
        intermediate_size=24, num_local_experts=4, num_experts_per_tok=2, sliding_window=None,
        rope_parameters=rope(1e6)))),
         must_matter=[dict(num_experts_per_tok=1)]),
    Case("smollm", llama(hidden_size=24, num_attention_heads=3, num_key_value_heads=1,
                         intermediate_size=64, tie_word_embeddings=True),
         must_matter=[dict(rope_parameters=rope(9000.0))]),
    Case("qwen2", tf.Qwen2Config(**(SMALL | LONG | dict(
        tie_word_embeddings=True, rope_parameters=rope(1e6)))),
         must_matter=[dict(rope_parameters=rope(1e5))]),
    Case("qwen3", tf.Qwen3Config(**(SMALL | LONG | dict(
        head_dim=16, rms_norm_eps=1e-6, rope_parameters=rope(1e6)))),
         must_matter=[dict(rope_parameters=rope(1e5)), dict(rms_norm_eps=1e-2)]),
    Case("qwen3moe", tf.Qwen3MoeConfig(**(SMALL | LONG | dict(
        head_dim=16, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=16,
        norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[],
        rms_norm_eps=1e-6, rope_parameters=rope(1e6)))),
         must_matter=[dict(num_experts_per_tok=2), dict(norm_topk_prob=False)]),
    Case("gemma2", tf.Gemma2Config(**(SMALL | LONG | dict(
        num_hidden_layers=4, intermediate_size=32, head_dim=16, query_pre_attn_scalar=16,
        sliding_window=24,
        attn_logit_softcapping=3.0, final_logit_softcapping=6.0, tie_word_embeddings=True,
        rope_parameters=rope()))),
         must_matter=[dict(sliding_window=25), dict(attn_logit_softcapping=None),
                      dict(final_logit_softcapping=7.0), dict(query_pre_attn_scalar=8),
                      dict(layer_types=["full_attention", "sliding_attention"] * 2)]),
    Case("gemma3", gemma3(),
         must_matter=[dict(sliding_window=21), dict(query_pre_attn_scalar=8),
                      dict(rope_parameters=dict(sliding_attention=rope(20000.0),
                                                full_attention=rope(20000.0))),
                      dict(rope_parameters=dict(sliding_attention=rope(500.0),
                                                full_attention=rope(500.0)))]),
    Case("gemma3-rope-linear", gemma3(rope_type="linear", factor=8.0),
         must_matter=[dict(rope_parameters=dict(sliding_attention=rope(500.0),
                                                full_attention=rope(20000.0)))]),
    Case("phi3", phi3(),
         must_matter=[dict(rope_parameters=rope(9000.0, partial_rotary_factor=1.0))]),
    Case("phi3-window", phi3(sliding_window=40, num_key_value_heads=2),
         must_matter=[dict(sliding_window=None), dict(sliding_window=41)]),
    Case("phi3-longrope-short", phi3_longrope(), prompt=104, greedy=24,
         model="phi3-longrope"),
    Case("phi3-longrope-long", phi3_longrope(), prompt=264, greedy=24, context=512,
         model="phi3-longrope"),
    Case("gpt2", tf.GPT2Config(vocab_size=80, n_embd=32, n_layer=2, n_head=4, n_positions=192,
                               bos_token_id=None, eos_token_id=None),
         context=192, noticeable=GELU,
         must_matter=[dict(activation_function="gelu"), dict(n_head=2)]),
    Case("mamba2", mamba2(1)),
    Case("mamba2-groups", mamba2(2)),
    Case("bert-mean", bert(), greedy=0, context=160, pooling="mean", noticeable=GELU,
         must_matter=[dict(hidden_act="gelu_new")]),
    Case("bert-cls", bert(), greedy=0, context=160, pooling="cls"),
]
