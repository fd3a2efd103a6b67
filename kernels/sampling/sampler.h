// One request's sampling state: what it asked for, and which tokens its prompt and answer hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace candlewick {

struct SamplerSettings {
    int vocab_size = 0;
    double temperature = 0.0;             // 0: greedy
    int top_k = 0;                        // 0: all
    double top_p = 1.0;
    double min_p = 0.0;
    float repetition_penalty = 1.0f;
    float frequency_penalty = 0.0f;
    float presence_penalty = 0.0f;
    std::vector<int32_t> bias_ids;
    std::vector<float> bias_values;
    uint64_t seed = 0;
    uint64_t choice = 0;                  // the stream of draws under the seed
    int num_logprobs = -1;                // -1: no log-probabilities; n: the chosen token's and the n most likely ones'
};

// How often a token stands in the answer, and whether it stands in the prompt.
struct TokenCount {
    int32_t id;
    int32_t in_answer;
    bool in_prompt;
};

class Sampler {
  public:
    // Throws std::invalid_argument, naming the value, when a setting or a token id is out of its range.
    Sampler(SamplerSettings settings, const int32_t* prompt_ids, size_t prompt_length);

    const SamplerSettings& settings() const { return settings_; }

    // Record that the token now stands in the answer. Throws std::invalid_argument when it is not in the vocabulary.
    void accept(int64_t token_id);

    // Undo an accept of this token. Throws std::invalid_argument when the answer does not hold it.
    void retract(int64_t token_id);

    // Tokens in the answer, and the index of the next draw.
    int64_t num_accepted() const { return num_accepted_; }

    // Sorted by id. The prompt's tokens are only kept when the repetition penalty needs them.
    const std::vector<TokenCount>& counts() const { return counts_; }

    bool has_penalties() const;

  private:
    SamplerSettings settings_;
    std::vector<TokenCount> counts_;
    int64_t num_accepted_ = 0;
};

}    // namespace candlewick
