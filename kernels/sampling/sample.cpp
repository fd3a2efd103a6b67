#include "sampling/sample.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <system_error>
#include <thread>

#include "sampling/philox.h"

namespace candlewick {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float largest = std::numeric_limits<float>::max();

// One row on its way to a token.
class Row {
  public:
    Row(const Kernels& kernels, const Sampler& sampler, float* logits, SamplingWorkspace& workspace)
        : kernels_(kernels.logits),
          sampler_(sampler),
          settings_(sampler.settings()),
          logits_(logits),
          count_(settings_.vocab_size),
          work_(workspace) {}

    void sample(const uint32_t* allowed, Sampled& out) {
        maximum_ = kernels_.maximum(logits_, count_);
        out.token_id = -1;
        out.logprob = std::numeric_limits<float>::quiet_NaN();
        out.top.clear();
        if (!std::isfinite(maximum_)) {
            out.status = SampleStatus::no_finite_logit;
            return;
        }
        const bool wants_logprobs = settings_.num_logprobs >= 0;
        const double log_sum = wants_logprobs ? log_sum_exp() : 0.0;
        if (settings_.num_logprobs > 0) list_top(log_sum, out);

        work_.originals.clear();
        add_bias();
        add_penalties();
        if (allowed != nullptr) forbid_others(allowed);
        if (allowed != nullptr || !work_.originals.empty()) maximum_ = kernels_.maximum(logits_, count_);
        if (maximum_ == -infinity) {
            out.status = SampleStatus::nothing_allowed;
            return;
        }
        out.status = SampleStatus::ok;
        out.token_id = choose();
        // The last change first: a token may have been changed twice.
        for (auto change = work_.originals.rbegin(); change != work_.originals.rend(); ++change)
            logits_[change->first] = change->second;
        if (wants_logprobs) out.logprob = float(double(logits_[out.token_id]) - log_sum);
    }

  private:
    double log_sum_exp() const {
        return double(maximum_) + std::log(kernels_.sum_exp(logits_, count_, maximum_, 1.0f));
    }

    void list_top(double log_sum, Sampled& out) {
        gather_most_likely(settings_.num_logprobs);
        for (size_t i = 0; i < work_.ids.size(); ++i) out.top.emplace_back(work_.ids[i], work_.values[i]);
        const auto wanted = std::ptrdiff_t(std::min(out.top.size(), size_t(settings_.num_logprobs)));
        std::partial_sort(out.top.begin(), out.top.begin() + wanted, out.top.end(), [](const auto& a, const auto& b) {
            return a.second > b.second || (a.second == b.second && a.first < b.first);
        });
        out.top.resize(size_t(wanted));
        for (auto& [id, logprob] : out.top) logprob = float(double(logprob) - log_sum);
    }

    void change(int32_t id, float logit) {
        work_.originals.emplace_back(id, logits_[id]);
        logits_[id] = std::min(logit, largest);    // a tiny penalty must not make an infinity
    }

    void add_bias() {
        for (size_t i = 0; i < settings_.bias_ids.size(); ++i) {
            const int32_t id = settings_.bias_ids[i];
            change(id, logits_[id] + settings_.bias_values[i]);
        }
    }

    void add_penalties() {
        if (!sampler_.has_penalties()) return;
        const float repetition = settings_.repetition_penalty;
        for (const TokenCount& count : sampler_.counts()) {
            if (count.in_answer == 0 && !count.in_prompt) continue;
            float logit = logits_[count.id];
            logit = logit > 0.0f ? logit / repetition : logit * repetition;
            if (count.in_answer > 0)
                logit -= settings_.frequency_penalty * float(count.in_answer) + settings_.presence_penalty;
            change(count.id, logit);
        }
    }

    void forbid_others(const uint32_t* allowed) {
        for (int start = 0; start < count_; start += 32) {
            const uint32_t bits = allowed[start / 32];
            if (bits == 0xffffffffu) continue;
            const int end = std::min(count_, start + 32);
            for (int id = start; id < end; ++id)
                if ((bits >> (id - start) & 1u) == 0) logits_[id] = -infinity;
        }
    }

    int32_t choose() {
        inverse_temperature_ = float(1.0 / settings_.temperature);
        if (!std::isfinite(inverse_temperature_)) return most_likely();
        bool filtered = false;    // the candidates are the tokens that are left, otherwise all are
        if (settings_.top_k > 0 && settings_.top_k < count_) {
            gather_most_likely(settings_.top_k);
            keep_most_likely(size_t(settings_.top_k));
            filtered = true;
        }
        if (settings_.top_p < 1.0) {
            const double wanted = settings_.top_p * (filtered ? sum(work_.values) : sum_chunks(logits_, count_));
            if (!filtered) gather_weighing(wanted);
            keep_weighing(wanted);
            filtered = true;
        }
        if (settings_.min_p > 0.0) {
            const float lowest = float(double(maximum_) + std::log(settings_.min_p) / double(inverse_temperature_));
            if (filtered)
                keep_from(lowest, work_.ids.size());
            else
                gather(lowest);
            filtered = true;
        }
        const double random = uniform_draw(settings_.seed, settings_.choice, uint64_t(sampler_.num_accepted()));
        if (!filtered) return draw(logits_, count_, random);
        return work_.ids[size_t(draw(work_.values.data(), int(work_.values.size()), random))];
    }

    int32_t most_likely() const {
        int32_t id = 0;
        kernels_.at_least(logits_, count_, maximum_, &id, 1);
        return id;
    }

    // -- candidates: work_.ids, ascending, and work_.values, their logits ------------------------------------------

    // All tokens of at least this logit, but those of -infinity.
    void gather(float threshold) {
        work_.ids.resize(size_t(count_));
        const int found = kernels_.at_least(logits_, count_, std::max(threshold, -largest), work_.ids.data(), count_);
        work_.ids.resize(size_t(found));
        work_.values.resize(size_t(found));
        for (size_t i = 0; i < work_.ids.size(); ++i) work_.values[i] = logits_[work_.ids[i]];
    }

    // The k most likely tokens and perhaps some more: among the maxima of more than k blocks, the k-th highest is a
    // threshold that at least k tokens reach.
    void gather_most_likely(int k) {
        int block = 64;
        while (block > 1 && count_ / block < 2 * int64_t(k)) block /= 4;
        if (block == 1) return gather(-infinity);
        auto& maxima = work_.ranked;
        maxima.clear();
        for (int start = 0; start < count_; start += block)
            maxima.push_back(kernels_.maximum(logits_ + start, std::min(block, count_ - start)));
        std::nth_element(maxima.begin(), maxima.begin() + (k - 1), maxima.end(), std::greater<>());
        gather(maxima[size_t(k - 1)]);
    }

    // Candidates that together weigh at least `wanted`: few when the distribution is peaked, in the end all tokens.
    void gather_weighing(double wanted) {
        for (const float depth : {6.0f, 12.0f, infinity}) {
            gather(maximum_ - depth / inverse_temperature_);
            if (sum(work_.values) >= wanted) return;
        }
    }

    void keep_most_likely(size_t k) {
        if (work_.ids.size() <= k) return;
        work_.ranked = work_.values;
        const auto last = work_.ranked.begin() + std::ptrdiff_t(k - 1);
        std::nth_element(work_.ranked.begin(), last, work_.ranked.end(), std::greater<>());
        keep_from(*last, k);
    }

    // Keep the fewest most likely candidates that weigh at least `wanted`: halve the range in which the last of them
    // must stand, without ever sorting it.
    void keep_weighing(double wanted) {
        auto& ranked = work_.ranked = work_.values;
        size_t first = 0;
        size_t end = ranked.size();
        while (end - first > 1) {
            const size_t middle = first + (end - first) / 2;
            const auto at = [&](size_t i) { return ranked.begin() + std::ptrdiff_t(i); };
            std::nth_element(at(first), at(middle), at(end), std::greater<>());
            const double weight = weigh(&ranked[first], middle - first);
            if (weight >= wanted) {
                end = middle;
            } else {
                wanted -= weight;
                first = middle;
            }
        }
        keep_from(ranked[first], first + 1);
    }

    // Keep the candidates above `lowest`, and the first of those that equal it, `most` in all.
    void keep_from(float lowest, size_t most) {
        auto& values = work_.values;
        size_t above = 0;
        for (float value : values) above += value > lowest;
        size_t equal = most - above;
        size_t kept = 0;
        for (size_t i = 0; i < values.size(); ++i) {
            if (values[i] < lowest || (values[i] == lowest && equal == 0)) continue;
            equal -= values[i] == lowest;
            values[kept] = values[i];
            work_.ids[kept++] = work_.ids[i];
        }
        values.resize(kept);
        work_.ids.resize(kept);
    }

    // -- weights and draws ----------------------------------------------------------------------------------------

    double weigh(const float* logits, size_t count) const {
        return kernels_.sum_exp(logits, int(count), maximum_, inverse_temperature_);
    }
    double sum(const std::vector<float>& logits) const { return weigh(logits.data(), logits.size()); }

    static constexpr int chunk = 4096;

    double sum_chunks(const float* logits, int count) {
        work_.chunk_sums.clear();
        double total = 0.0;
        for (int start = 0; start < count; start += chunk) {
            work_.chunk_sums.push_back(weigh(logits + start, size_t(std::min(chunk, count - start))));
            total += work_.chunk_sums.back();
        }
        return total;
    }

    // The index at which the cumulative weight exceeds `random` times the total. Few tokens need to be looked at one by
    // one: find the chunk, in that the run of 64, and in that the token. Sums of parts differ from their whole in the
    // last digits, so that a walk may end without a hit: then the last part that weighs anything is the one.
    int draw(const float* logits, int count, double random) {
        double remaining = random * sum_chunks(logits, count);
        int start = 0;
        int end = count;
        for (const int size : {chunk, 64, 1}) {
            int chosen = start;
            for (int part = start; part < end; part += size) {
                const double weight = size == chunk ? work_.chunk_sums[size_t(part / chunk)]
                                                    : weigh(logits + part, size_t(std::min(size, end - part)));
                if (weight <= 0.0) continue;
                chosen = part;
                if (remaining < weight) break;
                remaining -= weight;
            }
            start = chosen;
            end = std::min(end, start + size);
        }
        return start;
    }

    const Kernels::Logits& kernels_;
    const Sampler& sampler_;
    const SamplerSettings& settings_;
    float* logits_;
    int count_;
    SamplingWorkspace& work_;
    float maximum_ = 0.0f;
    float inverse_temperature_ = 1.0f;
};

}    // namespace

void sample_row(const Kernels& kernels, const Sampler& sampler, float* logits, const uint32_t* allowed,
                SamplingWorkspace& workspace, Sampled& out) {
    Row(kernels, sampler, logits, workspace).sample(allowed, out);
}

std::vector<Sampled> sample_rows(const Kernels& kernels, const std::vector<const Sampler*>& samplers, float* logits,
                                 int vocab_size, const int32_t* rows, const uint32_t* allowed, int num_threads) {
    const size_t words = (size_t(vocab_size) + 31) / 32;
    std::vector<Sampled> out(samplers.size());
    std::atomic<size_t> next{0};
    const auto work = [&] {
        thread_local SamplingWorkspace workspace;
        for (size_t i = next++; i < samplers.size(); i = next++) {
            const size_t row = rows == nullptr ? i : size_t(rows[i]);
            sample_row(kernels, *samplers[i], logits + row * size_t(vocab_size),
                       allowed == nullptr ? nullptr : allowed + i * words, workspace, out[i]);
        }
    };
    std::vector<std::thread> threads;
    try {
        for (size_t i = 1; i < std::min(samplers.size(), size_t(num_threads)); ++i) threads.emplace_back(work);
    } catch (const std::system_error&) {
        // No more threads to be had: those that there are do all rows.
    }
    work();
    for (std::thread& thread : threads) thread.join();
    return out;
}

}    // namespace candlewick
