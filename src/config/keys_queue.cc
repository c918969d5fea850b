// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about what waits: notifications, and the spool it lies in.
#include "key.h"
#include "names.h"

namespace ringmta::config {
namespace {

constexpr std::string_view kDurabilities[] = {"sync", "relaxed"};
constexpr std::string_view kWriteModes[] = {"automatic", "direct", "buffered"};
constexpr uint64_t kMiB = 1ULL << 20;
constexpr uint64_t kTiB = 1ULL << 40;

constexpr Key kKeys[] = {
    {.section = "queue",
     .name = "postmaster",
     .kind = Text{RINGMTA_AT(queue.postmaster), check_mailbox, "mail address", true},
     .meaning = "From: of notifications. Empty: `MAILER-DAEMON@` and `hostname`.",
     .example = "\"postmaster@example.org\""},
    {.section = "queue",
     .name = "dsn_return_max",
     .kind = Size{Whole{RINGMTA_AT(queue.dsn_return_max), 0, 64 * kMiB}},
     .meaning = "Octets of the original returned with a notification where RET=FULL asks for it."},

    {.section = "queue",
     .name = "recipients_max",
     .kind = Whole{RINGMTA_AT(queue.recipients_max), 1, 1'000'000'000},
     .meaning =
         "Recipients of a shard that wait for delivery, some 172 octets of memory each. At it "
         "clients get `452 4.3.1`, and delivery goes on."},

    {.section = "spool",
     .name = "directory",
     .kind = Text{RINGMTA_AT(spool.directory), check_path, "absolute path"},
     .meaning = "Where accepted mail lies. Made when it is not there; one relay at a time."},
    {.section = "spool",
     .name = "durability",
     .kind = Choice{kDurabilities,
                    [](const Settings& s) { return static_cast<uint8_t>(s.spool.durability); },
                    [](Settings& s, uint8_t word) {
                      s.spool.durability = static_cast<spool::DurabilityMode>(word);
                    }},
     .meaning = "`\"sync\"`: a 250 follows stable storage. `\"relaxed\"`: it does not, and a power "
                "failure **loses accepted mail**; for benchmarks."},
    {.section = "spool",
     .name = "write_mode",
     .kind = Choice{kWriteModes,
                    [](const Settings& s) { return static_cast<uint8_t>(s.spool.write_mode); },
                    [](Settings& s, uint8_t word) {
                      s.spool.write_mode = static_cast<spool::WriteMode>(word);
                    }},
     .meaning = "`\"direct\"`: past the page cache (O_DIRECT). `\"buffered\"`: through it. "
                "`\"automatic\"`: direct, and buffered where the file system refuses that."},
    {.section = "spool",
     .name = "segment_size",
     .kind = Size{Whole{RINGMTA_AT(spool.segment_size), kMiB, 1024 * kMiB}},
     .meaning = "Size of a file of the log, a multiple of 4KiB. A message must fit in one."},
    {.section = "spool",
     .name = "segments_ready",
     .kind = Whole{RINGMTA_AT(spool.segments_ready), 1, 1024},
     .meaning = "Pre-written spare segments kept at hand per shard."},
    {.section = "spool",
     .name = "disk_max",
     .kind = Size{Whole{RINGMTA_AT(spool.disk_max), 0, 1024 * kTiB}},
     .meaning = "Disk space of a shard's segments; 0: what the disk has. At it clients get "
                "`452 4.3.1`."},
    {.section = "spool",
     .name = "disk_reserve",
     .kind = Size{Whole{RINGMTA_AT(spool.disk_reserve), 0, kTiB}},
     .meaning = "Left free on the file system: when there is less, clients get `452 4.3.1`, and "
                "delivery goes on."},
    {.section = "spool",
     .name = "memory_max",
     .kind = Size{Whole{RINGMTA_AT(spool.memory_max), kMiB, kTiB}},
     .meaning = "Memory for message contents per shard. Contents beyond it are read back from "
                "disk when their turn comes. Where it is not given, it is lowered so that all "
                "shards together stay below a quarter of the machine's memory."},
    {.section = "spool",
     .name = "batch_max",
     .kind = Size{Whole{RINGMTA_AT(spool.batch_max), 65536, 64 * kMiB}},
     .meaning = "Octets in one synced write; contents too big for one receive are not counted."},
    {.section = "spool",
     .name = "note_delay_max",
     .kind = Duration{RINGMTA_AT(spool.note_delay_max), {1}, seconds(10)},
     .meaning = "How long the outcome of a delivery may wait for a write: the window in which a "
                "crash makes a message be delivered twice."},
    {.section = "spool",
     .name = "compact_below_percent",
     .kind = Whole{RINGMTA_AT(spool.compact_below_percent), 0, 90},
     .meaning = "A segment with a smaller living share is emptied by moving what lives; 0: never."},
};

}  // namespace

std::span<const Key> queue_keys() { return kKeys; }

}  // namespace ringmta::config
