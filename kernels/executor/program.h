// A traced model, ready to run: operations over planned buffers, all of a step in one call.
//
// Built op by op (the counterpart of core/program.py); then `run` executes the operations in order on all workers of
// the pool, each when the one before is done. Every operation computes a row in an order that depends on that row alone.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "executor/kv_cache.h"
#include "executor/packed_matrix.h"
#include "executor/thread_pool.h"
#include "isa/kernels.h"

namespace candlewick {

// Rows of a buffer: all tokens of the step; those whose last hidden state is wanted; the first of these, which also want
// logits.
enum class Rows { tokens, outputs, logits };

// One step's input; the arrays of core/batch.py. The caller has checked every index.
struct Step {
    int num_tokens;
    const int32_t* token_ids;
    const int32_t* positions;
    int num_sequences;
    const int32_t* query_starts;    // [num_sequences + 1]
    const int32_t* block_tables;    // [num_sequences, blocks_per_table]
    int blocks_per_table;
    int num_output_rows;
    const int32_t* output_rows;     // [num_output_rows]
    int num_logit_rows;             // the first ones of the output rows

    int rows(Rows kind) const {
        return kind == Rows::tokens ? num_tokens : kind == Rows::outputs ? num_output_rows : num_logit_rows;
    }
    const int32_t* block_table(int sequence) const {
        return block_tables + size_t(sequence) * size_t(blocks_per_table);
    }
};

class Program;

// How far an operation of the step is; both start at 0.
struct Progress {
    std::atomic<int> next_item;
    std::atomic<int> items_done;
};

// What an operation sees while it runs on one worker.
struct Worker {
    const Program& program;
    const Step& step;
    float* scratch;                  // of this worker: the most that an operation wants
    Progress* progress;              // of this operation

    // Calls function(item) for a share of the items 0 … count - 1 and returns when all of them are done, by whomever.
    // Cores differ in speed, so items go to whoever is free. Once an operation, with the same count on every worker.
    template <class Function>
    void share(int count, Function&& function) const;
};

class Operation {
  public:
    virtual ~Operation() = default;
    virtual void run(const Worker& worker) const = 0;
    virtual size_t scratch_floats() const { return 0; }
};

class Program {
  public:
    Program(const Kernels& kernels, std::shared_ptr<ThreadPool> threads, std::shared_ptr<KvCache> cache, int max_tokens,
            int max_logit_rows);
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    const Kernels& kernels() const { return kernels_; }
    ThreadPool& threads() const { return *threads_; }
    KvCache& cache() const { return *cache_; }
    int max_tokens() const { return max_tokens_; }
    int max_logit_rows() const { return max_logit_rows_; }
    size_t buffer_bytes() const { return buffer_bytes_; }

    // A buffer of float rows, or of activation records; its handle.
    int add_buffer(int columns, Rows rows);
    int add_activations(int columns, Rows rows);
    // Sine and cosine of every token's position; shared by all rope operations of the same frequencies.
    int add_angles(std::vector<double> inverse_frequencies, double scale);

    void embed(int out, std::shared_ptr<const PackedMatrix> matrix);
    void rms_norm(int x, int out, Rows rows, std::vector<float> weight, int columns, float epsilon);
    void quantize(int x, int out, Rows rows, int columns, ActivationKind kind);
    // `in` is a buffer of floats or of activations, as the matrix wants.
    void linear(int in, int out, Rows rows, std::shared_ptr<const PackedMatrix> matrix, std::vector<float> bias);
    void rope(int x, int out, int angles, int num_heads, int head_dim, bool interleaved);
    void attention(int q, int k, int v, int out, int layer, int num_heads, float scale, int window);
    void silu_multiply(int gate, int up, int out, Rows rows, int columns);
    void add(int x, int y, int out, Rows rows, int columns);
    void select_rows(int x, int out, int columns);
    void finish(int logits, int vocab_size, int hidden, int hidden_size);

    void run(const Step& step);

    float* floats(int buffer) const { return reinterpret_cast<float*>(buffers_[size_t(buffer)].get()); }
    uint8_t* bytes(int buffer) const { return reinterpret_cast<uint8_t*>(buffers_[size_t(buffer)].get()); }
    float* logits() const { return floats(logits_); }
    int vocab_size() const { return vocab_size_; }
    // What the logits are computed from, for all output rows.
    float* hidden() const { return floats(hidden_); }
    int hidden_size() const { return hidden_size_; }

  private:
    int max_rows(Rows rows) const { return rows == Rows::logits ? max_logit_rows_ : max_tokens_; }
    int add_memory(size_t bytes);
    void push(std::unique_ptr<Operation> operation);

    const Kernels& kernels_;
    std::shared_ptr<ThreadPool> threads_;
    std::shared_ptr<KvCache> cache_;
    int max_tokens_;
    int max_logit_rows_;
    std::vector<Memory> buffers_;
    size_t buffer_bytes_ = 0;
    std::vector<std::unique_ptr<Operation>> operations_;
    size_t scratch_floats_ = 0;
    std::vector<Memory> scratch_;                        // one a worker
    std::unique_ptr<Progress[]> progress_;               // one an operation
    int logits_ = -1;
    int vocab_size_ = 0;
    int hidden_ = -1;
    int hidden_size_ = 0;
};

template <class Function>
void Worker::share(int count, Function&& function) const {
    if (program.threads().num_threads() == 1) {
        for (int item = 0; item < count; ++item) function(item);
        return;
    }
    int own = 0;
    for (int item = progress->next_item.fetch_add(1, std::memory_order_relaxed); item < count;
         item = progress->next_item.fetch_add(1, std::memory_order_relaxed), ++own)
        function(item);
    if (own > 0) progress->items_done.fetch_add(own, std::memory_order_acq_rel);
    spin_until([&] { return progress->items_done.load(std::memory_order_acquire) >= count; });
}

}    // namespace candlewick
