// The kernels of the project's first feasibility probe, as they were: FP8 (E4M3) paged decode on CUDA
// cores and with mma, merge, append. Written before the emulator, by other hands, with NVIDIA's headers.
// Its last kernel, a wgmma probe for sm_90a, is left out: the loader refuses wgmma.
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <cuda_fp8.h>
typedef unsigned char u8; typedef unsigned int u32; typedef unsigned long long u64;
#define HD 128
#define BS 16
#define G 4            // GQA group
#define NEG_INF (-1e30f)

__device__ __forceinline__ float ex2(float x){ float y; asm("ex2.approx.ftz.f32 %0, %1;":"=f"(y):"f"(x)); return y; }
__device__ __forceinline__ float2 dq2(unsigned short v){           // e4m3x2 -> f32x2 through f16x2
  __half2_raw r = __nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)v, __NV_E4M3);
  return __half22float2(*(__half2*)&r);
}

// K1: CUDA-core split-KV decode. grid=(nseq,nkv,nsplit) block=128.
// 8 lanes x 16B = one token row of 128 e4m3; 4 tokens/warp, 4 warps -> one 16-token page per CTA step.
extern "C" __global__ void __launch_bounds__(128) paged_decode_fp8_g4(
    float* __restrict__ part_o, float* __restrict__ part_ml, const __half* __restrict__ q,
    const u8* __restrict__ kc, const u8* __restrict__ vc,
    const float* __restrict__ k_scale, const float* __restrict__ v_scale,
    const int* __restrict__ block_table, const int* __restrict__ ctx_len,
    int max_blocks, int nkv, int nsplit, float scale_log2)
{
  const int seq=blockIdx.x, kvh=blockIdx.y, sp=blockIdx.z, tid=threadIdx.x, lane=tid&31, w=tid>>5;
  const int slot=lane>>3, dl=lane&7;                     // token slot in warp, 16-dim chunk
  const int len=ctx_len[seq], nblk=(len+BS-1)/BS, per=(nblk+nsplit-1)/nsplit;
  const int b0=sp*per, b1=min(nblk,b0+per);
  __shared__ float s_o[4][G][HD]; __shared__ float s_m[4][G], s_l[4][G];
  const float ks=k_scale[kvh]*scale_log2, vs=v_scale[kvh];
  float qf[G][16], acc[G][16], m[G], l[G];
  #pragma unroll
  for(int g=0;g<G;g++){ m[g]=NEG_INF; l[g]=0.f;
    const uint4* qp=(const uint4*)(q+((size_t)seq*nkv*G+kvh*G+g)*HD+dl*16);
    uint4 a=qp[0], b=qp[1]; u32 r[8]={a.x,a.y,a.z,a.w,b.x,b.y,b.z,b.w};
    #pragma unroll
    for(int i=0;i<8;i++){ float2 f=__half22float2(*(__half2*)&r[i]); qf[g][2*i]=f.x*ks; qf[g][2*i+1]=f.y*ks; acc[g][2*i]=acc[g][2*i+1]=0.f; } }
  for(int b=b0;b<b1;b++){
    const int tok=w*4+slot, pos=b*BS+tok;
    const long long pb=block_table[(size_t)seq*max_blocks+b];
    const size_t off=((size_t)(pb*nkv+kvh)*BS+tok)*HD+dl*16;
    const bool ok=pos<len;
    uint4 kr=make_uint4(0,0,0,0), vr=make_uint4(0,0,0,0);
    if(ok){ kr=*(const uint4*)(kc+off); vr=*(const uint4*)(vc+off); }
    u32 kk[4]={kr.x,kr.y,kr.z,kr.w}, vv[4]={vr.x,vr.y,vr.z,vr.w};
    float s[G];
    #pragma unroll
    for(int g=0;g<G;g++) s[g]=0.f;
    #pragma unroll
    for(int i=0;i<4;i++){ float2 lo=dq2(kk[i]&0xffff), hi=dq2(kk[i]>>16);
      #pragma unroll
      for(int g=0;g<G;g++){ s[g]=fmaf(qf[g][4*i],lo.x,s[g]); s[g]=fmaf(qf[g][4*i+1],lo.y,s[g]); s[g]=fmaf(qf[g][4*i+2],hi.x,s[g]); s[g]=fmaf(qf[g][4*i+3],hi.y,s[g]); } }
    float vf[16];
    #pragma unroll
    for(int i=0;i<4;i++){ float2 lo=dq2(vv[i]&0xffff), hi=dq2(vv[i]>>16); vf[4*i]=lo.x; vf[4*i+1]=lo.y; vf[4*i+2]=hi.x; vf[4*i+3]=hi.y; }
    #pragma unroll
    for(int g=0;g<G;g++){
      float t=s[g];
      t+=__shfl_xor_sync(~0u,t,4); t+=__shfl_xor_sync(~0u,t,2); t+=__shfl_xor_sync(~0u,t,1);
      t = ok? t : NEG_INF;
      float mn=fmaxf(m[g],t), c=ex2(m[g]-mn), p= ok? ex2(t-mn) : 0.f;
      m[g]=mn; l[g]=l[g]*c+p;
      #pragma unroll
      for(int i=0;i<16;i++) acc[g][i]=fmaf(p,vf[i],acc[g][i]*c);
    }
  }
  #pragma unroll
  for(int g=0;g<G;g++){                                    // merge 4 token slots of the warp
    #pragma unroll
    for(int o=8;o<32;o<<=1){ float mo=__shfl_xor_sync(~0u,m[g],o), lo=__shfl_xor_sync(~0u,l[g],o), mn=fmaxf(m[g],mo);
      float a=ex2(m[g]-mn), c=ex2(mo-mn); l[g]=l[g]*a+lo*c; m[g]=mn;
      #pragma unroll
      for(int i=0;i<16;i++){ float x=__shfl_xor_sync(~0u,acc[g][i],o); acc[g][i]=acc[g][i]*a+x*c; } }
    if(slot==0){
      #pragma unroll
      for(int i=0;i<16;i+=4) *(float4*)&s_o[w][g][dl*16+i]=make_float4(acc[g][i],acc[g][i+1],acc[g][i+2],acc[g][i+3]);
      if(dl==0){ s_m[w][g]=m[g]; s_l[w][g]=l[g]; } }
  }
  __syncthreads();
  for(int g=0;g<G;g++){                                    // merge 4 warps, one dim per thread
    float mn=fmaxf(fmaxf(s_m[0][g],s_m[1][g]),fmaxf(s_m[2][g],s_m[3][g])), o=0.f, ls=0.f;
    #pragma unroll
    for(int i=0;i<4;i++){ float c=ex2(s_m[i][g]-mn); o+=c*s_o[i][g][tid]; ls+=c*s_l[i][g]; }
    const size_t h=((size_t)seq*nkv*G+kvh*G+g)*nsplit+sp;
    part_o[h*HD+tid]= ls>0.f ? o*vs/ls : 0.f;
    if(tid==0){ part_ml[h*2]=mn; part_ml[h*2+1]=ls; }
  }
}

// K2: merge splits. grid=(nseq,nq) block=128
extern "C" __global__ void merge_splits(__half* __restrict__ out, const float* __restrict__ part_o, const float* __restrict__ part_ml, int nsplit){
  const size_t h=(size_t)blockIdx.x*gridDim.y+blockIdx.y; const int d=threadIdx.x;
  float mx=NEG_INF; for(int s=0;s<nsplit;s++) mx=fmaxf(mx,part_ml[(h*nsplit+s)*2]);
  float den=0.f,o=0.f; for(int s=0;s<nsplit;s++){ float w=part_ml[(h*nsplit+s)*2+1]*ex2(part_ml[(h*nsplit+s)*2]-mx); den+=w; o+=w*part_o[(h*nsplit+s)*HD+d]; }
  out[h*HD+d]=__float2half_rn(o/fmaxf(den,1e-30f));
}

// K3: quantise + append one token per sequence, track amax. grid=(nseq,nkv) block=64
extern "C" __global__ void append_kv_fp8(u8* __restrict__ kc, u8* __restrict__ vc, const __nv_bfloat16* __restrict__ k, const __nv_bfloat16* __restrict__ v,
    const float* __restrict__ k_scale, const float* __restrict__ v_scale, const long long* __restrict__ slot, u32* __restrict__ amax, int nkv){
  const int seq=blockIdx.x,h=blockIdx.y,t=threadIdx.x; const long long s=slot[seq]; if(s<0) return;
  const size_t src=((size_t)seq*nkv+h)*HD+2*t, dst=((size_t)((s/BS)*nkv+h)*BS+(s%BS))*HD+2*t;
  const float ik=1.f/k_scale[h], iv=1.f/v_scale[h];
  float2 a=__bfloat1622float2(*(const __nv_bfloat162*)(k+src)), b=__bfloat1622float2(*(const __nv_bfloat162*)(v+src));
  *(unsigned short*)(kc+dst)=__nv_cvt_float2_to_fp8x2(make_float2(a.x*ik,a.y*ik),__NV_SATFINITE,__NV_E4M3);
  *(unsigned short*)(vc+dst)=__nv_cvt_float2_to_fp8x2(make_float2(b.x*iv,b.y*iv),__NV_SATFINITE,__NV_E4M3);
  float mx=fmaxf(fabsf(a.x),fabsf(a.y));
  #pragma unroll
  for(int o=16;o;o>>=1) mx=fmaxf(mx,__shfl_xor_sync(~0u,mx,o));
  if((t&31)==0) atomicMax(&amax[h],__float_as_uint(mx));
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
// K4: tensor-core decode. One warp per (seq,kvh,split); Q rows (G padded to 16) already e4m3; QK in fp8 mma, PV in f16 mma.
extern "C" __global__ void __launch_bounds__(32) paged_decode_mma_g4(
    float* __restrict__ part_o, float* __restrict__ part_ml, const u8* __restrict__ q8, const float* __restrict__ q_scale,
    const u8* __restrict__ kc, const u8* __restrict__ vc, const float* __restrict__ k_scale, const float* __restrict__ v_scale,
    const int* __restrict__ block_table, const int* __restrict__ ctx_len, int max_blocks, int nkv, int nsplit, float scale_log2)
{
  __shared__ __align__(128) u8 s_v8[2][BS][HD]; __shared__ __align__(128) __half s_v[BS][HD+8];
  const int seq=blockIdx.x,kvh=blockIdx.y,sp=blockIdx.z,lane=threadIdx.x, r=lane>>2, c=lane&3;
  const int len=ctx_len[seq], nblk=(len+BS-1)/BS, per=(nblk+nsplit-1)/nsplit, b0=sp*per, b1=min(nblk,b0+per);
  u32 qa[4][4];
  #pragma unroll
  for(int k=0;k<4;k++){ const u32* p=(const u32*)(q8+((size_t)seq*nkv*G+kvh*G+(r<G?r:0))*HD+k*32);
    qa[k][0]= r<G? p[c]:0; qa[k][2]= r<G? p[c+4]:0; qa[k][1]=qa[k][3]=0; }
  const float qs=k_scale[kvh]*scale_log2*(r<G? q_scale[(size_t)seq*nkv*G+kvh*G+r]:0.f), vs=v_scale[kvh];
  float o[16][4]; float m=NEG_INF,l=0.f;
  #pragma unroll
  for(int i=0;i<16;i++) o[i][0]=o[i][1]=o[i][2]=o[i][3]=0.f;
  auto prefetch=[&](int b,int st){ const long long pb=block_table[(size_t)seq*max_blocks+b]; const u8* src=vc+(size_t)(pb*nkv+kvh)*BS*HD;
    #pragma unroll
    for(int i=0;i<4;i++){ int e=(i*32+lane)*16; u32 d=(u32)__cvta_generic_to_shared(&s_v8[st][0][0]+e);
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"::"r"(d),"l"(src+e):"memory"); }
    asm volatile("cp.async.commit_group;":::"memory"); };
  if(b0<b1) prefetch(b0,0);
  for(int b=b0;b<b1;b++){
    const int st=(b-b0)&1;
    if(b+1<b1){ prefetch(b+1,st^1); asm volatile("cp.async.wait_group 1;":::"memory"); } else asm volatile("cp.async.wait_group 0;":::"memory");
    __syncwarp();
    #pragma unroll
    for(int i=0;i<4;i++){ int e=(i*32+lane)*16, t=e/HD, d=e%HD; uint4 x=*(const uint4*)&s_v8[st][t][d]; u32 xs[4]={x.x,x.y,x.z,x.w};
      #pragma unroll
      for(int j=0;j<4;j++){ u32 lo,hi;
        asm("{.reg .b16 a,b; mov.b32 {a,b}, %2; cvt.rn.f16x2.e4m3x2 %0, a; cvt.rn.f16x2.e4m3x2 %1, b;}":"=r"(lo),"=r"(hi):"r"(xs[j]));
        *(uint2*)&s_v[t][d+4*j]=make_uint2(lo,hi); } }
    __syncwarp();
    const long long pb=block_table[(size_t)seq*max_blocks+b]; const u8* kp=kc+(size_t)(pb*nkv+kvh)*BS*HD;
    float s[2][4];
    #pragma unroll
    for(int n=0;n<2;n++){ s[n][0]=s[n][1]=s[n][2]=s[n][3]=0.f; const u32* row=(const u32*)(kp+(n*8+r)*HD);
      #pragma unroll
      for(int k=0;k<4;k++){ u32 kb0=row[k*8+c], kb1=row[k*8+c+4];
        asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          :"+f"(s[n][0]),"+f"(s[n][1]),"+f"(s[n][2]),"+f"(s[n][3]):"r"(qa[k][0]),"r"(qa[k][1]),"r"(qa[k][2]),"r"(qa[k][3]),"r"(kb0),"r"(kb1)); } }
    float mx=NEG_INF;
    #pragma unroll
    for(int n=0;n<2;n++)
      #pragma unroll
      for(int j=0;j<2;j++){ int pos=b*BS+n*8+c*2+j; s[n][j]= pos<len ? s[n][j]*qs : NEG_INF; mx=fmaxf(mx,s[n][j]); }
    mx=fmaxf(mx,__shfl_xor_sync(~0u,mx,1)); mx=fmaxf(mx,__shfl_xor_sync(~0u,mx,2));
    const float mn=fmaxf(m,mx), cr=ex2(m-mn); m=mn; float ps=0.f; float p[2][2];
    #pragma unroll
    for(int n=0;n<2;n++)
      #pragma unroll
      for(int j=0;j<2;j++){ p[n][j]= s[n][j]>NEG_INF ? ex2(s[n][j]-mn):0.f; ps+=p[n][j]; }
    ps+=__shfl_xor_sync(~0u,ps,1); ps+=__shfl_xor_sync(~0u,ps,2); l=l*cr+ps;
    __half2 h0=__floats2half2_rn(p[0][0],p[0][1]), h1=__floats2half2_rn(p[1][0],p[1][1]);
    const u32 a0=*(u32*)&h0, a2=*(u32*)&h1, z=0;
    #pragma unroll
    for(int n=0;n<16;n++){ u32 v0,v1; u32 ad=(u32)__cvta_generic_to_shared(&s_v[lane&15][n*8]);
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];":"=r"(v0),"=r"(v1):"r"(ad):"memory");
      o[n][0]*=cr; o[n][1]*=cr;
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        :"+f"(o[n][0]),"+f"(o[n][1]),"+f"(o[n][2]),"+f"(o[n][3]):"r"(a0),"r"(z),"r"(a2),"r"(z),"r"(v0),"r"(v1)); }
    __syncwarp();
  }
  if(r<G){ const size_t h=((size_t)seq*nkv*G+kvh*G+r)*nsplit+sp; const float il= l>0.f? vs/l:0.f;
    #pragma unroll
    for(int n=0;n<16;n++) *(float2*)&part_o[h*HD+n*8+c*2]=make_float2(o[n][0]*il,o[n][1]*il);
    if(c==0){ part_ml[h*2]=m; part_ml[h*2+1]=l; } }
}
#endif
