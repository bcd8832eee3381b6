// How a kernel shares its parts among the threads that call it, and what it answers.

#pragma once

#include <cstdint>
#include <new>
#include <stdexcept>

// A program that is compiled together with a kernel says for itself who may call it.
#if !defined(NEUROCITY_EXPORT)
#define NEUROCITY_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace neurocity {

enum Status : int32_t { DONE = 0, STOPPED = 1, NO_MEMORY = -1, WRONG_ARGUMENT = -2 };

// One call: `next` is the next of `parts` that nobody has taken, `stop` is set when nobody wants the rest.
struct Work {
  int64_t parts;
  int64_t next;
  int32_t stop;
};

// Calls task(part) for parts until all are taken. Any number of threads do so with the same `work`.
template <typename Task>
int32_t share(Work* work, Task task) {
  try {
    while (!__atomic_load_n(&work->stop, __ATOMIC_RELAXED)) {
      const int64_t part = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);
      if (part >= work->parts) return DONE;
      task(part);
    }
    return STOPPED;
  } catch (const std::bad_alloc&) {
    return NO_MEMORY;
  } catch (const std::length_error&) {  // more than any memory holds
    return NO_MEMORY;
  } catch (const std::invalid_argument&) {
    return WRONG_ARGUMENT;
  }
}

}  // namespace neurocity
