#!/usr/bin/env python3
"""llm-compressor's own calibration on the first 64 rows of calib_ids, in a noted order.

usage: llm_compressor.py MODEL_DIR tensor|attn_head

Writes scales_f32_{strategy}_first64.safetensors beside itself: `k_scale` and `v_scale` of every layer
before they are rounded to bf16, and `order`, the rows in the order in which its model ran them.
Made with llmcompressor 0.14.0.1, compressed-tensors 0.19.0, transformers 5.17.0 and torch 2.14.0 on
the directory of `cargo xtask model smollm2`, with OMP_NUM_THREADS=1.
"""
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import numpy as np
import torch
from compressed_tensors.quantization import QuantizationArgs
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import QuantizationModifier
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

SAMPLES, LENGTH = 64, 512
model_dir, strategy = sys.argv[1:]
here = Path(__file__).parent
ids = load_file(here / "calib_ids.safetensors")["ids"].reshape(-1, LENGTH)[:SAMPLES]

model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
# What runs, row by row: the sampler's order is not taken on trust.
ran = []
embedding = model.get_input_embeddings()
embedding.register_forward_pre_hook(lambda _, args: ran.append(np.array(args[0][0])))
scheme = QuantizationArgs(num_bits=8, type="float", strategy=strategy)
oneshot(
    model=model,
    dataset=Dataset.from_dict({"input_ids": ids.tolist(), "attention_mask": [[1] * LENGTH] * SAMPLES}),
    recipe=QuantizationModifier(kv_cache_scheme=scheme),
    max_seq_length=LENGTH,
    num_calibration_samples=SAMPLES,
    # Its default shuffles with a seed that nobody notes.
    shuffle_calibration_samples=False,
)
order = [int(np.flatnonzero((ids == row).all(1)).item()) for row in ran[:SAMPLES]]
assert sorted(order) == list(range(SAMPLES)), order
# Every later pass over the samples must have the same order.
assert len(ran) % SAMPLES == 0 and all((a == b).all() for a, b in zip(ran, ran[SAMPLES:])), len(ran)
scales = {
    name: parameter.detach().float().numpy().copy()
    for name, parameter in model.named_parameters()
    if name.endswith((".k_scale", ".v_scale"))
}
assert len(scales) == 2 * model.config.num_hidden_layers, sorted(scales)
scales["order"] = np.array(order, np.int32)
save_file(scales, here / f"scales_f32_{strategy}_first64.safetensors")
print(len(ran), "rows embedded; order", order)
