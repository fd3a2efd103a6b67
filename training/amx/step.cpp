// The operators: one training step's loss and gradients, forwards and backwards by hand, and the optimiser's iteration, in
// bfloat16 on a processor with AMX.
//
// They are specified by model.py, train.py and muon.py. Written out, since a network this small spends most of a step of
// torch's between the products.

#include <ATen/ATen.h>
#include <sys/syscall.h>
#include <torch/library.h>
#include <unistd.h>

#include "output.h"

namespace amx {
namespace {

// The loss of a batch, see `train.batch_loss`; every parameter's gradient is written into `gradients`. Parameters are in
// the order of the model, `cosines` and `sines` [context, 32] its tables; `ids` [batch, tokens] and `positions` int64,
// `spans` [batch, tokens, 3] int32, `counts` [batch, tokens] float32: how much predicting a token counts.
double loss_and_gradients(at::TensorList weights, at::TensorList gradients, const at::Tensor& cosines, const at::Tensor& sines,
                          const at::Tensor& ids, const at::Tensor& positions, const at::Tensor& spans,
                          const at::Tensor& counts, std::int64_t no_rope_interval, double epsilon) {
  for (const at::TensorList& list : {weights, gradients}) {
    for (const at::Tensor& tensor : list) {
      TORCH_CHECK(tensor.is_contiguous() && tensor.scalar_type() == at::kFloat, "parameters must be contiguous float32");
    }
  }
  TORCH_CHECK(weights.size() == gradients.size() && weights.size() % kParameters == 2, "layers of ", int{kParameters},
              " parameters between an embedding and a norm are wanted, got ", weights.size());
  TORCH_CHECK(ids.is_contiguous() && positions.is_contiguous() && spans.is_contiguous() && counts.is_contiguous() &&
                  spans.scalar_type() == at::kInt && counts.scalar_type() == at::kFloat,
              "a batch must be contiguous, its spans int32 and its counts float32");
  const at::Tensor &embedding = weights.front(), &query = weights[1 + kQuery], &key = weights[1 + kKey];
  const Sizes sizes{static_cast<int>(embedding.size(1)), static_cast<int>(weights[1 + kGate].size(0)),
                    static_cast<int>(embedding.size(0)), static_cast<int>(ids.size(0)), static_cast<int>(ids.size(1)),
                    Heads{static_cast<int>(query.size(0)) / kHead, static_cast<int>(key.size(0)) / kHead}};
  TORCH_CHECK(sizes.all() % kGather == 0 && sizes.tokens % kBlock == 0, "tokens by ", kGather, " in rows by ", kBlock,
              " are wanted, got ", ids.sizes());
  TORCH_CHECK(query.size(0) == sizes.hidden && sizes.hidden % 32 == 0 && sizes.feed_forward % 32 == 0 && sizes.vocab % 32 == 0,
              "heads as wide as the stream and sizes by 32 are wanted");
  std::vector<const float*> values;
  std::vector<float*> slopes;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    values.push_back(weights[i].const_data_ptr<float>());
    slopes.push_back(gradients[i].mutable_data_ptr<float>());
  }
  const Tiles tiles;
  Shared shared(sizes);
  const std::int64_t* id = ids.const_data_ptr<std::int64_t>();
  const float* count = counts.const_data_ptr<float>();
  double all = 0;
  std::vector<Learned> learned;
  for (int token = 0; token < sizes.all(); ++token) {
    TORCH_CHECK(id[token] >= 0 && id[token] < sizes.vocab, "token ", id[token], " is outside of the vocabulary");
    if (token % sizes.tokens == 0 || count[token] == 0) continue;
    learned.push_back({token - 1, id[token], count[token]});
    all += count[token];
  }
  for (Learned& one : learned) one.share /= static_cast<float>(all);
  for (int row = 0; row < sizes.batch; ++row) {
    shared.seen.push_back(seen_blocks(spans.const_data_ptr<int>() + std::int64_t{row} * sizes.tokens * 3, sizes.tokens));
  }
  for (int token = 0; token < sizes.all(); ++token) {
    const std::int64_t row = positions.const_data_ptr<std::int64_t>()[token] * (kHead / 2);
    for (int pair = 0; pair < kHead / 2; ++pair) {
      const std::int64_t at = std::int64_t{token} * kHead + 2 * pair;
      const float sine = sines.const_data_ptr<float>()[row + pair];
      shared.cosines.data()[at] = shared.cosines.data()[at + 1] = cosines.const_data_ptr<float>()[row + pair];
      shared.sines.data()[at] = -sine;
      shared.sines.data()[at + 1] = sine;
    }
  }
  Buffer<float> x(std::int64_t{sizes.all()} * sizes.hidden);
  for (int token = 0; token < sizes.all(); ++token) {
    std::memcpy(x.data() + std::int64_t{token} * sizes.hidden, values[0] + id[token] * sizes.hidden, sizes.hidden * 4);
  }
  std::vector<std::unique_ptr<Layer>> layers;
  const int layer_count = static_cast<int>(weights.size()) / kParameters;
  for (int layer = 0; layer < layer_count; ++layer) {
    const int first = 1 + layer * kParameters;
    for (const int norm : {kAttnNorm, kFfnNorm}) std::fill_n(slopes[first + norm], sizes.hidden, 0.0f);
    layers.push_back(std::make_unique<Layer>(sizes, (layer + 1) % no_rope_interval != 0, static_cast<float>(epsilon),
                                             values.data() + first, slopes.data() + first));
    layers.back()->forward(shared, x.data());
  }
  std::fill_n(slopes.back(), sizes.hidden, 0.0f);
  std::fill_n(shared.slopes.data(), std::int64_t{sizes.all()} * sizes.hidden, 0.0f);
  const Norm norm{values.back(), slopes.back(), sizes.hidden, static_cast<float>(epsilon)};
  const double loss = predict(sizes, learned, norm, x.data(), values[0], slopes[0], shared.slopes.data());
  for (; !layers.empty(); layers.pop_back()) layers.back()->backward(shared);
  for (int token = 0; token < sizes.all(); ++token) {
    float* to = slopes[0] + id[token] * sizes.hidden;
    const float* from = shared.slopes.data() + std::int64_t{token} * sizes.hidden;
    for (int i = 0; i < sizes.hidden; i += 16) _mm512_storeu_ps(to + i, _mm512_add_ps(load(to + i), load(from + i)));
  }
  return loss;
}

// Newton and Schulz's iteration on `matrices` [count, rows, columns], float32, rows <= columns, each of norm 1 at most: see
// muon.py.
at::Tensor orthogonalised(const at::Tensor& matrices, at::ArrayRef<double> coefficients, std::int64_t iterations) {
  const int rows = static_cast<int>(matrices.size(1)), columns = static_cast<int>(matrices.size(2));
  TORCH_CHECK(matrices.is_contiguous() && matrices.scalar_type() == at::kFloat && rows % 32 == 0 && columns % 32 == 0,
              "contiguous float32 with sizes by 32 is wanted, got ", matrices.sizes());
  const Tiles tiles;
  at::Tensor result = matrices.clone();
  const std::int64_t size = std::int64_t{rows} * columns, square = std::int64_t{rows} * rows;
  Buffer<Half> rounded(size), packed(size), gram_rounded(square), gram_packed(square);
  Buffer<float> gram(square), gram_twice(square);
  const __m512 a = _mm512_set1_ps(coefficients[0]), b = _mm512_set1_ps(coefficients[1]), c = _mm512_set1_ps(coefficients[2]);
  for (std::int64_t matrix = 0; matrix < matrices.size(0); ++matrix) {
    float* x = result.mutable_data_ptr<float>() + matrix * size;
    for (int iteration = 0; iteration < iterations; ++iteration) {
      round(rounded.data(), x, size);
      pack_transposed(packed.data(), rounded.data(), columns, rows, columns);
      multiply<false>(RowMajor{rounded.data(), columns}, packed.data(), rows, rows, columns, gram.data(), rows);
      round(gram_rounded.data(), gram.data(), square);
      pack_rows(gram_packed.data(), gram_rounded.data(), rows, 0, rows, rows, rows);
      multiply<false>(RowMajor{gram_rounded.data(), rows}, gram_packed.data(), rows, rows, rows, gram_twice.data(), rows);
      for (std::int64_t i = 0; i < square; i += 16) {
        store(gram_rounded.data() + i, _mm512_fmadd_ps(c, load(gram_twice.data() + i), _mm512_mul_ps(b, load(gram.data() + i))));
      }
      pack_rows(packed.data(), rounded.data(), columns, 0, rows, columns, rows);
      for (std::int64_t i = 0; i < size; i += 16) _mm512_storeu_ps(x + i, _mm512_mul_ps(a, load(x + i)));
      multiply<true>(RowMajor{gram_rounded.data(), rows}, packed.data(), rows, columns, rows, x, columns);
    }
  }
  return result;
}

// The kernel lends tiles only to programs that ask for them.
bool request_tiles() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

}  // namespace
}  // namespace amx

TORCH_LIBRARY(candlewick, library) {
  TORCH_CHECK(amx::request_tiles(), "the operating system lends no AMX tiles");
  library.def(
      "loss_and_gradients(Tensor[] weights, Tensor(a!)[] gradients, Tensor cosines, Tensor sines, Tensor ids, Tensor positions, "
      "Tensor spans, Tensor counts, int no_rope_interval, float epsilon) -> float");
  library.def("orthogonalised(Tensor matrices, float[] coefficients, int iterations) -> Tensor");
}

TORCH_LIBRARY_IMPL(candlewick, CPU, library) {
  library.impl("loss_and_gradients", amx::loss_and_gradients);
  library.impl("orthogonalised", amx::orthogonalised);
}
