#include "simd/scalar.h"

#include "isa/make_kernels.h"

namespace candlewick {

extern const Kernels scalar_kernels;
constinit const Kernels scalar_kernels = make_kernels<Scalar>();

}    // namespace candlewick
