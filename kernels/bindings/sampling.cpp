// The Python face of sampling: one Sampler a request, and one call for all rows of a step.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/bindings.h"
#include "sampling/sample.h"
#include "sampling/sampler.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace candlewick {
namespace {

using Ids = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Biases = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Logits = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Masks = nb::ndarray<const uint32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void require(bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
}

template <class T, class... Sizes>
auto new_array(T fill, Sizes... sizes) {
    const size_t count = (size_t(sizes) * ...);
    auto* data = new T[count];
    std::fill(data, data + count, fill);
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::ndarray<nb::numpy, T, nb::ndim<sizeof...(sizes)>>(data, {size_t(sizes)...}, owner);
}

void raise_failures(const std::vector<Sampled>& samples) {
    for (size_t row = 0; row < samples.size(); ++row) {
        const std::string where = "row " + std::to_string(row) + ": ";
        require(samples[row].status != SampleStatus::no_finite_logit,
                where + "the model produced no finite logits to choose from");
        require(samples[row].status != SampleStatus::nothing_allowed, where + "every token is forbidden");
    }
}

// Rows that are named are drawn from at the same time, so none may be named twice.
void require_distinct_rows(const Ids& row_numbers, size_t num_logits) {
    std::vector<bool> seen(num_logits);
    for (size_t i = 0; i < row_numbers.size(); ++i) {
        const int32_t row = row_numbers.data()[i];
        require(row >= 0 && size_t(row) < num_logits,
                "rows[" + std::to_string(i) + "] is " + std::to_string(row) + ", the logits have " +
                    std::to_string(num_logits) + " rows");
        require(!seen[size_t(row)], "rows names row " + std::to_string(row) + " twice");
        seen[size_t(row)] = true;
    }
}

nb::tuple sample(Logits logits, const std::vector<const Sampler*>& samplers, std::optional<Masks> allowed,
                 int num_threads, std::optional<Ids> row_numbers) {
    const size_t rows = row_numbers ? row_numbers->size() : logits.shape(0);
    const size_t vocab_size = logits.shape(1);
    const auto text = [](auto n) { return std::to_string(n); };
    require(samplers.size() == rows,
            "there must be one sampler a row of logits, got " + text(samplers.size()) + " for " + text(rows));
    if (row_numbers) require_distinct_rows(*row_numbers, logits.shape(0));
    size_t most = 0;
    for (size_t row = 0; row < rows; ++row) {
        require(samplers[row] != nullptr, "samplers[" + text(row) + "] is None");
        const SamplerSettings& settings = samplers[row]->settings();
        require(size_t(settings.vocab_size) == vocab_size,
                "samplers[" + text(row) + "] is for a vocabulary of " + text(settings.vocab_size) + ", the logits have " +
                    text(vocab_size));
        most = std::max(most, size_t(std::max(settings.num_logprobs, 0)));
    }
    const size_t words = (vocab_size + 31) / 32;
    if (allowed)
        require(allowed->shape(0) == rows && allowed->shape(1) == words,
                "allowed must be [" + text(rows) + ", " + text(words) + "], got [" + text(allowed->shape(0)) + ", " +
                    text(allowed->shape(1)) + "]");
    require(num_threads >= 1, "num_threads must be at least 1, got " + text(num_threads));

    std::vector<Sampled> samples;
    {
        nb::gil_scoped_release release;
        samples = sample_rows(*find_kernels(""), samplers, logits.data(), int(vocab_size),
                              row_numbers ? row_numbers->data() : nullptr, allowed ? allowed->data() : nullptr,
                              num_threads);
    }
    raise_failures(samples);

    auto token_ids = new_array<int32_t>(-1, rows);
    auto logprobs = new_array<float>(0.0f, rows);
    auto top_ids = new_array<int32_t>(-1, rows, most);
    auto top_logprobs = new_array<float>(-std::numeric_limits<float>::infinity(), rows, most);
    for (size_t row = 0; row < rows; ++row) {
        token_ids.data()[row] = samples[row].token_id;
        logprobs.data()[row] = samples[row].logprob;
        for (size_t i = 0; i < samples[row].top.size(); ++i) {
            top_ids.data()[row * most + i] = samples[row].top[i].first;
            top_logprobs.data()[row * most + i] = samples[row].top[i].second;
        }
    }
    return nb::make_tuple(token_ids, logprobs, top_ids, top_logprobs);
}

void new_sampler(Sampler* self, int vocab_size, double temperature, int top_k, double top_p, double min_p,
                 double repetition_penalty, double frequency_penalty, double presence_penalty, Ids bias_ids,
                 Biases bias_values, uint64_t seed, uint64_t choice, int num_logprobs, Ids prompt_ids) {
    SamplerSettings settings;
    settings.vocab_size = vocab_size;
    settings.temperature = temperature;
    settings.top_k = top_k;
    settings.top_p = top_p;
    settings.min_p = min_p;
    settings.repetition_penalty = float(repetition_penalty);
    settings.frequency_penalty = float(frequency_penalty);
    settings.presence_penalty = float(presence_penalty);
    settings.bias_ids.assign(bias_ids.data(), bias_ids.data() + bias_ids.size());
    settings.bias_values.assign(bias_values.data(), bias_values.data() + bias_values.size());
    settings.seed = seed;
    settings.choice = choice;
    settings.num_logprobs = num_logprobs;
    new (self) Sampler(std::move(settings), prompt_ids.data(), prompt_ids.size());
}

}    // namespace

void bind_sampling(nb::module_& m) {
    nb::class_<Sampler>(m, "Sampler", "One request's sampling state.")
        .def("__init__", &new_sampler, "vocab_size"_a, "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a,
             "repetition_penalty"_a, "frequency_penalty"_a, "presence_penalty"_a, "bias_ids"_a, "bias_values"_a,
             "seed"_a, "choice"_a, "num_logprobs"_a, "prompt_ids"_a)
        .def("accept", &Sampler::accept, "token_id"_a, "Record that the token now stands in the answer.")
        .def("retract", &Sampler::retract, "token_id"_a, "Undo an accept of this token.")
        .def_prop_ro("num_accepted", &Sampler::num_accepted);
    m.def("sample_rows", &sample, "logits"_a.noconvert(), "samplers"_a, "allowed"_a = nb::none(), "num_threads"_a = 1,
          "rows"_a = nb::none(),
          "Draw a token with each of R samplers, from the row of logits (float32 [most, V], may be modified) that rows "
          "names, or one after the other: token ids [R], their log-probabilities "
          "[R] (NaN unless asked for), and the most likely ids and their log-probabilities [R, most] (-1 and -inf where "
          "a row asked for fewer). Raises ValueError, naming the row, when a row has no finite or no allowed logit. "
          "Runs without the GIL: a sampler must not be advanced by another thread meanwhile.");
}

}    // namespace candlewick
