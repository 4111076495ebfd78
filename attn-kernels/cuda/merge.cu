//! Joins the states of a row's chunks, left to right, where a task was split: the same steps as in
//! a CTA that walks all its chunks, so the same bits. Grid (tasks, KV heads); a task here is whole.
#include "attention.cuh"

extern "C" __global__ void __launch_bounds__(THREADS, 8) merge_chunks(const __grid_constant__ Call call) {
    Task task = call.tasks[blockIdx.x];
    u32 kv_head = blockIdx.y, quarters = call.head_dim / 4;
    u32 rows = task.tokens * call.group, chunks = task.chunk_to - task.chunk_from;
    for (u32 index = threadIdx.x; index < rows * quarters; index += THREADS) {
        u32 r = index / quarters, quarter = index % quarters;
        Stats stats = Stats::empty();
        float4 sum = make_float4(0, 0, 0, 0);
        for (u32 chunk = 0; chunk < chunks; chunk++) {
            u64 state = task.partial + ((u64)chunk * call.num_kv_heads + kv_head) * rows + r;
            float2 s = *(const float2 *)(call.part_stats + state * 2);
            Stats fresh = {s.x, s.y};
            if (fresh.is_empty()) continue;
            float4 x = *(const float4 *)(call.part_out + state * call.head_dim + quarter * 4);
            Weights w = merge(stats, fresh);
            sum = make_float4(merge_output(sum.x, x.x, w), merge_output(sum.y, x.y, w),
                              merge_output(sum.z, x.z, w), merge_output(sum.w, x.w, w));
        }
        Row row(task, call.group, kv_head, r);
        float factor = final_factor(stats, call.sinks, row.head, call.v_scale[kv_head]);
        u64 at = (u64)(task.row + row.token) * call.num_heads + row.head;
        *(float4 *)(call.out + at * call.head_dim + quarter * 4) =
            make_float4(sum.x * factor, sum.y * factor, sum.z * factor, sum.w * factor);
        if (call.lse != nullptr && quarter == 0) call.lse[at] = log_sum(stats);
    }
}
