// Sampling from C++: the generator's published answers, and the same tokens on every instruction set and thread count.
// What is drawn, and how often, is tested from Python against numpy.
#include <memory>

#include "sampling/philox.h"
#include "sampling/sample.h"
#include "tests/check.h"

namespace candlewick::tests {

// From the known-answer file of the authors' Random123 library.
static void test_philox() {
    using Words = std::array<uint32_t, 4>;
    check(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, "Philox of zeros");
    const uint32_t ones = 0xffffffff;
    check(philox4x32({ones, ones, ones, ones}, {ones, ones}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
          "Philox of ones");
    check(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
              Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
          "Philox of the digits of pi");
    double sum = 0.0;
    for (uint64_t index = 0; index < 10000; ++index) {
        const double draw = uniform_draw(7, 1, index);
        check(draw >= 0.0 && draw < 1.0, "a draw lies in [0, 1)");
        sum += draw;
    }
    check(std::fabs(sum / 10000 - 0.5) < 0.015, "the mean of many draws");
}

static SamplerSettings random_settings(Random& random, int vocab_size) {
    SamplerSettings settings;
    settings.vocab_size = vocab_size;
    settings.temperature = double(random.integer(0, 4)) * 0.4;
    settings.top_k = random.integer(0, 1) * random.integer(1, 100);
    settings.top_p = random.integer(0, 1) == 0 ? 1.0 : 0.01 * random.integer(1, 99);
    settings.min_p = random.integer(0, 2) == 0 ? 0.02 : 0.0;
    settings.repetition_penalty = random.integer(0, 1) == 0 ? 1.0f : 1.2f;
    settings.frequency_penalty = random.integer(0, 1) == 0 ? 0.0f : 0.3f;
    settings.num_logprobs = random.integer(-1, 20);
    settings.seed = random.engine();
    settings.choice = uint64_t(random.integer(0, 3));
    settings.bias_ids = {0, vocab_size - 1};
    settings.bias_values = {1.5f, -2.0f};
    return settings;
}

static bool same(const std::vector<Sampled>& a, const std::vector<Sampled>& b) {
    if (a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); ++i)
        if (a[i].status != b[i].status || a[i].token_id != b[i].token_id || a[i].top != b[i].top ||
            !same_bits({a[i].logprob}, {b[i].logprob}))
            return false;
    return true;
}

void test_sampling() {
    test_philox();
    Random random(8);
    for (int vocab_size : {1, 31, 97, 1000, 5000, 33000}) {
        const int rows = 40;
        const size_t words = size_t(vocab_size + 31) / 32;
        const auto logits = random.normals(size_t(rows) * size_t(vocab_size), 2.5f);
        std::vector<uint32_t> allowed(size_t(rows) * words);
        for (uint32_t& word : allowed) word = random.engine() | random.engine();
        for (int row = 0; row < rows; ++row) allowed[size_t(row) * words] |= 1;
        std::vector<std::unique_ptr<Sampler>> owned;
        std::vector<const Sampler*> samplers;
        for (int row = 0; row < rows; ++row) {
            std::vector<int32_t> prompt(30);
            for (int32_t& id : prompt) id = random.integer(0, vocab_size - 1);
            owned.push_back(std::make_unique<Sampler>(random_settings(random, vocab_size), prompt.data(), prompt.size()));
            for (int i = random.integer(0, 20); i > 0; --i) owned.back()->accept(random.integer(0, vocab_size - 1));
            samplers.push_back(owned.back().get());
        }
        for (const bool masked : {false, true}) {
            const auto run = [&](const Kernels& kernels, int num_threads) {
                auto copy = logits;
                return sample_rows(kernels, samplers, copy.data(), vocab_size, nullptr,
                                   masked ? allowed.data() : nullptr, num_threads);
            };
            const auto expected = run(specification(), 1);
            for (const Sampled& one : expected)
                check(one.status == SampleStatus::ok && one.token_id >= 0 && one.token_id < vocab_size, "a token is drawn");
            for (const Kernels* kernels : all_kernels())
                for (int num_threads : {1, 3})
                    check(same(run(*kernels, num_threads), expected),
                          std::string("sampling ") + kernels->name + " of " + std::to_string(vocab_size) + " with " +
                              std::to_string(num_threads) + " threads");

            // The same rows in another place, named by their numbers.
            std::vector<int32_t> places(rows);
            std::vector<float> moved(logits.size());
            for (int row = 0; row < rows; ++row) {
                places[size_t(row)] = (row * 7 + 3) % rows;
                std::copy(logits.begin() + std::ptrdiff_t(row) * vocab_size,
                          logits.begin() + std::ptrdiff_t(row + 1) * vocab_size,
                          moved.begin() + std::ptrdiff_t(places[size_t(row)]) * vocab_size);
            }
            check(same(sample_rows(specification(), samplers, moved.data(), vocab_size, places.data(),
                                   masked ? allowed.data() : nullptr, 1),
                       expected),
                  "rows that are named");
        }
    }
}

}    // namespace candlewick::tests
