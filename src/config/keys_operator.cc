// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about what the operator sees.
#include <fmt/format.h>

#include "key.h"
#include "names.h"
#include "values.h"

namespace ringmta::config {
namespace {

// A Unix socket's path has 107 octets (unix(7)); the socket is made under a name with ".PID" first.
constexpr size_t kSocketPathMax = 99;

Status check_socket_path(std::string_view text) {
  if (const Status fine = check_path(text); !fine) return fine;
  if (text.size() <= kSocketPathMax) return {};
  return fail(fmt::format("\"{}\" has {} octets, a socket's path may have {}: choose a shorter one",
                          text, text.size(), kSocketPathMax));
}

Status read_mode(Settings& settings, const Value& value) {
  const std::string* text = value.as<std::string>();
  const bool octal = text != nullptr && text->size() >= 3 && text->size() <= 4 &&
                     text->find_first_not_of("01234567") == std::string::npos &&
                     (text->size() == 3 || text->front() == '0');
  if (!octal) {
    return fail(
        "expects permissions as octal digits in quotes: write mode = \"0600\" (the relay's "
        "user), \"0660\" (its group too)");
  }
  settings.control.mode = static_cast<uint32_t>(std::stoul(*text, nullptr, 8));
  return {};
}

std::string show_mode(const Settings& settings) {
  return quoted(fmt::format("{:04o}", settings.control.mode));
}

constexpr Key kKeys[] = {
    {.section = "events",
     .name = "file",
     .kind = Text{RINGMTA_AT(events.file), check_path, "absolute path", true},
     .meaning = "One JSON line per recipient and outcome, see [events.md](events.md). Empty: none "
                "are written. SIGHUP opens it anew after it was moved away.",
     .example = "\"/var/log/ringmta/events.jsonl\""},
    {.section = "events",
     .name = "buffer_max",
     .kind = Size{Whole{RINGMTA_AT(events.buffer_max), 65536, 1ULL << 34}},
     .meaning = "Lines kept per shard while the file cannot be written. Beyond it new ones are "
                "lost and counted; mail is not held up."},
    {.section = "events",
     .name = "flush_after",
     .kind = Duration{RINGMTA_AT(events.flush_after), {1}, seconds(10)},
     .meaning = "How long a line may wait for company."},

    {.section = "control",
     .name = "socket",
     .kind = Text{RINGMTA_AT(control.socket), check_socket_path, "absolute path", true},
     .meaning = "The Unix socket that `ringmta status` and `ringmta queue` speak to; its directory "
                "must exist. Empty: none."},
    {.section = "control",
     .name = "mode",
     .kind = Special{read_mode, show_mode, "permissions, octal"},
     .meaning = "Who may use it: whoever may write to the socket may remove mail."},

    {.section = "metrics",
     .name = "listen",
     .kind = Addresses{RINGMTA_AT(metrics.listen), 0},
     .meaning = "Where `/metrics` answers in the text format of Prometheus, see "
                "[metrics.md](metrics.md). Empty: nowhere.",
     .example = "[\"127.0.0.1:9465\"]"},
};

}  // namespace

std::span<const Key> operator_keys() { return kKeys; }

}  // namespace ringmta::config
