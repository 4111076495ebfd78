// arch: sm_90a sm_100a sm_120a
// Bulk copies with an mbarrier per stage: x·2 + 1 of a long row, tile by tile, stored back in bulk.

#define TILE 1024
typedef unsigned long long u64;

extern "C" __global__ void __launch_bounds__(128) stream(float* __restrict__ out, const float* __restrict__ in, int tiles)
{
    __shared__ __align__(128) float buffer[2][TILE];
    __shared__ __align__(128) float result[TILE];
    __shared__ __align__(8) u64 full[2];
    const unsigned bar = (unsigned)__cvta_generic_to_shared(full), buf = (unsigned)__cvta_generic_to_shared(buffer);
    auto fetch = [&](int tile, int stage) {
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar + stage * 8), "r"(TILE * 4) : "memory");
        asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(buf + stage * TILE * 4),
                     "l"(in + (size_t)tile * TILE), "r"(TILE * 4), "r"(bar + stage * 8) : "memory");
    };
    if (threadIdx.x == 0) {
        for (int s = 0; s < 2; s++)
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(bar + s * 8) : "memory");
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    __syncthreads();
    int mine = 0;
    if (threadIdx.x == 0)
        for (int t = blockIdx.x; t < tiles && mine < 2; t += gridDim.x, mine++)
            fetch(t, mine);
    int round = 0;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, round++) {
        const int stage = round & 1, parity = round >> 1 & 1;
        unsigned done;
        do {
            asm volatile("{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
                         : "=r"(done) : "r"(bar + stage * 8), "r"(parity) : "memory");
        } while (!done);
        for (int i = threadIdx.x; i < TILE; i += blockDim.x)
            result[i] = fmaf(buffer[stage][i], 2.f, 1.f);
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        __syncthreads();
        if (threadIdx.x == 0) {
            if (tile + 2 * (int)gridDim.x < tiles)
                fetch(tile + 2 * gridDim.x, stage);
            asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(out + (size_t)tile * TILE),
                         "r"((unsigned)__cvta_generic_to_shared(result)), "r"(TILE * 4) : "memory");
            asm volatile("cp.async.bulk.commit_group;" ::: "memory");
            asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
        }
        __syncthreads();
    }
}
