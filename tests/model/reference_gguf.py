"""Writes a transformers model as GGUF with the names, keys and layouts that files of its family
have in the field. Knows conversion; which models there are is reference_cases.py's."""

import math
import re

import gguf
import torch

# transformers' name -> GGUF's, below "model.layers.N." and below "model." / nothing.
LAYER = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.gate_up_proj": "ffn_up", "mlp.gate": "ffn_gate_inp",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}
GEMMA_LAYER = LAYER | {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
GPT2_LAYER = {
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}
BERT_LAYER = {
    "attention.self.query": "attn_q", "attention.self.key": "attn_k",
    "attention.self.value": "attn_v", "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm", "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
}
TOP = {
    "embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output",
    "wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm",
    "embeddings": "token_embd", "norm_f": "output_norm",
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
}


def named(name, layer_table):
    """GGUF's name of a parameter that only needs renaming."""
    name = re.sub(r"^(model|transformer|backbone|encoder)\.", "", name)
    stem, _, kind = name.rpartition(".")
    inside = re.match(r"(?:layers|h|layer)\.(\d+)\.(.*)", stem)
    if inside:
        return f"blk.{inside[1]}.{layer_table[inside[2]]}.{kind}"
    return f"{TOP[stem]}.{kind}"


def interleaved(weight, heads):
    """Rows of q or k from RoPE over halves to RoPE over neighbouring pairs, as the llama family's
    files have them."""
    head = weight.shape[0] // heads
    return weight.view(heads, 2, head // 2, -1).transpose(1, 2).reshape(weight.shape)


def experts(name, weight):
    """[experts, ...] tensors; transformers fuses gate and up, the files do not."""
    block = re.search(r"layers\.(\d+)\.", name)[1]
    if name.endswith("down_proj"):
        return [(f"blk.{block}.ffn_down_exps.weight", weight)]
    gate, up = weight.chunk(2, 1)
    return [(f"blk.{block}.ffn_gate_exps.weight", gate), (f"blk.{block}.ffn_up_exps.weight", up)]


# --- tensors, one function per family: (config, name, weight) -> [(name, weight)] ----------------

def llama_tensors(c, name, w):
    if ".experts." in name:
        return experts(name, w)
    if "q_proj" in name:
        w = interleaved(w, c.num_attention_heads)
    if "k_proj" in name:
        w = interleaved(w, c.num_key_value_heads)
    return [(named(name, LAYER), w)]


def plain_tensors(c, name, w):
    return experts(name, w) if ".experts." in name else [(named(name, LAYER), w)]


def gemma_tensors(c, name, w):
    return [(named(name, GEMMA_LAYER), w + 1 if "norm" in name else w)]


def gpt2_tensors(c, name, w):
    return [(named(name, GPT2_LAYER), w.t() if ".c_" in name and w.dim() == 2 else w)]


def bert_tensors(c, name, w):
    return [] if name.startswith("pooler.") else [(named(name, BERT_LAYER), w)]


def mamba2_tensors(c, name, w):
    inside = re.match(r"backbone\.layers\.(\d+)\.(?:mixer\.)?(.*)", name)
    if not inside:
        return [(named(name, {}), w)]
    to, shape = {
        "norm.weight": ("attn_norm.weight", (-1,)) if "mixer" not in name
        else ("ssm_norm.weight", (c.n_groups, -1)),
        "in_proj.weight": ("ssm_in.weight", w.shape),
        "out_proj.weight": ("ssm_out.weight", w.shape),
        "conv1d.weight": ("ssm_conv1d.weight", (w.shape[0], -1)),
        "conv1d.bias": ("ssm_conv1d.bias", (-1,)),
        "dt_bias": ("ssm_dt.bias", (-1,)),
        "A_log": ("ssm_a", (-1, 1)),
        "D": ("ssm_d", (-1, 1)),
    }[inside[2]]
    if inside[2] == "A_log":
        w = -w.exp()
    return [(f"blk.{inside[1]}.{to}", w.reshape(shape))]


# --- metadata ------------------------------------------------------------------------------------

def decoder_keys(w, c):
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)


def rope_keys(w, rope):
    """Scalings by a tensor (Llama 3's, long RoPE) have no keys here."""
    w.add_rope_freq_base(rope["rope_theta"])
    kind = {"linear": gguf.RopeScalingType.LINEAR,
            "yarn": gguf.RopeScalingType.YARN}.get(rope["rope_type"])
    if kind:
        w.add_rope_scaling_type(kind)
        w.add_rope_scaling_factor(rope["factor"])
    if kind == gguf.RopeScalingType.YARN:
        w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def head_keys(w, c):
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)


def llama_keys(w, c):
    decoder_keys(w, c)
    rope_keys(w, c.rope_parameters)
    head = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    if head * c.num_attention_heads != c.hidden_size:
        head_keys(w, c)
    w.add_rope_dimension_count(head)
    expert_keys(w, c)


def expert_keys(w, c):
    count = getattr(c, "num_local_experts", None) or getattr(c, "num_experts", None)
    if count:
        w.add_expert_count(count)
        w.add_expert_used_count(c.num_experts_per_tok)


def qwen2_keys(w, c):
    decoder_keys(w, c)
    rope_keys(w, c.rope_parameters)


def qwen3_keys(w, c):
    qwen2_keys(w, c)
    head_keys(w, c)


def qwen3moe_keys(w, c):
    qwen3_keys(w, c)
    expert_keys(w, c)
    w.add_expert_feed_forward_length(c.moe_intermediate_size)


def gemma2_keys(w, c):
    decoder_keys(w, c)
    head_keys(w, c)
    w.add_attn_logit_softcapping(c.attn_logit_softcapping)
    w.add_final_logit_softcapping(c.final_logit_softcapping)
    w.add_sliding_window(c.sliding_window)


def gemma3_keys(w, c):
    decoder_keys(w, c)
    head_keys(w, c)
    rope_keys(w, c.rope_parameters["full_attention"])
    w.add_rope_freq_base_swa(c.rope_parameters["sliding_attention"]["rope_theta"])
    w.add_sliding_window(c.sliding_window)


def phi3_keys(w, c):
    decoder_keys(w, c)
    rope = c.rope_parameters
    turned = int(rope["partial_rotary_factor"] * c.hidden_size) // c.num_attention_heads
    w.add_rope_freq_base(rope["rope_theta"])
    w.add_rope_dimension_count(turned)
    w.add_rope_scaling_orig_ctx_len(c.original_max_position_embeddings)
    w.add_sliding_window(c.sliding_window or 0)
    if rope["rope_type"] == "longrope":
        scale = c.max_position_embeddings / c.original_max_position_embeddings
        w.add_rope_scaling_attn_factors(
            math.sqrt(1 + math.log(scale) / math.log(c.original_max_position_embeddings)))


def gpt2_keys(w, c):
    w.add_context_length(c.n_positions)
    w.add_embedding_length(c.n_embd)
    w.add_block_count(c.n_layer)
    w.add_feed_forward_length(4 * c.n_embd)
    w.add_head_count(c.n_head)
    w.add_layer_norm_eps(c.layer_norm_epsilon)


def bert_keys(w, c):
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_layer_norm_eps(c.layer_norm_eps)
    w.add_causal_attention(False)
    w.add_token_type_count(c.type_vocab_size)


def mamba2_keys(w, c):
    w.add_context_length(2**20)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_feed_forward_length(0)
    w.add_head_count(0)
    w.add_ssm_conv_kernel(c.conv_kernel)
    w.add_ssm_inner_size(c.expand * c.hidden_size)
    w.add_ssm_state_size(c.state_size)
    w.add_ssm_time_step_rank(c.num_heads)
    w.add_ssm_group_count(c.n_groups)
    w.add_layer_norm_rms_eps(c.layer_norm_epsilon)


def rope_tensors(c):
    """Tensors that exist in files and not among transformers' parameters."""
    rope = getattr(c, "rope_parameters", None) or {}
    kind = rope.get("rope_type")
    if kind == "longrope":
        return [(f"rope_factors_{which}.weight", torch.tensor(rope[f"{which}_factor"]))
                for which in ("long", "short")]
    if kind == "llama3":
        return [("rope_freqs.weight", llama3_divisors(c, rope))]
    return []


def llama3_divisors(c, rope):
    """What each pair's frequency is divided by: 1 for short waves, `factor` for long ones, and a
    blend of the two frequencies between."""
    head = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    turns = rope["original_max_position_embeddings"] / (
        2 * math.pi * rope["rope_theta"] ** (torch.arange(0, head, 2).double() / head))
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    blend = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 / (blend + (1 - blend) / rope["factor"])).float()


FAMILIES = {  # transformers' model_type -> architecture, keys, tensors
    "llama": ("llama", llama_keys, llama_tensors),
    "mistral": ("llama", llama_keys, llama_tensors),
    "mixtral": ("llama", llama_keys, llama_tensors),
    "qwen2": ("qwen2", qwen2_keys, plain_tensors),
    "qwen3": ("qwen3", qwen3_keys, plain_tensors),
    "qwen3_moe": ("qwen3moe", qwen3moe_keys, plain_tensors),
    "gemma2": ("gemma2", gemma2_keys, gemma_tensors),
    "gemma3_text": ("gemma3", gemma3_keys, gemma_tensors),
    "phi3": ("phi3", phi3_keys, plain_tensors),
    "gpt2": ("gpt2", gpt2_keys, gpt2_tensors),
    "mamba2": ("mamba2", mamba2_keys, mamba2_tensors),
    "bert": ("bert", bert_keys, bert_tensors),
}


def write(path, name, model, pooling=None):
    c = model.config
    arch, keys, tensors = FAMILIES[c.model_type]
    w = gguf.GGUFWriter(str(path), arch)
    w.add_name(name)
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    w.add_vocab_size(c.vocab_size)
    keys(w, c)
    if pooling:
        w.add_pooling_type(gguf.PoolingType[pooling.upper()])
    w.add_tokenizer_model("none")
    tied = getattr(c, "tie_word_embeddings", False)
    found = rope_tensors(c)
    for key, value in model.state_dict().items():
        if not (tied and key == "lm_head.weight"):
            found += tensors(c, key, value)
    for key, value in found:
        w.add_tensor(key, value.detach().float().contiguous().numpy())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
