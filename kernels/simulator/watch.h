// Watches every load and store of a kernel. The compiler is told to instrument for ThreadSanitizer (-fsanitize=thread)
// and for some checks of UBSan; what it then calls, __tsan_... and __ubsan_handle_..., is defined here, so that no
// sanitizer's library is linked.
//
//   regions    the arguments of the launch, each between guards; the __shared__ variables; the variables of the file
//   cells      one for every 4 bytes of a region: who touched it, when, and where in the source
//   order      barriers count epochs of a block; __syncwarp joins the clocks of a warp's lanes; a fence keeps what its
//              thread knows by then, which a later atomic releases, and an atomic elsewhere acquires. A shuffle orders
//              nothing. Two accesses without order, one of them a write: a race
//   counts     the k-th time that each lane of a warp comes to an instruction is one request of the warp: the 32-byte
//              sectors of global memory that it needs, the cycles that its banks of shared memory take
#pragma once
#include "runtime.h"

namespace simulator {

constexpr int SLOTS = 6, MAX_REGIONS = 512, MAX_FINDINGS = 256, MAX_SUSPECTS = 1024, MAX_SITES = 16384, MAX_CHANNELS = 4096, MAX_ACQUIRED = 4096;
constexpr uint64_t DESTINATION = 1ull << 63;  // marks the place of a cp.async as that of its write
constexpr int SECTOR_BYTES = 32, BANKS = 32, BANK_BYTES = 4;

enum class Space : uint32_t { global, shared };

struct Region { uint64_t begin, end, guard_begin, guard_end; Space space; uint32_t reserved; };

struct Access {                 // of one cell, by one thread
    uint32_t block, epoch, time, site;
    uint16_t thread;
    uint8_t bytes;              // which of the cell's 4
    uint8_t kind;               // bits of AccessKind; 0 in an empty slot
};
enum AccessKind : uint8_t { READ = 1, WRITE = 2, ATOMIC = 4, COPY = 8 };

struct Cell {
    Access slots[SLOTS];
    uint32_t written_in;        // the block in which `written` was written, for shared memory
    uint32_t copied_in;         // the block in which a cp.async to here is under way
    uint32_t copy_site; uint16_t copy_thread; uint8_t written; uint8_t copying;
};

struct Found {                  // as watched.py reads it
    uint32_t kind; int32_t region; int64_t offset; uint64_t address;
    uint64_t where, other_where;          // program counters
    const char* file; int32_t line, size; // a place in the source, if it is known
    uint32_t block[3], thread[3], other_block[3], other_thread[3];
    uint32_t access, other_access;
    char what[160];
};

struct Counts { uint64_t where, loads, load_sectors, stores, store_sectors, shared_requests, shared_wavefronts; };

struct Request { uint32_t lanes; uint32_t size; uint64_t addresses[LANES]; };

struct Site {                   // an instruction that touches memory
    uint64_t where;
    Counts counts;
    Request* requests; int held, used;    // of the warp that runs, in its present pass
    int lane, met;                        // how often that lane has come here in this pass
    bool writes; Space space;
};

struct Unwritten { int region; uint64_t index, address; size_t size; Access access; uint8_t bytes; };  // what was read

struct Fenced { uint32_t epoch, times[LANES]; };       // all of earlier epochs, and of its warp each lane up to a time
struct Released { uint32_t epoch; uint32_t* times; };  // the same of a block, with the times of all of its threads
struct Channel { uint64_t address; Released* by_block; };                       // an atomic after a fence
struct Acquired { int channel; uint32_t epoch; uint32_t threads[MAX_THREADS / 32]; };

static Region regions[MAX_REGIONS]; static int region_count;
static Cell* cells[MAX_REGIONS];
static uint64_t image_begin, image_end;                                         // the library's own variables lie here
static Found findings[MAX_FINDINGS]; static int finding_count;
static Site sites[MAX_SITES]; static int touched[MAX_SITES]; static int touched_count;
static Unwritten suspects[MAX_SUSPECTS]; static int suspect_count;
static Channel channels[MAX_CHANNELS]; static int channel_count;
static Acquired acquired[MAX_ACQUIRED]; static int acquired_count;
static uint32_t block_number, epoch;                                            // of the block that runs, from 1
static uint32_t clocks[MAX_THREADS][LANES];                                     // what each thread knows of its warp
static Fenced fenced[MAX_THREADS];                                              // by each thread, 0 for not at all
static uint32_t fenced_epoch, fenced_times[MAX_THREADS];                        // by all, before the last barrier
static uint64_t block_total;

// ---- findings --------------------------------------------------------------------------------------------------------

SIMULATOR_OWN static uint3 place_of_thread(int number) {
    const unsigned n = unsigned(number);
    return {n % block.x, n / block.x % block.y, n / (block.x * block.y)};
}

SIMULATOR_OWN static uint3 place_of_block(uint32_t number) {
    const uint32_t n = number - 1;
    return {n % grid.x, n / grid.x % grid.y, n / grid.x / grid.y};
}

SIMULATOR_OWN static void put(uint32_t* to, uint3 from) { to[0] = from.x, to[1] = from.y, to[2] = from.z; }

// The record of a new finding, or null where the same two places have been told already.
SIMULATOR_OWN static Found* find(Kind kind, uint64_t where, uint64_t other_where, const char* file, int line) {
    for (int i = 0; i < finding_count; ++i) {
        const Found& f = findings[i];
        if (f.kind == uint32_t(kind) && f.where == where && f.other_where == other_where && f.line == line) return nullptr;
    }
    if (finding_count == MAX_FINDINGS) return nullptr;
    Found& found = findings[finding_count++];
    memset(&found, 0, sizeof found);
    found.kind = uint32_t(kind), found.where = where, found.other_where = other_where;
    found.file = file, found.line = line, found.region = -1;
    put(found.block, block_index);
    put(found.thread, current->thread);
    return &found;
}

SIMULATOR_OWN static void describe(Found* found, int region, uint64_t address, size_t size, uint32_t access) {
    found->region = region, found->address = address, found->size = int(size), found->access = access;
    if (region >= 0) found->offset = int64_t(address) - int64_t(regions[region].begin);
}

SIMULATOR_OWN static void describe_other(Found* found, const Access& other) {
    found->other_access = other.kind;
    found->other_where = sites[other.site].where;
    put(found->other_thread, place_of_thread(other.thread));
    put(found->other_block, regions[found->region].space == Space::shared ? block_index : place_of_block(other.block));
}

// Ends the launch before the processor does what would end the process.
SIMULATOR_OWN static void stop() {
    snprintf(failure, sizeof failure, "0\tstopped\t0,0,0\t0,0,0\t\t0");
    yield();
}

// ---- regions ---------------------------------------------------------------------------------------------------------

SIMULATOR_OWN static int region_of(uint64_t address) {
    static int last;
    if (last < region_count && address >= regions[last].begin && address < regions[last].end) return last;
    for (int i = 0; i < region_count; ++i)
        if (address >= regions[i].begin && address < regions[i].end) return last = i;
    return -1;
}

SIMULATOR_OWN static bool is_private(uint64_t address) {  // of a thread's stack, or of the simulator
    return address - reinterpret_cast<uint64_t>(stacks) < MAX_THREADS * STACK_STRIDE ||
           (address >= image_begin && address < image_end);
}

SIMULATOR_OWN static void out_of_bounds(uint64_t address, size_t size, uint32_t access, uint64_t where) {
    int nearest = -1;
    for (int i = 0; i < region_count && nearest < 0; ++i)
        if (address >= regions[i].guard_begin && address < regions[i].guard_end) nearest = i;
    Found* found = find(Kind::out_of_bounds, where, 0, nullptr, 0);
    if (found) describe(found, nearest, address, size, access);
    stop();
}

// ---- order -----------------------------------------------------------------------------------------------------------

SIMULATOR_OWN static bool has_bit(const uint32_t* bits, int i) { return bits[i / 32] >> (i % 32) & 1; }
SIMULATOR_OWN static void set_bit(uint32_t* bits, int i) { bits[i / 32] |= 1u << (i % 32); }

SIMULATOR_OWN static bool handed_over(const Access& before) {  // by a fence and an atomic, to an atomic of this block
    for (int i = 0; i < acquired_count; ++i) {
        const Acquired& a = acquired[i];
        if (before.block == block_number && a.epoch != epoch) continue;  // a barrier orders the epochs of one block
        if (a.epoch == epoch && !has_bit(a.threads, current->number)) continue;
        const Released& released = channels[a.channel].by_block[before.block - 1];
        if (!released.times) continue;
        if (before.epoch < released.epoch || before.time <= released.times[before.thread]) return true;
    }
    return false;
}

SIMULATOR_OWN static bool is_ordered(const Access& before) {
    if (before.block == block_number) {
        if (before.thread == current->number || before.epoch < epoch) return true;
        if (before.thread / LANES == current->number / LANES &&
            clocks[current->number][before.thread % LANES] >= before.time) return true;
    }
    return acquired_count && handed_over(before);
}

SIMULATOR_OWN static int channel_at(uint64_t address, bool make) {
    for (int i = 0; i < channel_count; ++i)
        if (channels[i].address == address) return i;
    if (!make || channel_count == MAX_CHANNELS) return -1;
    channels[channel_count] = {address, static_cast<Released*>(calloc(block_total, sizeof(Released)))};
    if (!channels[channel_count].by_block) abort();
    return channel_count++;
}

SIMULATOR_OWN static void acquire(int channel) {
    for (int i = 0; i < acquired_count; ++i)
        if (acquired[i].channel == channel && acquired[i].epoch == epoch) return set_bit(acquired[i].threads, current->number);
    if (acquired_count == MAX_ACQUIRED) return;
    Acquired& a = acquired[acquired_count++];
    memset(&a, 0, sizeof a);
    a.channel = channel, a.epoch = epoch;
    set_bit(a.threads, current->number);
}

SIMULATOR_OWN static void raise_to(uint32_t& number, uint32_t to) { number = to > number ? to : number; }

SIMULATOR_OWN static bool has_fenced() { return fenced[current->number].epoch || fenced_epoch; }

SIMULATOR_OWN static void release(int channel) {
    Released& r = channels[channel].by_block[block_number - 1];
    if (!r.times) r.times = static_cast<uint32_t*>(calloc(size_t(thread_count + LANES), sizeof(uint32_t)));
    if (!r.times) abort();
    const Fenced& own = fenced[current->number];
    raise_to(r.epoch, own.epoch);
    raise_to(r.epoch, fenced_epoch);
    for (int i = 0; i < thread_count; ++i) raise_to(r.times[i], fenced_times[i]);
    for (int i = 0; i < LANES; ++i) raise_to(r.times[current->number - current->lane + i], own.times[i]);
}

// ---- requests of a warp ----------------------------------------------------------------------------------------------

SIMULATOR_OWN static int site_of(uint64_t where) {
    uint32_t place = uint32_t(where * 0x9e3779b97f4a7c15ull >> 32) % MAX_SITES;
    for (int tried = 0; tried < MAX_SITES; ++tried, place = (place + 1) % MAX_SITES) {
        if (sites[place].where == where) return int(place);
        if (!sites[place].where) {
            sites[place].where = sites[place].counts.where = where;
            return int(place);
        }
    }
    abort();
}

SIMULATOR_OWN static void count_access(Site& site, int number, uint64_t address, size_t size, bool writes, Space space) {
    if (!site.used) {
        touched[touched_count++] = number;
        site.lane = -1;
    }
    if (site.lane != current->lane) site.lane = current->lane, site.met = 0;
    const int k = site.met++;
    if (k >= site.held) {
        site.held = site.held ? 2 * site.held : 4;
        site.requests = static_cast<Request*>(realloc(site.requests, size_t(site.held) * sizeof(Request)));
        if (!site.requests) abort();
    }
    if (k >= site.used) {
        site.requests[k].lanes = 0;
        site.used = k + 1;
    }
    Request& request = site.requests[k];
    request.lanes |= 1u << current->lane;
    request.size = uint32_t(size);
    request.addresses[current->lane] = address;
    site.writes = writes, site.space = space;
}

SIMULATOR_OWN static int sectors_of(const Request& request) {
    uint64_t seen[2 * LANES];
    int count = 0;
    for (int lane = 0; lane < LANES; ++lane) {
        if (!(request.lanes >> lane & 1)) continue;
        const uint64_t first = request.addresses[lane] / SECTOR_BYTES;
        const uint64_t last = (request.addresses[lane] + request.size - 1) / SECTOR_BYTES;
        for (uint64_t sector = first; sector <= last; ++sector) {
            int i = 0;
            while (i < count && seen[i] != sector) ++i;
            if (i == count && count < 2 * LANES) seen[count++] = sector;
        }
    }
    return count;
}

// Shared memory serves 32 banks of 4 bytes a cycle, one word of each: 8-byte accesses go by half warps, 16-byte ones by
// quarters. Lanes that want the same word share it.
SIMULATOR_OWN static int wavefronts_of(const Request& request) {
    const int words = request.size > BANK_BYTES ? int(request.size / BANK_BYTES) : 1, group = words < LANES ? LANES / words : 1;
    int total = 0;
    for (int first = 0; first < LANES; first += group) {
        uint64_t seen[BANKS][LANES];
        int in_bank[BANKS] = {}, most = 0;
        for (int lane = first; lane < first + group && lane < LANES; ++lane) {
            if (!(request.lanes >> lane & 1)) continue;
            for (int word = 0; word < words; ++word) {
                const uint64_t address = request.addresses[lane] / BANK_BYTES + uint64_t(word);
                const int bank = int(address % BANKS);
                int i = 0;
                while (i < in_bank[bank] && seen[bank][i] != address) ++i;
                if (i == in_bank[bank] && i < LANES) seen[bank][in_bank[bank]++] = address;
                if (in_bank[bank] > most) most = in_bank[bank];
            }
        }
        total += most;
    }
    return total;
}

SIMULATOR_OWN static void watch_pass_ends() {
    for (int t = 0; t < touched_count; ++t) {
        Site& site = sites[touched[t]];
        for (int k = 0; k < site.used; ++k) {
            if (site.space == Space::shared) {
                site.counts.shared_requests += 1;
                site.counts.shared_wavefronts += uint64_t(wavefronts_of(site.requests[k]));
            } else {
                (site.writes ? site.counts.stores : site.counts.loads) += 1;
                (site.writes ? site.counts.store_sectors : site.counts.load_sectors) += uint64_t(sectors_of(site.requests[k]));
            }
        }
        site.used = 0;
    }
    touched_count = 0;
}

// ---- one access ------------------------------------------------------------------------------------------------------

SIMULATOR_OWN static void remember(Cell& cell, const Access& now) {
    int place = -1, a_read = -1;
    for (int i = 0; i < SLOTS; ++i) {
        Access& before = cell.slots[i];
        const bool covered = before.kind && !(before.bytes & ~now.bytes) && is_ordered(before) &&
                             (now.kind & WRITE || !(before.kind & WRITE)) && !(before.kind & ATOMIC && !(now.kind & ATOMIC));
        if (covered) before.kind = 0;
        if (!before.kind) place = i;
        else if (!(before.kind & WRITE)) a_read = i;
    }
    if (place < 0) place = a_read >= 0 ? a_read : int(draw() % SLOTS);
    cell.slots[place] = now;
}

SIMULATOR_OWN static void race(int region, uint64_t address, size_t size, const Access& before, const Access& now) {
    Found* found = find(Kind::race, sites[now.site].where, sites[before.site].where, nullptr, 0);
    if (!found) return;
    describe(found, region, address, size, now.kind);
    describe_other(found, before);
}

SIMULATOR_OWN static void tell_unwritten(const Unwritten& read) {
    Fiber* interrupted = current;
    current = &fibers[read.access.thread];
    Found* found = find(Kind::uninitialised_read, sites[read.access.site].where, 0, nullptr, 0);
    if (found) describe(found, read.region, read.address, read.size, read.access.kind);
    current = interrupted;
}

// Memory that is written before the next barrier, by a thread that nothing puts behind the read, is in a race, and told
// as such.
SIMULATOR_OWN static void tell_suspects() {
    for (int i = 0; i < suspect_count; ++i) {
        const Cell& cell = cells[suspects[i].region][suspects[i].index];
        if (cell.written_in != block_number || suspects[i].bytes & ~cell.written) tell_unwritten(suspects[i]);
    }
    suspect_count = 0;
}

// As in "s[i] += x", or by an atomic.
SIMULATOR_OWN static void tell_suspects_before_a_write(int region, uint64_t index, uint8_t bytes) {
    for (int i = 0; i < suspect_count; ++i) {
        const Unwritten& read = suspects[i];
        if (read.region != region || read.index != index || !(read.bytes & bytes) || !is_ordered(read.access)) continue;
        tell_unwritten(read);
        suspects[i--] = suspects[--suspect_count];
    }
}

SIMULATOR_OWN static void suspect(const Unwritten& read) {
    for (int i = 0; i < suspect_count; ++i)
        if (suspects[i].access.site == read.access.site && suspects[i].index == read.index) return;
    if (suspect_count < MAX_SUSPECTS) suspects[suspect_count++] = read;
    else tell_unwritten(read);
}

SIMULATOR_OWN static void touch_cell(int region, uint64_t index, uint64_t address, size_t size, Access now) {
    const bool is_shared = regions[region].space == Space::shared;
    Cell& cell = cells[region][index];
    if (is_shared) {
        if (cell.written_in != block_number) cell.written_in = block_number, cell.written = 0;
        if (cell.copied_in == block_number && cell.copying & now.bytes && !(now.kind & COPY)) {
            Found* found = find(Kind::stale_copy, sites[now.site].where, sites[cell.copy_site].where, nullptr, 0);
            if (found) {
                describe(found, region, address, size, now.kind);
                describe_other(found, {block_number, epoch, 0, cell.copy_site, cell.copy_thread, 0, COPY | WRITE});
            }
            return;
        }
        if (now.kind & READ && now.bytes & ~cell.written) suspect({region, index, address, size, now, uint8_t(now.bytes & ~cell.written)});
        if (now.kind & WRITE) {
            tell_suspects_before_a_write(region, index, now.bytes);
            cell.written |= now.bytes;
        }
    }
    for (Access& before : cell.slots) {
        if (!before.kind) continue;
        if (is_shared && before.block != block_number) {
            before.kind = 0;
            continue;
        }
        if (!(before.bytes & now.bytes) || !((before.kind | now.kind) & WRITE)) continue;
        if (before.kind & now.kind & ATOMIC || is_ordered(before)) continue;
        race(region, address, size, before, now);
    }
    remember(cell, now);
}

SIMULATOR_OWN static void touch(uint64_t address, size_t size, uint8_t kind, uint64_t where, bool counted = true) {
    const int region = region_of(address);
    if (region < 0) {
        if (!is_private(address)) out_of_bounds(address, size, kind, where);
        return;
    }
    if (address + size > regions[region].end) return out_of_bounds(address, size, kind, where);
    const int number = site_of(where);
    if (counted) count_access(sites[number], number, address, size, kind & WRITE, regions[region].space);
    const Access whole = {block_number, epoch, clocks[current->number][current->lane], uint32_t(number),
                          uint16_t(current->number), 0, kind};
    const uint64_t begin = address - regions[region].begin, end = begin + size;
    for (uint64_t index = begin / 4; index < (end + 3) / 4; ++index) {
        const uint64_t from = index * 4 < begin ? begin - index * 4 : 0, to = index * 4 + 4 > end ? end - index * 4 : 4;
        Access now = whole;
        now.bytes = uint8_t((1u << to) - (1u << from));
        touch_cell(region, index, address, size, now);
    }
}

SIMULATOR_OWN static void watch_atomic(const void* address, size_t size, const void* where) {
    const uint64_t a = reinterpret_cast<uint64_t>(address);
    touch(a, size, READ | WRITE | ATOMIC, reinterpret_cast<uint64_t>(where));
    const int channel = channel_at(a, has_fenced());
    if (channel < 0) return;
    acquire(channel);
    if (has_fenced()) release(channel);
}

SIMULATOR_OWN static void watch_fence() {
    Fenced& own = fenced[current->number];
    own.epoch = epoch;
    memcpy(own.times, clocks[current->number], sizeof own.times);
    ++clocks[current->number][current->lane];  // what it does from now on is not behind the fence
}

SIMULATOR_OWN static void set_copying(const Copy& copy, bool under_way) {
    const uint64_t address = reinterpret_cast<uint64_t>(copy.to);
    const int region = region_of(address);
    if (region < 0) return;
    const uint64_t begin = (address - regions[region].begin) / 4;
    for (uint64_t index = begin; index < begin + uint64_t(copy.bytes) / 4; ++index) {
        Cell& cell = cells[region][index];
        cell.copied_in = block_number;
        cell.copying = under_way ? 15 : 0;
        cell.copy_thread = uint16_t(current->number);
        cell.copy_site = uint32_t(site_of(reinterpret_cast<uint64_t>(copy.where)));
    }
}

// A copy reads its source, and writes its destination, at any time between its beginning and the wait for it.
SIMULATOR_OWN static void touch_both(const Copy& copy, bool counted) {
    const uint64_t where = reinterpret_cast<uint64_t>(copy.where);
    if (copy.valid_bytes)
        touch(reinterpret_cast<uint64_t>(copy.from), size_t(copy.valid_bytes), READ | COPY, where, counted);
    touch(reinterpret_cast<uint64_t>(copy.to), size_t(copy.bytes), WRITE | COPY, where | DESTINATION, counted);
}

SIMULATOR_OWN static void watch_copy_begins(const Copy& copy) {
    touch_both(copy, true);
    set_copying(copy, true);
}

SIMULATOR_OWN static void watch_copy_arrives(const Copy& copy) {
    set_copying(copy, false);
    touch_both(copy, false);
}

// ---- what the scheduler tells ----------------------------------------------------------------------------------------

SIMULATOR_OWN static void watch_launch_begins() {
    finding_count = channel_count = touched_count = suspect_count = 0;
    memset(sites, 0, sizeof sites);
    block_total = uint64_t(grid.x) * grid.y * grid.z;
    for (int i = 0; i < region_count; ++i)
        if (!regions[i].begin) {  // dynamic shared memory, allocated by now
            const uint64_t begin = reinterpret_cast<uint64_t>(dynamic_shared), end = begin + dynamic_shared_bytes;
            regions[i] = {begin, end, begin - DYNAMIC_GUARD, end + DYNAMIC_GUARD, Space::shared, 0};
        }
    for (int i = 0; i < region_count; ++i) {
        const size_t bytes = ((regions[i].end - regions[i].begin) / 4 + 1) * sizeof(Cell);
        void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) abort();
        cells[i] = static_cast<Cell*>(memory);
    }
}

SIMULATOR_OWN static void watch_launch_ends() {
    for (int i = 0; i < region_count; ++i) munmap(cells[i], ((regions[i].end - regions[i].begin) / 4 + 1) * sizeof(Cell));
    for (int i = 0; i < channel_count; ++i) {
        for (uint64_t b = 0; b < block_total; ++b) free(channels[i].by_block[b].times);
        free(channels[i].by_block);
    }
    channel_count = 0;
    for (Site& site : sites) free(site.requests), site.requests = nullptr, site.held = site.used = 0;
}

SIMULATOR_OWN static void watch_block_begins() {
    block_number = 1 + block_index.x + grid.x * (block_index.y + grid.y * block_index.z);
    epoch = 1;
    acquired_count = 0;
    memset(fenced, 0, sizeof fenced);
    memset(fenced_times, 0, sizeof fenced_times);
    fenced_epoch = 0;
    for (int i = 0; i < thread_count; ++i) {
        memset(clocks[i], 0, sizeof clocks[i]);
        clocks[i][i % LANES] = 1;
    }
}

SIMULATOR_OWN static void watch_barrier() {
    tell_suspects();
    for (int i = 0; i < thread_count; ++i) {
        if (fenced[i].epoch != epoch) continue;
        fenced_epoch = epoch;
        for (int lane = 0; lane < LANES; ++lane) raise_to(fenced_times[i - i % LANES + lane], fenced[i].times[lane]);
    }
    ++epoch;
}

SIMULATOR_OWN static void watch_block_ends() {
    if (failure[0]) suspect_count = 0;  // who would have written did not come so far
    tell_suspects();
}

SIMULATOR_OWN static void watch_lanes_in_order(Fiber* warp, unsigned mask) {
    const int first = warp[0].number, lanes = thread_count - first < LANES ? thread_count - first : LANES;
    uint32_t joined[LANES] = {};
    Fenced joined_fences = {};
    for (int lane = 0; lane < lanes; ++lane) {
        if (!(mask >> lane & 1)) continue;
        raise_to(joined_fences.epoch, fenced[first + lane].epoch);
        for (int i = 0; i < LANES; ++i) {
            raise_to(joined[i], clocks[first + lane][i]);
            raise_to(joined_fences.times[i], fenced[first + lane].times[i]);
        }
    }
    for (int lane = 0; lane < lanes; ++lane) {
        if (!(mask >> lane & 1)) continue;
        memcpy(clocks[first + lane], joined, sizeof joined);
        ++clocks[first + lane][lane];
        fenced[first + lane] = joined_fences;
    }
    for (int i = 0; i < acquired_count; ++i) {
        uint32_t& of_warp = acquired[i].threads[first / LANES];
        if (acquired[i].epoch == epoch && of_warp & mask) of_warp |= mask;
    }
}

// ---- what the compiler's instrumentation calls -----------------------------------------------------------------------

SIMULATOR_OWN static void touch_from(const void* address, size_t size, uint8_t kind, const void* where) {
    if (running) touch(reinterpret_cast<uint64_t>(address), size, kind, reinterpret_cast<uint64_t>(where));
}

}  // namespace simulator

#define SIMULATOR_INSTRUMENT_EXPORT extern "C" SIMULATOR_VISIBLE SIMULATOR_OWN
#define SIMULATOR_INSTRUMENT extern "C" SIMULATOR_OWN
#define SIMULATOR_WATCH(size)                                                                                        \
    SIMULATOR_INSTRUMENT void __tsan_read##size(void* p) { simulator::touch_from(p, size, simulator::READ, __builtin_return_address(0)); } \
    SIMULATOR_INSTRUMENT void __tsan_write##size(void* p) { simulator::touch_from(p, size, simulator::WRITE, __builtin_return_address(0)); } \
    SIMULATOR_INSTRUMENT void __tsan_unaligned_read##size(void* p) { simulator::touch_from(p, size, simulator::READ, __builtin_return_address(0)); } \
    SIMULATOR_INSTRUMENT void __tsan_unaligned_write##size(void* p) { simulator::touch_from(p, size, simulator::WRITE, __builtin_return_address(0)); }
SIMULATOR_WATCH(1) SIMULATOR_WATCH(2) SIMULATOR_WATCH(4) SIMULATOR_WATCH(8) SIMULATOR_WATCH(16)
SIMULATOR_INSTRUMENT void __tsan_read_range(void* p, long n) { simulator::touch_from(p, size_t(n), simulator::READ, __builtin_return_address(0)); }
SIMULATOR_INSTRUMENT void __tsan_write_range(void* p, long n) { simulator::touch_from(p, size_t(n), simulator::WRITE, __builtin_return_address(0)); }
SIMULATOR_INSTRUMENT void __tsan_func_entry(void*) {}
SIMULATOR_INSTRUMENT void __tsan_func_exit(void*) {}
SIMULATOR_INSTRUMENT void __tsan_init() {}

// A kernel's memcpy, memmove and memset, by what cuda.h defines at its end; and clang's own, for large structures. They
// count as a loop over words of 4 bytes, which is what they are on a GPU.
namespace simulator {
SIMULATOR_OWN static void touch_words(const void* begin, size_t size, uint8_t kind, const void* where) {
    const char* address = static_cast<const char*>(begin);
    for (size_t i = 0; i < size; i += 4) touch_from(address + i, size - i < 4 ? size - i : 4, kind, where);
}
}  // namespace simulator
SIMULATOR_INSTRUMENT void* __tsan_memcpy(void* to, const void* from, size_t n) noexcept {
    simulator::touch_words(from, n, simulator::READ, __builtin_return_address(0));
    simulator::touch_words(to, n, simulator::WRITE, __builtin_return_address(0));
    return memcpy(to, from, n);
}
SIMULATOR_INSTRUMENT void* __tsan_memmove(void* to, const void* from, size_t n) noexcept {
    simulator::touch_words(from, n, simulator::READ, __builtin_return_address(0));
    simulator::touch_words(to, n, simulator::WRITE, __builtin_return_address(0));
    return memmove(to, from, n);
}
SIMULATOR_INSTRUMENT void* __tsan_memset(void* to, int value, size_t n) noexcept {
    simulator::touch_words(to, n, simulator::WRITE, __builtin_return_address(0));
    return memset(to, value, n);
}

namespace simulator {

struct Place { const char* file; uint32_t line, column; };   // how UBSan's records begin
struct Misfit { Place place; const void* type; uint8_t log_alignment, check; };

SIMULATOR_OWN static void undefined(Kind kind, const void* record, const char* what, bool fatal) {
    if (!running) return;
    const Place& place = *static_cast<const Place*>(record);
    Found* found = find(kind, 0, 0, place.file, int(place.line));
    if (found) snprintf(found->what, sizeof found->what, "%s", what);
    if (fatal) stop();
}

}  // namespace simulator

#define SIMULATOR_UNDEFINED(name, parameters, kind, what, fatal)                                                     \
    SIMULATOR_INSTRUMENT void __ubsan_handle_##name parameters { simulator::undefined(simulator::Kind::kind, record, what, fatal); }
SIMULATOR_UNDEFINED(add_overflow, (void* record, void*, void*), undefined_arithmetic, "a sum overflows its signed type", false)
SIMULATOR_UNDEFINED(sub_overflow, (void* record, void*, void*), undefined_arithmetic, "a difference overflows its signed type", false)
SIMULATOR_UNDEFINED(mul_overflow, (void* record, void*, void*), undefined_arithmetic, "a product overflows its signed type", false)
SIMULATOR_UNDEFINED(negate_overflow, (void* record, void*), undefined_arithmetic, "a negation overflows its signed type", false)
SIMULATOR_UNDEFINED(divrem_overflow, (void* record, void*, void*), undefined_arithmetic, "divides by zero, or the least integer by -1", true)
SIMULATOR_UNDEFINED(shift_out_of_bounds, (void* record, void*, void*), undefined_arithmetic, "shifts by a negative number of bits, or by as many as the type has", false)

SIMULATOR_INSTRUMENT void __ubsan_handle_out_of_bounds(void* record, void* index) {
    char what[160];
    snprintf(what, sizeof what, "index %lld lies outside of its dimension of the array", static_cast<long long>(int(intptr_t(index))));
    simulator::undefined(simulator::Kind::out_of_bounds, record, what, true);
}
SIMULATOR_INSTRUMENT void __ubsan_handle_type_mismatch_v1(void* record, void* pointer) {
    char what[160];
    snprintf(what, sizeof what, "an address expected to be a multiple of %d is %d bytes past one",
             1 << static_cast<simulator::Misfit*>(record)->log_alignment,
             int(reinterpret_cast<uint64_t>(pointer) & ((1ull << static_cast<simulator::Misfit*>(record)->log_alignment) - 1)));
    simulator::undefined(simulator::Kind::misaligned, record, what, true);
}

// ---- what watched.py calls -------------------------------------------------------------------------------------------

SIMULATOR_INSTRUMENT_EXPORT int watch_regions(const simulator::Region* given, int count, uint64_t begin, uint64_t end) {
    if (count > simulator::MAX_REGIONS) return -1;
    memcpy(simulator::regions, given, size_t(count) * sizeof *given);
    simulator::region_count = count, simulator::image_begin = begin, simulator::image_end = end;
    return 0;
}

// Where thread-local variables begin, for the thread that asks.
SIMULATOR_INSTRUMENT_EXPORT uint64_t watch_shared() {
    simulator::find_shared();
    return reinterpret_cast<uint64_t>(+simulator::shared_begin);
}

SIMULATOR_INSTRUMENT_EXPORT int watch_findings(simulator::Found* found) {
    memcpy(found, simulator::findings, size_t(simulator::finding_count) * sizeof *found);
    return simulator::finding_count;
}

SIMULATOR_INSTRUMENT_EXPORT int watch_counts(simulator::Counts* counts) {
    int n = 0;
    for (const simulator::Site& site : simulator::sites)
        if (site.where && (site.counts.loads || site.counts.stores || site.counts.shared_requests)) counts[n++] = site.counts;
    return n;
}
