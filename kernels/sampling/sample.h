// From a row of logits to a token.
//
// In this order: log-probabilities of the model's own distribution (when wanted), bias, penalties, the mask of allowed
// tokens, temperature, top-k, top-p, min-p, and the draw. Tokens rank by logit, equal ones by ascending id; a draw walks
// the kept tokens by ascending id until their summed probability exceeds the random number.
//
// A NaN logit is a token that is never chosen; a row without a finite logit, or with +infinity, is an error.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "isa/kernels.h"
#include "sampling/sampler.h"

namespace candlewick {

enum class SampleStatus { ok, no_finite_logit, nothing_allowed };

struct Sampled {
    SampleStatus status = SampleStatus::ok;
    int32_t token_id = -1;
    float logprob = 0.0f;                           // NaN unless asked for
    std::vector<std::pair<int32_t, float>> top;     // the most likely tokens, best first, and their log-probabilities
};

// Memory that one thread uses again and again.
struct SamplingWorkspace {
    std::vector<int32_t> ids;     // tokens that a filter has left, and
    std::vector<float> values;    // their logits
    std::vector<float> ranked;
    std::vector<double> chunk_sums;
    std::vector<std::pair<int32_t, float>> originals;
};

// Draw a token from one row of settings().vocab_size logits, which may be modified. `allowed` is null or a bit mask, bit
// i % 32 of word i / 32 for token i. Different threads may sample with different workspaces at once.
void sample_row(const Kernels& kernels, const Sampler& sampler, float* logits, const uint32_t* allowed,
                SamplingWorkspace& workspace, Sampled& out);

// A token for each sampler: samplers[r] draws from row rows[r] (r if null) of `logits` [most, vocab_size] and the r-th row
// of `allowed` [samplers, vocab_size / 32 rounded up] (or null), by up to `num_threads` threads. No row is named twice.
std::vector<Sampled> sample_rows(const Kernels& kernels, const std::vector<const Sampler*>& samplers, float* logits,
                                 int vocab_size, const int32_t* rows, const uint32_t* allowed, int num_threads);

}    // namespace candlewick
