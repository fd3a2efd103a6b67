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

bool ranks_before(const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

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
        auto& best = work_.candidates;
        const auto wanted = std::min(best.size(), size_t(settings_.num_logprobs));
        std::partial_sort(best.begin(), best.begin() + std::ptrdiff_t(wanted), best.end(), ranks_before);
        for (size_t i = 0; i < wanted; ++i)
            out.top.emplace_back(best[i].id, float(double(best[i].logit) - log_sum));
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
        const double random = uniform_draw(settings_.seed, settings_.choice, uint64_t(sampler_.num_accepted()));
        bool has_candidates = false;
        if (settings_.top_k > 0 && settings_.top_k < count_) {
            gather_most_likely(settings_.top_k);
            keep_most_likely(size_t(settings_.top_k));
            weigh();
            has_candidates = true;
        }
        if (settings_.top_p < 1.0) {
            const double total = has_candidates ? sum_of_weights() : sum_chunks();
            if (!has_candidates) gather_at_least_probability(settings_.top_p * total);
            keep_probability(settings_.top_p * total);
            has_candidates = true;
        }
        if (settings_.min_p > 0.0) {
            if (!has_candidates) {
                // From a little below the limit, so that rounding loses none; the exact test follows.
                const double limit = (std::log(settings_.min_p) - 1e-3) / double(inverse_temperature_);
                gather(std::nextafter(float(double(maximum_) + limit), -infinity));
                weigh();
            }
            std::erase_if(work_.candidates, [&](const Candidate& one) { return one.weight < settings_.min_p; });
            has_candidates = true;
        }
        return has_candidates ? draw_candidate(random) : draw_any(random);
    }

    int32_t most_likely() const {
        int32_t id = 0;
        kernels_.at_least(logits_, count_, maximum_, &id, 1);
        return id;
    }

    // -- candidates -----------------------------------------------------------------------------------------------

    // All tokens of at least this logit, without weights.
    void gather(float threshold) {
        work_.ids.resize(std::max(work_.ids.size(), size_t(count_)));
        const int found = kernels_.at_least(logits_, count_, std::max(threshold, -largest), work_.ids.data(), count_);
        work_.candidates.clear();
        for (int i = 0; i < found; ++i) work_.candidates.push_back({work_.ids[size_t(i)], logits_[work_.ids[size_t(i)]], 0.0});
    }

    // The k most likely tokens and perhaps some more: among the maxima of more than k blocks, the k-th highest is a
    // threshold that at least k tokens reach.
    void gather_most_likely(int k) {
        int block = 64;
        while (block > 1 && count_ / block < 2 * int64_t(k)) block /= 4;
        if (block == 1) return gather(-infinity);
        auto& maxima = work_.block_maxima;
        maxima.clear();
        for (int start = 0; start < count_; start += block)
            maxima.push_back(kernels_.maximum(logits_ + start, std::min(block, count_ - start)));
        std::nth_element(maxima.begin(), maxima.begin() + (k - 1), maxima.end(), std::greater<>());
        gather(maxima[size_t(k - 1)]);
    }

    void weigh() {
        for (Candidate& one : work_.candidates)
            one.weight = kernels_.sum_exp(&one.logit, 1, maximum_, inverse_temperature_);
    }

    double sum_of_weights() const {
        double sum = 0.0;
        for (const Candidate& one : work_.candidates) sum += one.weight;
        return sum;
    }

    // Candidates that together weigh at least `wanted`: few when the distribution is peaked, in the end all tokens.
    void gather_at_least_probability(double wanted) {
        for (const float depth : {6.0f, 12.0f, infinity}) {
            gather(maximum_ - depth / inverse_temperature_);
            weigh();
            if (sum_of_weights() >= wanted) return;
        }
    }

    void keep_most_likely(size_t k) {
        if (work_.candidates.size() <= k) return;
        work_.ranked = work_.candidates;
        std::nth_element(work_.ranked.begin(), work_.ranked.begin() + std::ptrdiff_t(k - 1), work_.ranked.end(), ranks_before);
        keep_through(work_.ranked[k - 1]);
    }

    // Keep the fewest most likely candidates that weigh at least `wanted`: halve the range in which the last of them
    // must stand, without ever sorting it.
    void keep_probability(double wanted) {
        work_.ranked = work_.candidates;
        auto first = work_.ranked.begin();
        auto last = work_.ranked.end();
        while (last - first > 1) {
            const auto middle = first + (last - first) / 2;
            std::nth_element(first, middle, last, ranks_before);
            double sum = 0.0;
            for (auto one = first; one != middle; ++one) sum += one->weight;
            if (sum >= wanted) {
                last = middle;
            } else {
                wanted -= sum;
                first = middle;
            }
        }
        keep_through(*first);
    }

    void keep_through(const Candidate& last) {
        std::erase_if(work_.candidates, [&](const Candidate& one) { return ranks_before(last, one); });
    }

    // -- draws ----------------------------------------------------------------------------------------------------

    int32_t draw_candidate(double random) const {
        double remaining = random * sum_of_weights();
        int32_t id = -1;
        for (const Candidate& one : work_.candidates) {
            if (one.weight <= 0.0) continue;
            id = one.id;
            if (remaining < one.weight) break;
            remaining -= one.weight;
        }
        return id;
    }

    static constexpr int chunk = 4096;

    double sum_chunks() {
        work_.chunk_sums.clear();
        double total = 0.0;
        for (int start = 0; start < count_; start += chunk) {
            work_.chunk_sums.push_back(sum(start, std::min(count_, start + chunk)));
            total += work_.chunk_sums.back();
        }
        return total;
    }

    double sum(int start, int end) const {
        return kernels_.sum_exp(logits_ + start, end - start, maximum_, inverse_temperature_);
    }

    // Without filters no token needs to be looked at by itself but those near the drawn one: find its chunk, its run of
    // 64 in that, and the token. Sums of parts differ from their whole in the last digits, so that a walk may end
    // without a hit: then the last part that weighs anything is the one.
    int32_t draw_any(double random) {
        double remaining = random * sum_chunks();
        int start = 0;
        int end = count_;
        for (const int size : {chunk, 64, 1}) {
            int chosen = start;
            for (int part = start; part < end; part += size) {
                const double weight =
                    size == chunk ? work_.chunk_sums[size_t(part / chunk)] : sum(part, std::min(end, part + size));
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
                                 int vocab_size, const uint32_t* allowed, int num_threads) {
    const size_t words = (size_t(vocab_size) + 31) / 32;
    std::vector<Sampled> out(samplers.size());
    std::atomic<size_t> next{0};
    const auto work = [&] {
        thread_local SamplingWorkspace workspace;
        for (size_t row = next++; row < samplers.size(); row = next++)
            sample_row(kernels, *samplers[row], logits + row * size_t(vocab_size),
                       allowed == nullptr ? nullptr : allowed + row * words, workspace, out[row]);
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
