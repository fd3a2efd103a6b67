// What this machine could do at most in this very moment: the ruler that figures of speed are held against.
#pragma once

#include <cstddef>
#include <cstdint>

#include "executor/thread_pool.h"
#include "isa/kernels.h"

namespace candlewick {

// Integer multiplications with addition a second, of all workers together, in registers. With AMX it is what the vector
// units do: tiles can be faster.
double measure_products(const Kernels& kernels, ThreadPool& threads);

// Bytes a second that all workers together read from this memory; large memory measures the machine's, small its caches.
double measure_reads(const Kernels& kernels, ThreadPool& threads, const uint8_t* bytes, size_t count);

}    // namespace candlewick
