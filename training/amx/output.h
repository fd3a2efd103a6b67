// From the last layer's stream to the loss, and back: the norm and the output matrix, for the learned tokens alone.

#pragma once

#include "layer.h"

namespace amx {

constexpr int kHeadStretch = 64;  // tokens that are predicted together
constexpr int kHeadGather = 256;  // tokens whose share of the matrix's gradient is summed up together

// A token whose prediction is learned: its place, the token that follows, and how much it counts of all.
struct Learned {
  int place;
  std::int64_t next;
  float share;
};

// The loss, and the gradients of the embedding and, in `slopes`, of what comes out of the layers.
inline double predict(const Sizes& sizes, const std::vector<Learned>& learned, const Norm& norm, const float* x,
                      const float* embedding, float* to_embedding, float* slopes) {
  const int hidden = sizes.hidden, vocab = sizes.vocab;
  Matrix matrix(vocab, hidden);
  matrix.take(embedding, vocab, 0);
  matrix.pack();
  Buffer<float> across_sums(std::int64_t{hidden} * vocab), logits(kHeadStretch * vocab), to_states(kHeadStretch * hidden);
  Buffer<Half> states(kHeadStretch * hidden), to_logits(kHeadStretch * vocab), across(kHeadGather * hidden);
  Buffer<Half> pairs(kHeadGather * vocab);
  std::fill_n(across_sums.data(), std::int64_t{hidden} * vocab, 0.0f);
  double loss = 0;
  const int count = static_cast<int>(learned.size());
  for (int gather = 0; gather < count; gather += kHeadGather) {
    for (int place = 0; place < kHeadGather; place += kHeadStretch) {
      const int start = gather + place, present = std::clamp(count - start, 0, kHeadStretch);
      std::memset(states.data(), 0, kHeadStretch * hidden * sizeof(Half));
      std::memset(to_logits.data(), 0, kHeadStretch * vocab * sizeof(Half));
      for (int i = 0; i < present; ++i) {
        norm.forward(x + std::int64_t{learned[start + i].place} * hidden, states.data() + i * hidden);
      }
      if (present) {
        multiply<false>(RowMajor{states.data(), hidden}, matrix.forward(), kHeadStretch, vocab, hidden, logits.data(), vocab);
      }
      for (int i = 0; i < present; ++i) {
        const Learned& one = learned[start + i];
        float* row = logits.data() + i * vocab;
        __m512 highest = _mm512_set1_ps(-INFINITY), total = _mm512_setzero_ps();
        for (int j = 0; j < vocab; j += 16) highest = _mm512_max_ps(highest, load(row + j));
        const float shift = _mm512_reduce_max_ps(highest) * kLog2E;
        const float wanted = row[one.next] * kLog2E - shift;
        for (int j = 0; j < vocab; j += 16) {
          const __m512 weight = exp2_of(_mm512_fmsub_ps(load(row + j), _mm512_set1_ps(kLog2E), _mm512_set1_ps(shift)));
          total = _mm512_add_ps(total, weight);
          _mm512_storeu_ps(row + j, weight);
        }
        const float sum = _mm512_reduce_add_ps(total);
        loss += one.share * (std::log(sum) - wanted / kLog2E);
        row[one.next] -= sum;
        const __m512 factor = _mm512_set1_ps(one.share / sum);
        for (int j = 0; j < vocab; j += 16) store(to_logits.data() + i * vocab + j, _mm512_mul_ps(load(row + j), factor));
      }
      pack_across(across.data(), states.data(), hidden, place, kHeadStretch, hidden, kHeadGather);
      pack_rows(pairs.data(), to_logits.data(), vocab, place, kHeadStretch, vocab, kHeadGather);
      if (!present) continue;
      multiply<false>(RowMajor{to_logits.data(), vocab}, matrix.backward(), kHeadStretch, hidden, vocab, to_states.data(), hidden);
      for (int i = 0; i < present; ++i) {
        const std::int64_t at = std::int64_t{learned[start + i].place} * hidden;
        norm.backward(x + at, to_states.data() + i * hidden, slopes + at, states.data() + i * hidden);
      }
    }
    multiply<true>(Tiled{across.data()}, pairs.data(), hidden, vocab, kHeadGather, across_sums.data(), vocab);
  }
  store_gradient(to_embedding, across_sums.data(), vocab, 0, vocab, hidden);
  return loss;
}

}  // namespace amx
