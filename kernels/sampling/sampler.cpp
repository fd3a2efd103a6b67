#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

namespace candlewick {
namespace {

void require(bool condition, const std::string& name, const std::string& expected, const std::string& seen) {
    if (!condition) throw std::invalid_argument(name + " must be " + expected + ", got " + seen);
}

void require_number(double value, const std::string& name, double low, double high) {
    require(value >= low && value <= high, name, "from " + std::to_string(low) + " to " + std::to_string(high),
            std::to_string(value));
}

void require_id(int64_t id, int vocab_size, const std::string& name) {
    require(id >= 0 && id < vocab_size, name, "a token id below " + std::to_string(vocab_size), std::to_string(id));
}

auto find(std::vector<TokenCount>& counts, int32_t id) {
    return std::lower_bound(counts.begin(), counts.end(), id,
                            [](const TokenCount& count, int32_t wanted) { return count.id < wanted; });
}

}    // namespace

Sampler::Sampler(SamplerSettings settings, const int32_t* prompt_ids, size_t prompt_length)
    : settings_(std::move(settings)) {
    const SamplerSettings& s = settings_;
    require(s.vocab_size >= 1, "vocab_size", "at least 1", std::to_string(s.vocab_size));
    require_number(s.temperature, "temperature", 0.0, 1e6);
    require(s.top_k >= 0, "top_k", "at least 0", std::to_string(s.top_k));
    require_number(s.top_p, "top_p", 0.0, 1.0);
    require_number(s.min_p, "min_p", 0.0, 1.0);
    require(s.repetition_penalty > 0.0f && std::isfinite(s.repetition_penalty), "repetition_penalty", "more than 0",
            std::to_string(s.repetition_penalty));
    require_number(s.frequency_penalty, "frequency_penalty", -1e6, 1e6);
    require_number(s.presence_penalty, "presence_penalty", -1e6, 1e6);
    require(s.bias_ids.size() == s.bias_values.size(), "bias_values",
            "as many as bias_ids (" + std::to_string(s.bias_ids.size()) + ")", std::to_string(s.bias_values.size()));
    for (int32_t id : s.bias_ids) require_id(id, s.vocab_size, "bias_ids");
    for (float value : s.bias_values) require(std::isfinite(value), "bias_values", "finite", std::to_string(value));
    require(s.num_logprobs >= -1, "num_logprobs", "at least -1", std::to_string(s.num_logprobs));

    std::vector<int32_t> ids(prompt_ids, prompt_ids + prompt_length);
    for (int32_t id : ids) require_id(id, s.vocab_size, "prompt_ids");
    if (s.repetition_penalty == 1.0f) return;
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    for (int32_t id : ids) counts_.push_back({id, 0, true});
}

void Sampler::accept(int64_t token_id) {
    require_id(token_id, settings_.vocab_size, "token_id");
    const auto id = int32_t(token_id);
    auto place = find(counts_, id);
    if (place == counts_.end() || place->id != id) place = counts_.insert(place, {id, 0, false});
    place->in_answer += 1;
    num_accepted_ += 1;
}

void Sampler::retract(int64_t token_id) {
    require_id(token_id, settings_.vocab_size, "token_id");
    const auto place = find(counts_, int32_t(token_id));
    require(place != counts_.end() && place->id == token_id && place->in_answer > 0, "token_id",
            "a token that was accepted and not yet retracted", std::to_string(token_id));
    place->in_answer -= 1;
    num_accepted_ -= 1;
}

bool Sampler::has_penalties() const {
    return !counts_.empty() && (settings_.repetition_penalty != 1.0f || settings_.frequency_penalty != 0.0f ||
                                settings_.presence_penalty != 0.0f);
}

}    // namespace candlewick
