// Threads of a compiled package. Whoever calls works too, and waits for no thread that has not begun: one
// that a neighbour keeps from its core holds nobody up.

#pragma once

#include <unistd.h>

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace neurocity {

class ThreadPool {
 public:
  ~ThreadPool() {
    if (!is_own()) {
      new std::vector<std::thread>(std::move(threads_));  // never to be joined
      return;
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_over_ = true;
    }
    begins_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Whether the threads are of this process: a forked one has none of its parent's.
  bool is_own() const { return owner_ == getpid(); }

  // Calls task(), which throws nothing, on this thread and on up to `others` more. Returns when all that
  // began have ended.
  void run(int others, const std::function<void()>& task) {
    Job job{&task, others, 0};
    if (others > 0) {
      const std::lock_guard<std::mutex> lock(mutex_);
      while (static_cast<int>(threads_.size()) < others) threads_.emplace_back([this] { serve(); });
      jobs_.push_back(&job);
    }
    for (int other = 0; other < others; ++other) begins_.notify_one();
    task();
    std::unique_lock<std::mutex> lock(mutex_);
    jobs_.remove(&job);
    ends_.wait(lock, [&] { return job.active == 0; });
  }

 private:
  struct Job {
    const std::function<void()>* task;
    int wanted, active;  // threads that may still begin, and those that have begun
  };

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      begins_.wait(lock, [&] { return is_over_ || !jobs_.empty(); });
      if (is_over_) return;
      Job& job = *jobs_.front();
      if (--job.wanted == 0) jobs_.pop_front();
      ++job.active;
      lock.unlock();
      (*job.task)();
      lock.lock();
      if (--job.active == 0) ends_.notify_all();
    }
  }

  const pid_t owner_ = getpid();
  std::mutex mutex_;
  std::condition_variable begins_, ends_;
  std::list<Job*> jobs_;
  bool is_over_ = false;
  std::vector<std::thread> threads_;
};

// The pool of this process.
inline ThreadPool& thread_pool() {
  static std::mutex mutex;
  static std::unique_ptr<ThreadPool> pool;
  const std::lock_guard<std::mutex> lock(mutex);
  if (!pool || !pool->is_own()) pool = std::make_unique<ThreadPool>();
  return *pool;
}

}  // namespace neurocity
