#include "base/thread_pool.h"

#include "base/log.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <pthread.h>
#include <thread>

namespace ziwa {

struct ThreadPool::State {
  std::string name;
  size_t queue_max;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::move_only_function<void()>> queue;
  bool stopping = false;
  size_t running = 0;     ///< Threads that have not ended.
  std::mutex join_mutex;  ///< One stop() joins, others wait for it.
  std::vector<std::thread> threads;

  void run() {
    ::pthread_setname_np(::pthread_self(), name.substr(0, 15).c_str());
    for (;;) {
      std::move_only_function<void()> job;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stopping || !queue.empty(); });
        if (queue.empty()) {
          --running;
          changed.notify_all();
          return;
        }
        job = std::move(queue.front());
        queue.pop_front();
      }
      // Jobs answer for their own errors; what escapes one must not take the program with it.
      try {
        job();
      } catch (const std::exception& error) {
        log_error("base", "a job threw", "pool={} error={}", name, error.what());
      } catch (...) {
        log_error("base", "a job threw", "pool={} error=unknown", name);
      }
    }
  }
};

ThreadPool::ThreadPool(std::string name, int threads, size_t queue_max)
    : state_(std::make_unique<State>()) {
  CHECK(threads > 0, "pool {} needs a thread", name);
  state_->name = std::move(name);
  state_->queue_max = queue_max;
  state_->running = static_cast<size_t>(threads);
  for (int i = 0; i < threads; ++i) {
    state_->threads.emplace_back([state = state_.get()] { state->run(); });
  }
}

ThreadPool::~ThreadPool() { stop(); }

Status ThreadPool::submit(std::move_only_function<void()> job) {
  {
    std::lock_guard lock(state_->mutex);
    if (state_->stopping)
      return Error(Code::cancelled, "the {} threads are stopping", state_->name);
    if (state_->queue.size() >= state_->queue_max) {
      return Error(Code::exhausted, "the queue of the {} threads is full ({} jobs)", state_->name,
                   state_->queue_max);
    }
    state_->queue.push_back(std::move(job));
  }
  state_->changed.notify_one();
  return {};
}

bool ThreadPool::stop_within(int64_t ms) {
  {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
    auto ended = [&] { return state_->running == 0; };
    if (!state_->changed.wait_for(lock, std::chrono::milliseconds(ms), ended)) return false;
  }
  stop();
  return true;
}

void ThreadPool::stop() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  std::lock_guard lock(state_->join_mutex);
  for (auto& thread : state_->threads) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace ziwa
