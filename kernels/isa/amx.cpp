// AMX tiles for products with many tokens; all else is AVX-512.
#include "isa/kernels.h"
#include "ops/linear_amx.h"

namespace candlewick {

extern const Kernels avx512_kernels;

namespace {

// Unpacking a panel to bytes costs about as much as multiplying it with this many tokens.
constexpr int fewest_tokens = 16;

void linear(const LinearTask& task) {
    const bool done = task.num_tokens >= fewest_tokens && with_quantised_type(task.type, false, [&]<TensorType T>() {
        if constexpr (PanelOf<T>::k_family)
            linear_amx_super<T>(task);
        else
            linear_amx_block<T>(task);
        return true;
    });
    if (!done) avx512_kernels.linear(task);
}

}    // namespace

Kernels make_amx_kernels() {
    Kernels kernels = avx512_kernels;
    kernels.name = "amx";
    kernels.linear = linear;
    kernels.group_bytes = cached_group_bytes;
    return kernels;
}

}    // namespace candlewick
