#include "simd/avx2.h"

#include "isa/make_kernels.h"

namespace candlewick {

extern const Kernels avx2_kernels;
constinit const Kernels avx2_kernels = make_kernels<Avx2>();

}    // namespace candlewick
