// One layer, forwards and backwards: RMSNorm, grouped-query attention with rotary positions in most layers, SwiGLU.
//
// A stretch of tokens stays in the cache from one product to the next, and everything is laid out as the following product
// reads it. Products, and what they read, are bfloat16; sums, norms and the residual stream are float32, as under torch's
// autocast.

#pragma once

#include <cstring>

#include "attention.h"
#include "tiles.h"

namespace amx {

constexpr int kStretch = 128;   // tokens that go through a layer together
constexpr int kGather = 1024;   // tokens whose share of a matrix's gradient is summed up together

struct Sizes {
  int hidden, feed_forward, vocab, batch, tokens;
  Heads heads;

  int all() const { return batch * tokens; }
};

// A matrix [rows, columns] of the network, as a second factor both ways.
class Matrix {
 public:
  Matrix(int rows, int columns)
      : rows_(rows), columns_(columns), forward_(static_cast<std::int64_t>(rows) * columns),
        backward_(static_cast<std::int64_t>(rows) * columns), rounded_(static_cast<std::int64_t>(rows) * columns) {}

  // `count` rows of `from` become the rows from `to` on.
  void take(const float* from, int count, int to) {
    round(rounded_.data() + static_cast<std::int64_t>(to) * columns_, from, static_cast<std::int64_t>(count) * columns_);
  }

  void pack() {
    pack_transposed(forward_.data(), rounded_.data(), columns_, rows_, columns_);
    pack_rows(backward_.data(), rounded_.data(), columns_, 0, rows_, columns_, rows_);
  }

  // For x times its transpose: the rows from `row` on.
  const Half* forward(int row = 0) const { return forward_.data() + static_cast<std::int64_t>(row) * columns_; }
  // For x times itself: the columns from `column` on.
  const Half* backward(int column = 0) const { return backward_.data() + static_cast<std::int64_t>(column) * rows_; }

 private:
  int rows_, columns_;
  Buffer<Half> forward_, backward_, rounded_;
};

// Writes `rows` of `from` [columns, stride] from `first` on, transposed, as [rows, columns].
inline void store_gradient(float* to, const float* from, std::int64_t stride, int first, int rows, int columns) {
  for (int row = 0; row < rows; row += 16) {
    for (int column = 0; column < columns; column += 16) {
      __m512i square[16];
      for (int line = 0; line < 16; ++line) square[line] = _mm512_loadu_si512(from + (column + line) * stride + first + row);
      transpose(square);
      for (int line = 0; line < 16; ++line) {
        _mm512_storeu_si512(to + static_cast<std::int64_t>(row + line) * columns + column, square[line]);
      }
    }
  }
}

struct Norm {
  const float* weight;
  float* gradient;
  int size;
  float epsilon;

  float scale(const float* x) const {
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < size; i += 16) sum = _mm512_fmadd_ps(load(x + i), load(x + i), sum);
    return 1 / std::sqrt(_mm512_reduce_add_ps(sum) / size + epsilon);
  }

  void forward(const float* x, Half* out) const {
    const __m512 factor = _mm512_set1_ps(scale(x));
    for (int i = 0; i < size; i += 16) {
      store(out + i, _mm512_mul_ps(_mm512_mul_ps(load(x + i), factor), load(weight + i)));
    }
  }

  // Adds the gradient of x to `to_x`, given that of the result; writes the result again to `out`.
  void backward(const float* x, const float* to_out, float* to_x, Half* out) const {
    const float factor = scale(x);
    const __m512 factors = _mm512_set1_ps(factor);
    __m512 sum = _mm512_setzero_ps();
    for (int i = 0; i < size; i += 16) {
      const __m512 normed = _mm512_mul_ps(load(x + i), factors), slope = load(to_out + i), weights = load(weight + i);
      store(out + i, _mm512_mul_ps(normed, weights));
      _mm512_storeu_ps(gradient + i, _mm512_fmadd_ps(slope, normed, load(gradient + i)));
      sum = _mm512_fmadd_ps(_mm512_mul_ps(slope, weights), normed, sum);
    }
    const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / size * factor);
    for (int i = 0; i < size; i += 16) {
      const __m512 slope = _mm512_mul_ps(_mm512_mul_ps(load(to_out + i), load(weight + i)), factors);
      const __m512 change = _mm512_fnmadd_ps(_mm512_mul_ps(load(x + i), factors), mean, slope);
      _mm512_storeu_ps(to_x + i, _mm512_add_ps(load(to_x + i), change));
    }
  }
};

// Turns neighbouring columns of one head by a token's angles: cosines, each twice, and sines, the first of two negative.
// Backwards the sines change their sign.
inline void turn(float* values, const float* cosines, const float* sines, float sign) {
  for (int i = 0; i < kHead; i += 16) {
    const __m512 x = load(values + i), swapped = _mm512_permute_ps(x, 0xb1);
    const __m512 turned = _mm512_mul_ps(swapped, _mm512_mul_ps(load(sines + i), _mm512_set1_ps(sign)));
    _mm512_storeu_ps(values + i, _mm512_fmadd_ps(x, load(cosines + i), turned));
  }
}

// What is used by all layers.
struct Shared {
  Sizes sizes;
  std::vector<std::vector<std::vector<Seen>>> seen;  // of each row of the batch
  Buffer<float> cosines, sines;                      // [all, 64]
  Buffer<float> slopes;                              // [all, hidden]: the gradient of the residual stream
  Buffer<float> wide;                                // [kStretch, the widest product]
  Buffer<Half> narrow, to_gate;                      // [kStretch, hidden], [kStretch, 2 feed_forward]
  Buffer<Half> across, across_out;                   // [hidden, kGather] of a product's input, and of its result's gradient
  Buffer<Half> pairs, pairs_down;                    // [kGather, 2 feed_forward], [kGather, feed_forward]
  Buffer<Half> to_joint, to_mixed;                   // [all, joint columns], [all, hidden]
  Attention attention;

  explicit Shared(Sizes s)
      : sizes(s), cosines(s.all() * kHead), sines(s.all() * kHead), slopes(std::int64_t{s.all()} * s.hidden),
        wide(kStretch * std::max(2 * s.feed_forward, s.heads.columns())), narrow(kStretch * s.hidden),
        to_gate(kStretch * 2 * s.feed_forward), across(kGather * s.hidden), across_out(kGather * s.hidden),
        pairs(kGather * std::max(2 * s.feed_forward, s.heads.columns())), pairs_down(kGather * s.feed_forward),
        to_joint(std::int64_t{s.all()} * s.heads.columns()), to_mixed(std::int64_t{s.all()} * s.hidden),
        attention(s.heads, s.tokens) {}
};

// Weights and gradients of a layer in the order of model.py's parameters.
enum Parameter { kAttnNorm, kQuery, kKey, kValue, kOutput, kFfnNorm, kGate, kUp, kDown, kParameters };

class Layer {
 public:
  Layer(Sizes s, bool rotates, float epsilon, const float* const* weights, float* const* gradients)
      : sizes_(s), rotates_(rotates), gradients_(gradients),
        attn_norm_{weights[kAttnNorm], gradients[kAttnNorm], s.hidden, epsilon},
        ffn_norm_{weights[kFfnNorm], gradients[kFfnNorm], s.hidden, epsilon}, joint_weights_(s.heads.columns(), s.hidden),
        output_(s.hidden, s.hidden), gates_(2 * s.feed_forward, s.hidden), down_(s.hidden, s.feed_forward),
        before_attention_(std::int64_t{s.all()} * s.hidden), before_ffn_(std::int64_t{s.all()} * s.hidden),
        joint_(std::int64_t{s.all()} * s.heads.columns()), mixed_(std::int64_t{s.all()} * s.hidden),
        logs_(std::int64_t{s.all()} * s.heads.heads), gate_(std::int64_t{s.all()} * 2 * s.feed_forward) {
    const int queries = s.heads.heads * kHead, keys = s.heads.kv_heads * kHead;
    joint_weights_.take(weights[kQuery], queries, 0);
    joint_weights_.take(weights[kKey], keys, queries);
    joint_weights_.take(weights[kValue], keys, queries + keys);
    output_.take(weights[kOutput], s.hidden, 0);
    down_.take(weights[kDown], s.hidden, 0);
    for (int row = 0; row < s.feed_forward; row += kBlock) {  // gate and up alternate by blocks
      gates_.take(weights[kGate] + std::int64_t{row} * s.hidden, kBlock, 2 * row);
      gates_.take(weights[kUp] + std::int64_t{row} * s.hidden, kBlock, 2 * row + kBlock);
    }
    for (Matrix* matrix : {&joint_weights_, &output_, &gates_, &down_}) matrix->pack();
  }

  // `x` [all, hidden] becomes what the layer makes of it.
  void forward(Shared& shared, float* x) {
    const int hidden = sizes_.hidden, joint = sizes_.heads.columns();
    std::memcpy(before_attention_.data(), x, std::int64_t{sizes_.all()} * hidden * 4);
    for (int start = 0; start < sizes_.all(); start += kStretch) {
      norm_stretch(attn_norm_, shared, x, start);
      multiply<false>(RowMajor{shared.narrow.data(), hidden}, joint_weights_.forward(), kStretch, joint, hidden,
                      shared.wide.data(), joint);
      for (int token = 0; token < kStretch; ++token) {
        rotate(shared, shared.wide.data() + token * joint, start + token, 1);
        round(joint_.data() + std::int64_t{start + token} * joint, shared.wide.data() + token * joint, joint);
      }
    }
    for (int row = 0; row < sizes_.batch; ++row) {
      const std::int64_t first = std::int64_t{row} * sizes_.tokens;
      shared.attention.forward(shared.seen[row], joint_.data() + first * joint, mixed_.data() + first * hidden,
                               logs_.data() + first * sizes_.heads.heads);
    }
    for (int start = 0; start < sizes_.all(); start += kStretch) {
      float* part = x + std::int64_t{start} * hidden;
      multiply<true>(RowMajor{mixed_.data() + std::int64_t{start} * hidden, hidden}, output_.forward(), kStretch, hidden,
                     hidden, part, hidden);
      std::memcpy(before_ffn_.data() + std::int64_t{start} * hidden, part, kStretch * hidden * 4);
      norm_stretch(ffn_norm_, shared, x, start);
      feed_forward(shared, start);
      multiply<true>(RowMajor{shared.to_gate.data(), sizes_.feed_forward}, down_.forward(), kStretch, hidden,
                     sizes_.feed_forward, part, hidden);
    }
  }

  // `shared.slopes` become the gradient of what came in; the weights' gradients are written.
  void backward(Shared& shared) {
    backward_ffn(shared);
    backward_attention(shared);
  }

 private:
  void norm_stretch(const Norm& norm, Shared& shared, const float* x, int start) const {
    const int hidden = sizes_.hidden;
    for (int token = 0; token < kStretch; ++token) {
      norm.forward(x + std::int64_t{start + token} * hidden, shared.narrow.data() + token * hidden);
    }
  }

  // Turns queries and keys where the layer does, and scales the queries; backwards with `sign` -1.
  void rotate(const Shared& shared, float* joint, int token, float sign) const {
    const float* cosines = shared.cosines.data() + std::int64_t{token} * kHead;
    const float* sines = shared.sines.data() + std::int64_t{token} * kHead;
    const int queries = sizes_.heads.heads * kHead;
    if (rotates_) {
      for (int i = 0; i < sizes_.heads.value(0); i += kHead) turn(joint + i, cosines, sines, sign);
    }
    const __m512 scale = _mm512_set1_ps(1 / std::sqrt(static_cast<float>(kHead)));
    for (int i = 0; i < queries; i += 16) _mm512_storeu_ps(joint + i, _mm512_mul_ps(load(joint + i), scale));
  }

  // silu(gate) * up of a stretch into `shared.to_gate`; gate and up are kept.
  void feed_forward(Shared& shared, int start) {
    const int hidden = sizes_.hidden, width = 2 * sizes_.feed_forward;
    alignas(64) float sums[kStretch * 2 * kBlock];
    for (int block = 0; block < width; block += 2 * kBlock) {
      multiply<false>(RowMajor{shared.narrow.data(), hidden}, gates_.forward(block), kStretch, 2 * kBlock, hidden, sums, 2 * kBlock);
      for (int token = 0; token < kStretch; ++token) {
        Half* kept = gate_.data() + std::int64_t{start + token} * width + block;
        Half* out = shared.to_gate.data() + token * sizes_.feed_forward + block / 2;
        for (int i = 0; i < kBlock; i += 16) {
          const __m512 gate = load(sums + token * 2 * kBlock + i), up = load(sums + token * 2 * kBlock + kBlock + i);
          store(kept + i, gate);
          store(kept + kBlock + i, up);
          store(out + i, _mm512_mul_ps(_mm512_mul_ps(gate, sigmoid(gate)), up));
        }
      }
    }
  }

  // To 14 bits, since it is rounded to eight.
  static __m512 sigmoid(__m512 x) {
    return _mm512_rcp14_ps(_mm512_add_ps(_mm512_set1_ps(1), exp2_of(_mm512_mul_ps(x, _mm512_set1_ps(-kLog2E)))));
  }

  void backward_ffn(Shared& shared) {
    const int hidden = sizes_.hidden, inner = sizes_.feed_forward, width = 2 * inner;
    Buffer<float> to_gates(std::int64_t{hidden} * width);  // transposed
    std::fill_n(to_gates.data(), std::int64_t{hidden} * width, 0.0f);
    std::fill_n(gradients_[kDown], std::int64_t{hidden} * inner, 0.0f);
    alignas(64) float sums[kStretch * kBlock];
    for (int gather = 0; gather < sizes_.all(); gather += kGather) {
      for (int place = 0; place < kGather; place += kStretch) {
        const int start = gather + place;
        float* slopes = shared.slopes.data() + std::int64_t{start} * hidden;
        round(shared.narrow.data(), slopes, kStretch * hidden);
        across(shared.across_out, slopes, place);
        for (int block = 0; block < inner; block += kBlock) {
          multiply<false>(RowMajor{shared.narrow.data(), hidden}, down_.backward(block), kStretch, kBlock, hidden, sums, kBlock);
          for (int token = 0; token < kStretch; token += 2) backward_gate(shared, sums, start, place, token, block);
        }
        multiply<false>(RowMajor{shared.to_gate.data(), width}, gates_.backward(), kStretch, hidden, width, shared.wide.data(), hidden);
        backward_norm(ffn_norm_, shared, before_ffn_, start, place);
      }
      multiply<true>(Tiled{shared.across.data()}, shared.pairs.data(), hidden, width, kGather, to_gates.data(), width);
      multiply<true>(Tiled{shared.across_out.data()}, shared.pairs_down.data(), hidden, inner, kGather, gradients_[kDown], inner);
    }
    for (int row = 0; row < inner; row += kBlock) {
      store_gradient(gradients_[kGate] + std::int64_t{row} * hidden, to_gates.data(), width, 2 * row, kBlock, hidden);
      store_gradient(gradients_[kUp] + std::int64_t{row} * hidden, to_gates.data(), width, 2 * row + kBlock, kBlock, hidden);
    }
  }

  // Gradients of gate and up for two tokens of a stretch and a block of columns, from that of their product.
  void backward_gate(Shared& shared, const float* sums, int start, int place, int token, int block) {
    const int width = 2 * sizes_.feed_forward;
    for (int i = 0; i < kBlock; i += 16) {
      __m512 product[2], to_gate[2], to_up[2];
      for (int next = 0; next < 2; ++next) {
        const Half* kept = gate_.data() + std::int64_t{start + token + next} * width + 2 * block + i;
        const __m512 gate = load(kept), up = load(kept + kBlock), slope = load(sums + (token + next) * kBlock + i);
        const __m512 open = sigmoid(gate), active = _mm512_mul_ps(gate, open);
        product[next] = _mm512_mul_ps(active, up);
        to_up[next] = _mm512_mul_ps(slope, active);
        // d silu / d gate = s (1 + gate (1 - s)) = s + silu - s silu
        const __m512 bend = _mm512_fnmadd_ps(open, active, _mm512_add_ps(open, active));
        to_gate[next] = _mm512_mul_ps(_mm512_mul_ps(slope, up), bend);
        Half* out = shared.to_gate.data() + (token + next) * width + 2 * block + i;
        store(out, to_gate[next]);
        store(out + kBlock, to_up[next]);
      }
      const int row = place + token;
      store_pairs(shared.pairs_down.data(), row, block + i, kGather, product[0], product[1]);
      store_pairs(shared.pairs.data(), row, 2 * block + i, kGather, to_gate[0], to_gate[1]);
      store_pairs(shared.pairs.data(), row, 2 * block + kBlock + i, kGather, to_up[0], to_up[1]);
    }
  }

  void backward_attention(Shared& shared) {
    const int hidden = sizes_.hidden, joint = sizes_.heads.columns();
    std::fill_n(gradients_[kOutput], std::int64_t{hidden} * hidden, 0.0f);
    for (int gather = 0; gather < sizes_.all(); gather += kGather) {
      for (int place = 0; place < kGather; place += kStretch) {
        const std::int64_t start = gather + place;
        float* slopes = shared.slopes.data() + start * hidden;
        round(shared.narrow.data(), slopes, kStretch * hidden);
        across(shared.across_out, slopes, place);
        multiply<false>(RowMajor{shared.narrow.data(), hidden}, output_.backward(), kStretch, hidden, hidden, shared.wide.data(), hidden);
        round(shared.to_mixed.data() + start * hidden, shared.wide.data(), kStretch * hidden);
        pack_rows(shared.pairs.data(), mixed_.data() + start * hidden, hidden, place, kStretch, hidden, kGather);
      }
      multiply<true>(Tiled{shared.across_out.data()}, shared.pairs.data(), hidden, hidden, kGather, gradients_[kOutput], hidden);
    }
    for (int row = 0; row < sizes_.batch; ++row) {
      const std::int64_t first = std::int64_t{row} * sizes_.tokens;
      shared.attention.backward(shared.seen[row], shared.to_mixed.data() + first * hidden, joint_.data() + first * joint,
                                mixed_.data() + first * hidden, logs_.data() + first * sizes_.heads.heads,
                                shared.to_joint.data() + first * joint);
    }
    Buffer<float> to_weights(std::int64_t{hidden} * joint);  // transposed
    std::fill_n(to_weights.data(), std::int64_t{hidden} * joint, 0.0f);
    for (int gather = 0; gather < sizes_.all(); gather += kGather) {
      for (int place = 0; place < kGather; place += kStretch) {
        const int start = gather + place;
        Half* to_joint = shared.to_joint.data() + std::int64_t{start} * joint;
        for (int token = 0; token < kStretch; ++token) {
          float* values = shared.wide.data();
          for (int i = 0; i < joint; i += 16) _mm512_storeu_ps(values + i, load(to_joint + token * joint + i));
          rotate(shared, values, start + token, -1);
          round(to_joint + token * joint, values, joint);
        }
        pack_rows(shared.pairs.data(), to_joint, joint, place, kStretch, joint, kGather);
        multiply<false>(RowMajor{to_joint, joint}, joint_weights_.backward(), kStretch, hidden, joint, shared.wide.data(), hidden);
        backward_norm(attn_norm_, shared, before_attention_, start, place);
      }
      multiply<true>(Tiled{shared.across.data()}, shared.pairs.data(), hidden, joint, kGather, to_weights.data(), joint);
    }
    const int queries = sizes_.heads.heads * kHead, keys = sizes_.heads.kv_heads * kHead;
    store_gradient(gradients_[kQuery], to_weights.data(), joint, 0, queries, hidden);
    store_gradient(gradients_[kKey], to_weights.data(), joint, queries, keys, hidden);
    store_gradient(gradients_[kValue], to_weights.data(), joint, queries + keys, keys, hidden);
  }

  // From the gradient of a norm's result in `shared.wide` to that of the stream; the result itself goes to `shared.across`.
  void backward_norm(const Norm& norm, Shared& shared, const Buffer<float>& x, int start, int place) {
    const int hidden = sizes_.hidden;
    for (int token = 0; token < kStretch; ++token) {
      const std::int64_t at = std::int64_t{start + token} * hidden;
      norm.backward(x.data() + at, shared.wide.data() + token * hidden, shared.slopes.data() + at,
                    shared.narrow.data() + token * hidden);
    }
    across(shared.across, shared.narrow.data(), place);
  }

  // A stretch at `place` of a gather, on its side.
  template <typename T>
  void across(Buffer<Half>& tiles, const T* rows, int place) const {
    pack_across(tiles.data(), rows, sizes_.hidden, place, kStretch, sizes_.hidden, kGather);
  }

  Sizes sizes_;
  bool rotates_;
  float* const* gradients_;
  Norm attn_norm_, ffn_norm_;
  Matrix joint_weights_, output_, gates_, down_;
  Buffer<float> before_attention_, before_ffn_;
  Buffer<Half> joint_, mixed_;
  Buffer<float> logs_;
  Buffer<Half> gate_;
};

}  // namespace amx
