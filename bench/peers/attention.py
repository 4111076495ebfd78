"""Decode attention of others beside ours, in one run: what `cargo xtask bench attention --peers` starts.

Usage: attention.py ATTENTION_BENCH [--contexts 1024,4096,16384] [--batches 1] [--threads 1] [--seconds 0.6]

ATTENTION_BENCH is the compiled benchmark of attn-kernels; for every shape it and the peers are run twice, in
turns, so that all see the same minutes of a shared machine. Peers, each where its package is at hand, and
said to be absent where not: torch's scaled_dot_product_attention (query heads of a group as query rows,
its fastest way), and vLLM on the CPU. 32 query heads over 8 KV heads, head_dim 128. Copies of K and V are
read in turn, so that no cache helps. Every answer is compared with softmax(q k) v in f64 before it is
timed. A figure is the best of the calls in both of its times. Contexts are multiples of
128, vLLM's block; ours in `fp8_e4m3@1` has scales of 1, else scales are fitted to the data.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time

HEADS, KV_HEADS, D = 32, 8, 128
GROUP = HEADS // KV_HEADS
# Bytes of K and V that are read before a copy comes again.
FOOTPRINT = 320 << 20


def reference(torch, q, k, v):
    """q [batch, heads, d], k and v [batch, kv_heads, tokens, d]: the first sequence's output in f64."""
    q, k, v = (x[0].double() for x in (q, k, v))
    scores = q.view(KV_HEADS, GROUP, D) @ k.transpose(1, 2) / math.sqrt(D)
    return (scores.softmax(-1) @ v).reshape(HEADS, D)


def check(name, got, want, bound):
    """Refuses to time a wrong answer."""
    error = ((got.double() - want).abs().max() / want.abs().max()).item()
    if not error < bound:
        raise RuntimeError(f"{name}: error {error:.1e} against the reference, allowed {bound:.0e}")


class Torch:
    """torch's own attention, on contiguous K and V of each sequence and head."""

    def __init__(self, torch, dtype, context, batch):
        self.torch, self.bytes = torch, 2 * batch * context * KV_HEADS * D * dtype.itemsize
        self.name = f"torch SDPA {str(dtype).removeprefix('torch.')}"
        shape = (batch, KV_HEADS, context, D)
        self.copies = [
            [torch.randn(shape).to(dtype) for _ in "kv"]
            for _ in range(max(2, math.ceil(FOOTPRINT / self.bytes)))
        ]
        self.q = torch.randn(batch, HEADS, D).to(dtype)
        want = reference(torch, self.q, *self.copies[0])
        check(self.name, self.run(0).reshape(batch, HEADS, D)[0], want, 2e-2)

    def run(self, i):
        k, v = self.copies[i % len(self.copies)]
        q = self.q.view(-1, KV_HEADS, GROUP, D)
        return self.torch.nn.functional.scaled_dot_product_attention(q, k, v)


class Vllm:
    """vLLM's paged attention for CPUs, on shuffled blocks of 128 tokens (its smallest)."""

    BLOCK = 128

    def __init__(self, torch, ops, dtype, context, batch):
        self.ops, self.bytes = ops, 2 * batch * context * KV_HEADS * D * dtype.itemsize
        self.name = f"vLLM {str(dtype).removeprefix('torch.')}"
        blocks = batch * context // self.BLOCK
        copies = max(2, math.ceil(FOOTPRINT / self.bytes))
        cache = torch.empty(blocks * copies, KV_HEADS, self.BLOCK, 2 * D, dtype=dtype)
        paired = cache.view(-1, KV_HEADS, 2 * self.BLOCK, D)
        self.k_cache, self.v_cache = paired.chunk(2, dim=2)
        self.q = torch.randn(batch, HEADS, D).to(dtype)
        self.out = torch.empty_like(self.q)
        order = torch.randperm(blocks * copies, dtype=torch.int32)
        self.tables = order.view(copies, batch, -1).contiguous()
        k, v = (torch.randn(batch, context, KV_HEADS, D).to(dtype) for _ in "kv")
        token = torch.arange(context)
        for table in self.tables:
            for sequence, row in enumerate(table):
                slots = row[token // self.BLOCK].long() * self.BLOCK + token % self.BLOCK
                ops.cpu_attn_reshape_and_cache(
                    k[sequence], v[sequence], self.k_cache, self.v_cache, slots, "vec", 1.0, 1.0, "auto"
                )
        self.starts = torch.arange(batch + 1, dtype=torch.int32)
        self.lens = torch.full((batch,), context, dtype=torch.int32)
        self.metadata = ops.cpu_attn_get_scheduler_metadata(
            batch, HEADS, KV_HEADS, D, self.lens, dtype, self.starts, True, -1, "vec", True, None, "auto"
        )
        want = reference(torch, self.q, k.transpose(1, 2), v.transpose(1, 2))
        check(self.name, self.run(0)[0], want, 2e-2)

    def run(self, i):
        self.ops.cpu_attention_with_kv_cache(
            self.q, self.k_cache, self.v_cache, self.out, self.starts, self.lens, D**-0.5, True, None, -1,
            self.tables[i % len(self.tables)], 0.0, self.metadata, None, None, 1.0, 1.0, "auto",
        )  # fmt: skip
        return self.out


def best(run, seconds):
    """The shortest call, in seconds, once around all copies at least."""
    shortest, start, i = math.inf, time.perf_counter(), 0
    while i < 8 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        run(i)
        shortest = min(shortest, time.perf_counter() - before)
        i += 1
    return shortest


def ours(program, context, batch, threads):
    """Microseconds by the name of the KV dtype."""
    only = f" {HEADS}/{KV_HEADS}x{D} kv{context} q1 b{batch}"
    output = subprocess.run(
        [program, "--json", "--only", only], capture_output=True, text=True, check=True
    ).stdout
    results = [r for r in json.loads(output)["results"] if r["threads"] == threads]

    def kind(r):
        return r["kv_cache_dtype"] + "@1" * r["unscaled"] + "+" * (r["attn_math"] == "int8")

    return {kind(r): r["microseconds"] for r in results}


def peers(context, batch):
    """Yields (name, constructor); says what is absent."""
    try:
        import torch
    except ImportError as error:
        print(f"  torch: absent ({error}); vLLM needs it, too", file=sys.stderr)
        return
    yield from (
        (f"torch {dtype}", lambda dtype=dtype: Torch(torch, dtype, context, batch))
        for dtype in (torch.bfloat16, torch.float32)
    )
    try:
        from vllm.platforms import current_platform

        current_platform.import_kernels()
        from vllm import _custom_ops as ops

        ops.cpu_attention_with_kv_cache
    except (ImportError, AttributeError) as error:
        print(f"  vLLM for CPUs: absent ({error})", file=sys.stderr)
        return
    yield from (
        (f"vLLM {dtype}", lambda dtype=dtype: Vllm(torch, ops, dtype, context, batch))
        for dtype in (torch.bfloat16, torch.float16)
    )


def contexts(text):
    """Context lengths, which vLLM's blocks must divide: it would fail on others, or read past its table."""
    lengths = []
    for part in text.split(","):
        if not part.isdecimal() or int(part) < 1 or int(part) % Vllm.BLOCK:
            raise argparse.ArgumentTypeError(f"context {part!r} is no multiple of {Vllm.BLOCK}")
        lengths.append(int(part))
    return lengths


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--contexts", type=contexts, default="1024,4096,16384")
    parser.add_argument("--batches", default="1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.6)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        import torch

        torch.set_num_threads(options.threads)
        torch.manual_seed(1)
    except ImportError:
        pass
    for batch in map(int, options.batches.split(",")):
        for context in options.contexts:
            compare(options, context, batch)


def compare(options, context, batch):
    print(f"context {context}, batch {batch}, {options.threads} thread(s): µs per call; × ours in E4M3, in f16")
    mine, times, others = {}, {}, dict(peers(context, batch))
    for _ in "12":
        merge(mine, ours(options.program, context, batch, options.threads))
        for name, make in list(others.items()):
            try:
                peer = make()
            except Exception as error:  # whatever another's code raises: said, not hidden
                print(f"  {name}: failed: {error}")
                del others[name]
                continue
            merge(times, {peer.name: best(peer.run, options.seconds) * 1e6})
            del peer
    for name, us in [*((f"ours {name}", us) for name, us in mine.items()), *times.items()]:
        ratios = "".join(f"{us / mine[base]:8.2f}" for base in ("fp8_e4m3", "f16") if base in mine)
        print(f"  {name:<24}{us:12.1f}{ratios}", flush=True)


def merge(shortest, times):
    """Keeps the shorter of two times of each name."""
    for name, us in times.items():
        shortest[name] = min(us, shortest.get(name, math.inf))


if __name__ == "__main__":
    main()
