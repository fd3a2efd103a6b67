#include "executor/program.h"

#include <stdexcept>

#include "executor/operations.h"

namespace candlewick {

Program::Program(const Kernels& kernels, std::shared_ptr<ThreadPool> threads, std::shared_ptr<KvCache> cache,
                 int max_tokens, int max_logit_rows)
    : kernels_(kernels),
      threads_(std::move(threads)),
      cache_(std::move(cache)),
      max_tokens_(max_tokens),
      max_logit_rows_(max_logit_rows) {
    if (max_tokens < 1 || max_logit_rows < 1) throw std::invalid_argument("a program needs room for at least one row");
}

int Program::add_memory(size_t bytes) {
    buffers_.push_back(allocate(bytes));
    buffer_bytes_ += bytes;
    return int(buffers_.size()) - 1;
}

int Program::add_buffer(int columns, Rows rows) {
    return add_memory(size_t(columns) * size_t(max_rows(rows)) * sizeof(float));
}

int Program::add_activations(int columns, Rows rows) {
    // Kernels that work on tiles of tokens may read, but not use, the records of a tile behind the last.
    const size_t records = size_t(pieces(columns, super_block)) * size_t(max_rows(rows)) + most_tile_tokens;
    return add_memory(records * activation_record_bytes);
}

int Program::add_angles(std::vector<double> inverse_frequencies, double scale) {
    const int buffer = add_buffer(2 * int(inverse_frequencies.size()), Rows::tokens);
    push(std::make_unique<RopeAngles>(buffer, std::move(inverse_frequencies), scale));
    return buffer;
}

void Program::push(std::unique_ptr<Operation> operation) {
    scratch_floats_ = std::max(scratch_floats_, operation->scratch_floats());
    operations_.push_back(std::move(operation));
}

void Program::embed(int out, std::shared_ptr<const PackedMatrix> matrix) {
    push(std::make_unique<Embed>(out, std::move(matrix)));
}

void Program::rms_norm(int x, int out, Rows rows, std::vector<float> weight, int columns, float epsilon) {
    push(std::make_unique<RmsNorm>(x, out, rows, std::move(weight), columns, epsilon));
}

void Program::quantize(int x, int out, Rows rows, int columns, ActivationKind kind) {
    push(std::make_unique<Quantize>(x, out, rows, columns, kind));
}

void Program::linear(int in, int out, Rows rows, std::shared_ptr<const PackedMatrix> matrix, std::vector<float> bias) {
    push(std::make_unique<Linear>(in, out, rows, std::move(matrix), std::move(bias), kernels_.group_bytes, max_rows(rows),
                                  threads_->num_threads()));
}

void Program::rope(int x, int out, int angles, int num_heads, int head_dim, bool interleaved) {
    for (const auto& operation : operations_)
        if (const auto* source = dynamic_cast<const RopeAngles*>(operation.get()); source && source->out == angles) {
            const int count = int(source->inverse_frequencies.size());
            push(std::make_unique<Rope>(x, out, angles, count, num_heads, head_dim, interleaved));
            return;
        }
    throw std::invalid_argument("rope needs angles that were added before");
}

void Program::attention(int q, int k, int v, int out, int layer, int num_heads, float scale, int window) {
    if (layer < 0 || layer >= cache_->num_layers() || num_heads % cache_->num_kv_heads() != 0)
        throw std::invalid_argument("attention does not fit the KV cache");
    push(std::make_unique<WriteCache>(k, v, layer));
    push(std::make_unique<Attend>(q, out, layer, num_heads, scale, window,
                                  attention_scratch_floats(cache_->head_dim())));
}

void Program::silu_multiply(int gate, int up, int out, Rows rows, int columns) {
    push(std::make_unique<Elementwise>(gate, up, out, rows, columns, kernels_.silu_multiply));
}

void Program::add(int x, int y, int out, Rows rows, int columns) {
    push(std::make_unique<Elementwise>(x, y, out, rows, columns, kernels_.add));
}

void Program::select_rows(int x, int out, int columns) { push(std::make_unique<SelectRows>(x, out, columns)); }

void Program::finish(int logits, int vocab_size, int hidden, int hidden_size) {
    logits_ = logits;
    vocab_size_ = vocab_size;
    hidden_ = hidden;
    hidden_size_ = hidden_size;
    for (int worker = 0; worker < threads_->num_threads(); ++worker)
        scratch_.push_back(allocate((scratch_floats_ + 16) * sizeof(float)));
    progress_ = std::make_unique<Progress[]>(operations_.size());
}

void Program::run(const Step& step) {
    for (size_t i = 0; i < operations_.size(); ++i) {
        progress_[i].next_item.store(0, std::memory_order_relaxed);
        progress_[i].items_done.store(0, std::memory_order_relaxed);
    }
    auto work = [&](int index) {
        auto* scratch = reinterpret_cast<float*>(scratch_[size_t(index)].get());
        for (size_t i = 0; i < operations_.size(); ++i)
            operations_[i]->run(Worker{*this, step, scratch, &progress_[i]});
    };
    threads_->run(work);
}

}    // namespace candlewick
