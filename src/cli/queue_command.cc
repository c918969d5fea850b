// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta queue`: a page of recipients as a table, one message in full, or a change and how many
// it concerned.
#include <fmt/format.h>

#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>
#include <ostream>

#include "commands.h"
#include "control_client.h"
#include "table.h"
#include "text.h"

namespace ringmta::cli {
namespace {

using Json = nlohmann::json;
using What = QueueCommand::What;

constexpr Milliseconds kPatience = seconds(120);  // a change walks the whole queue
constexpr size_t kRowsAtOnce = 1000;

Json request_of(const QueueCommand& command) {
  constexpr const char* kNames[] = {"queue.list", "queue.show", "queue.retry", "queue.remove"};
  Json filter = Json::object();
  const auto put = [&filter](const char* name, const std::string& value) {
    if (!value.empty()) filter[name] = value;
  };
  put("id", command.id);
  put("domain", command.domain);
  put("sender", command.sender);
  put("site", command.site);
  Json request{{"command", kNames[static_cast<size_t>(command.what)]}, {"filter", filter}};
  if (command.all) request["all"] = true;
  request["limit"] = command.limit == 0 || command.what == What::show
                         ? uint64_t{std::numeric_limits<int64_t>::max()}
                         : command.limit;
  return request;
}

std::string text_in(const Json& entry, const char* name) {
  const auto found = entry.find(name);
  return found != entry.end() && found->is_string() ? harmless(found->get<std::string>()) : "";
}

int64_t number_in(const Json& entry, const char* name) {
  const auto found = entry.find(name);
  return found != entry.end() && found->is_number() ? found->get<int64_t>() : 0;
}

int64_t now_ms() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since).count();
}

std::string sender_of(const Json& entry) {
  const std::string sender = text_in(entry, "sender");
  return sender.empty() ? "<>" : sender;
}

std::string age_of(const Json& entry) {
  return span_text({std::max<int64_t>(0, now_ms() - number_in(entry, "arrival_ms"))});
}

// When it is tried next.
std::string next_of(const Json& entry) {
  const std::string state = text_in(entry, "state");
  if (state == "active") return "under way";
  if (state == "ready") return "now";
  const int64_t at = number_in(entry, "next_attempt_ms");
  if (state == "unresolved" && at <= 0) return "asking DNS";
  const int64_t wait = at - now_ms();
  return wait > 0 ? "in " + span_text({wait}) : "now";
}

class Lister final {
 public:
  Lister(const Console& console, bool json) : console_(console), json_(json) {}

  bool line(const Json& entry) {
    if (entry.value("end", false)) {
      limited_ = entry.value("limited", false);
      return true;
    }
    ++entries_;
    if (json_) {
      console_.out << entry.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    } else {
      table_.add({text_in(entry, "id"), text_in(entry, "recipient"), sender_of(entry),
                  text_in(entry, "site"), age_of(entry),
                  count_text(static_cast<uint64_t>(number_in(entry, "attempts"))), next_of(entry),
                  text_in(entry, "last_reply")});
      if (table_.rows() >= kRowsAtOnce) table_.print(console_.out);
    }
    return static_cast<bool>(console_.out);
  }
  void finish(uint64_t limit) {
    if (!table_.empty()) table_.print(console_.out);
    if (!json_ && entries_ == 0) console_.out << "Nothing waits.\n";
    if (limited_) {
      console_.err << fmt::format("The first {}; there may be more (--limit 0 shows all).\n",
                                  limit);
    }
  }

 private:
  const Console& console_;
  bool json_;
  bool limited_ = false;
  uint64_t entries_ = 0;
  Table table_{{{"id", Align::left},
                {"recipient", Align::left},
                {"sender", Align::left},
                {"site", Align::left},
                {"age"},
                {"tries"},
                {"next", Align::left},
                {"last reply", Align::left}}};
};

void show_entry(const Json& entry, bool first, std::ostream& out) {
  if (first) {
    out << fmt::format("{} from {}, {}, {} old, on shard {}\n", text_in(entry, "id"),
                       sender_of(entry),
                       octets_text(static_cast<uint64_t>(number_in(entry, "size"))), age_of(entry),
                       number_in(entry, "shard"));
  }
  const int64_t attempts = number_in(entry, "attempts");
  out << fmt::format("  {} by {}: {}, {} attempt{}, next {}\n", text_in(entry, "recipient"),
                     text_in(entry, "site"), text_in(entry, "state"), attempts,
                     attempts == 1 ? "" : "s", next_of(entry));
  if (const std::string reply = text_in(entry, "last_reply"); !reply.empty()) {
    out << "    " << reply << '\n';
  }
}

int failed(const Console& console, const Error& error) {
  return complain(console, error.message, error.code != 0 ? kUnreachable : kFailed);
}

int list(const QueueCommand& command, ControlClient& client, const Console& console) {
  Lister lister(console, command.json);
  const Status asked =
      client.ask(request_of(command), [&](const Json& line) { return lister.line(line); });
  lister.finish(command.limit);
  return asked ? kDone : failed(console, asked.error());
}

int show(const QueueCommand& command, ControlClient& client, const Console& console) {
  uint64_t entries = 0;
  const Status asked = client.ask(request_of(command), [&](const Json& line) {
    if (line.value("end", false)) return true;
    if (command.json) {
      console.out << line.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    } else {
      show_entry(line, entries == 0, console.out);
    }
    ++entries;
    return true;
  });
  if (!asked) return failed(console, asked.error());
  if (entries > 0) return kDone;
  return complain(
      console,
      fmt::format("{} is not in the queue: it never was, or all its recipients are final (the "
                  "events tell)",
                  harmless(command.id)),
      kFailed);
}

int change(const QueueCommand& command, ControlClient& client, const Console& console) {
  uint64_t recipients = 0;
  const Status asked = client.ask(request_of(command), [&](const Json& line) {
    recipients = line.value("recipients", uint64_t{0});
    return true;
  });
  if (!asked) return failed(console, asked.error());
  if (command.json) {
    console.out << Json{{"recipients", recipients}}.dump() << '\n';
    return kDone;
  }
  console.out << fmt::format("{} recipient{} {}.\n", count_text(recipients),
                             recipients == 1 ? "" : "s",
                             command.what == What::retry ? "due now" : "removed");
  return kDone;
}

}  // namespace

int queue_command(const QueueCommand& command, const Console& console) {
  const bool changes = command.what == What::retry || command.what == What::remove;
  const bool filtered = !command.id.empty() || !command.domain.empty() || !command.sender.empty() ||
                        !command.site.empty();
  if (changes && filtered == command.all) {
    return complain(console,
                    "say which recipients: --id, --domain, --sender or --site (all given must "
                    "match), or --all for the whole queue",
                    kMistake);
  }
  const Result<std::string> socket = find_socket(command.place);
  if (!socket) return complain(console, socket.error().message, kMistake);
  Result<ControlClient> client = ControlClient::connect(*socket, kPatience);
  if (!client) return complain(console, client.error().message, kUnreachable);
  switch (command.what) {
    case What::list:
      return list(command, *client, console);
    case What::show:
      return show(command, *client, console);
    case What::retry:
    case What::remove:
      break;
  }
  return change(command, *client, console);
}

}  // namespace ringmta::cli
