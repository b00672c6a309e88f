// Tells AddressSanitizer and ThreadSanitizer of the fibers and their order, in a build with -fsanitize=address or
// -fsanitize=thread. In every other build, the watched one included, these do nothing.
#pragma once

#if defined(__has_feature)
#define SIMULATOR_HAS(feature) __has_feature(feature)
#else
#define SIMULATOR_HAS(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || SIMULATOR_HAS(address_sanitizer)
extern "C" {
void __sanitizer_start_switch_fiber(void** kept, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* kept, const void** bottom, size_t* size);
}
namespace simulator {
static void* scheduler_frames; static const void* scheduler_bottom; static size_t scheduler_size;
SIMULATOR_OWN static void announce_begin(Fiber*) { __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size); }
SIMULATOR_OWN static void announce_leave(Fiber* f) {
    __sanitizer_start_switch_fiber(f->state == State::finished ? nullptr : &f->frames, scheduler_bottom, scheduler_size);
}
SIMULATOR_OWN static void announce_return(Fiber* f) { __sanitizer_finish_switch_fiber(f->frames, nullptr, nullptr); }
SIMULATOR_OWN static void announce_resume(Fiber* f) { __sanitizer_start_switch_fiber(&scheduler_frames, f->stack, STACK_BYTES); }
SIMULATOR_OWN static void announce_resumed() { __sanitizer_finish_switch_fiber(scheduler_frames, nullptr, nullptr); }
SIMULATOR_OWN static void announce_launch(bool) {}
SIMULATOR_OWN static void announce_block() {}
SIMULATOR_OWN static void announce_wait(Fiber*, bool) {}
SIMULATOR_OWN static void announce_passed(Fiber*, bool) {}
}  // namespace simulator

#elif !defined(CUDA_SIMULATOR_WATCHED) && (defined(__SANITIZE_THREAD__) || SIMULATOR_HAS(thread_sanitizer))
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* tag);
void __tsan_release(void* tag);
}
namespace simulator {
constexpr unsigned WITHOUT_ORDER = 1;
static void* scheduler_fiber; static void* fiber_of[MAX_THREADS];
static char begun, ended[2];                          // tags of a launch, and of the ends of its blocks, in turn
static unsigned blocks;
static char passed[MAX_THREADS / LANES + 1][2];       // of the barriers of each warp, and last of the block, in turn
SIMULATOR_OWN static char* tag(Fiber* f, bool whole_block) {
    return &passed[whole_block ? MAX_THREADS / LANES : f->number / LANES][(whole_block ? f->barriers : f->collectives) % 2];
}
SIMULATOR_OWN static void announce_launch(bool begins) {
    scheduler_fiber = __tsan_get_current_fiber();
    if (begins) __tsan_release(&begun);
    else __tsan_acquire(&ended[0]), __tsan_acquire(&ended[1]);
}
SIMULATOR_OWN static void announce_block() { ++blocks; }
SIMULATOR_OWN static void announce_begin(Fiber*) {
    __tsan_acquire(&begun);
    __tsan_acquire(&ended[1 - blocks % 2]);  // the block before: what lies between blocks, only the watched build sees
}
SIMULATOR_OWN static void announce_leave(Fiber* f) {
    if (f->state == State::finished) __tsan_release(&ended[blocks % 2]);
    __tsan_switch_to_fiber(scheduler_fiber, WITHOUT_ORDER);
}
SIMULATOR_OWN static void announce_return(Fiber*) {}
SIMULATOR_OWN static void announce_resume(Fiber* f) {
    if (!fiber_of[f->number]) fiber_of[f->number] = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(fiber_of[f->number], WITHOUT_ORDER);
}
SIMULATOR_OWN static void announce_resumed() {}
// A thread cannot come to the barrier after next before all have left this one, so two tags in turn are enough.
SIMULATOR_OWN static void announce_wait(Fiber* f, bool whole_block) { __tsan_release(tag(f, whole_block)); }
SIMULATOR_OWN static void announce_passed(Fiber* f, bool whole_block) {
    __tsan_acquire(tag(f, whole_block));
    ++(whole_block ? f->barriers : f->collectives);
}
}  // namespace simulator

#else
namespace simulator {
static inline void announce_launch(bool) {}
static inline void announce_block() {}
static inline void announce_begin(Fiber*) {}
static inline void announce_leave(Fiber*) {}
static inline void announce_return(Fiber*) {}
static inline void announce_resume(Fiber*) {}
static inline void announce_resumed() {}
static inline void announce_wait(Fiber*, bool) {}
static inline void announce_passed(Fiber*, bool) {}
}  // namespace simulator
#endif
