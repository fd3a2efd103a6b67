// Builds the table of one instruction set from the kernels' templates. Included by one translation unit each.
#pragma once

#include "isa/kernels.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/limits.h"
#include "ops/linear_float.h"
#include "ops/linear_integer.h"
#include "ops/logits.h"
#include "ops/norm.h"
#include "ops/quantize.h"
#include "ops/rope.h"

namespace candlewick {

template <class S>
void linear(const LinearTask& task) {
    const bool done = with_quantised_type(task.type, false, [&]<TensorType T>() {
        linear_quantised<S, T>(task);
        return true;
    });
    if (done) return;
    if (task.type == TensorType::f32)
        linear_float<S, TensorType::f32>(task);
    else if (task.type == TensorType::f16)
        linear_float<S, TensorType::f16>(task);
    else
        linear_float<S, TensorType::bf16>(task);
}

template <class S>
constexpr Kernels make_kernels() {
    return Kernels{
        .name = S::name,
        .rms_norm = rms_norm<S>,
        .rope = rope<S>,
        .silu_multiply = silu_multiply<S>,
        .add = add<S>,
        .attention = {{write<S, Half>, attend<S, Half>},
                      {write<S, float>, attend<S, float>},
                      {write<S, int8_t>, attend<S, int8_t>}},
        .logits = {maximum<S>, sum_exp<S>, at_least<S>},
        .quantize = quantize<S>,
        .linear = linear<S>,
        .group_bytes = size_t(8) << 20,    // integer products walk by chunks of k: all tokens of a step are welcome
        .multiply_registers = multiply_registers<S>,
        .read_memory = read_memory<S>,
    };
}

}    // namespace candlewick
