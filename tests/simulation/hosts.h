// SPDX-License-Identifier: GPL-3.0-or-later
// The receiving side of the world: mail hosts of every kind, on one Io, and what they saw.
//
// The insight: a host is its manners, a few probabilities and delays; moods (storms, greylisting,
// tarpits, drops in every phase) are the same code with other numbers. It keeps the protocol
// strictly and notes when its peer does not.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ledger.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/prng.h"
#include "ringmta/ring/io.h"
#include "ringmta/sim/world.h"

namespace ringmta::simulation {

struct Manners {
  // What it offers.
  bool esmtp = true, pipelining = true, chunking = false, size = true, enhanced = true;
  // What goes wrong, one time in so many; 0: never. They hold while the world is in trouble.
  uint32_t temporary = 0;           // 4xx to any command or content
  uint32_t permanent = 0;           // 5xx, likewise
  uint32_t shutdown = 0;            // 421 and close
  uint32_t drop = 0;                // the connection is closed instead of a reply
  uint32_t drop_late = 0;           // likewise, in the middle of a content and at QUIT
  uint32_t lost_reply = 0;          // content is taken, and the connection reset instead of the 250
  uint32_t silent = 0;              // no reply any more, and nothing is read
  uint32_t half_close = 0;          // it finishes sending, and goes on taking what comes
  bool greylists = false;           // 450 to a recipient's first attempt, for a minute
  Milliseconds delay_max{0};        // before each reply
  Milliseconds content_delay{0};    // before the reply to a content, always
  uint32_t connections_max = 1000;  // more: 421
  bool trap = false;                // its address is known by forged answers only: nobody may come
};

// A time in which a host answers nearly everything in the same way.
enum class Storm : uint8_t { none, temporary, permanent, shutdown };

class Hosts final {
 public:
  Hosts(sim::World& world, Ledger& ledger, uint64_t seed);

  // A host at `address`, of the site `site` (equal numbers share the relay's connection limit).
  void add(const SocketAddress& address, uint32_t site, const Manners& manners);
  void set_limit(uint32_t connections_per_site, Milliseconds slack) {
    limit_ = connections_per_site;
    slack_ = slack;
  }
  void set_trouble(bool trouble) { trouble_ = trouble; }
  void set_storm(uint32_t site, Storm storm);

 private:
  struct Host {
    SocketAddress address;
    uint32_t site = 0;
    Manners manners;
    Storm storm = Storm::none;
    uint32_t open = 0;
    std::map<std::string, Monotonic, std::less<>> grey;
  };
  struct Site {
    uint32_t open = 0;
    Monotonic over_since = Monotonic::never();
  };
  struct Taken {
    uint32_t number = 0;
    std::string address;
    bool notice = false;
  };
  struct Session {
    Host* host = nullptr;
    ring::StreamId stream{};
    std::string input, output, sending;
    size_t looked_at = 0;  // of `input`, for the end of the content
    std::string history;   // of commands and replies, for who has to find out
    std::deque<std::pair<Monotonic, std::string>> later;  // replies that take their time
    std::string from;
    std::vector<std::string> to;
    std::vector<Taken> taken;  // and not confirmed yet
    std::string content;
    uint64_t chunk_left = 0;
    bool hello = false, mail = false, data = false, chunk = false, last = false;
    bool is_sending = false, ending = false, gone = false, deaf = false, counted = true;
    bool mute = false;  // it has finished sending
  };

  void turn();
  void on_event(const ring::Event& event);
  void on_accepted(const ring::Event& event);
  void consume(Session& session);
  bool consume_content(Session& session);
  void on_line(Session& session, std::string_view line);
  void on_recipient(Session& session, std::string_view line);
  void on_content(Session& session);
  void take(Session& session);
  void take_notice(Session& session);
  std::string capabilities(const Host& host) const;
  // True: something else than the reply happened.
  bool struck(Session& session, std::string_view phase);
  bool drops_late(Session& session, const char* when);
  bool storms(Session& session);
  void fall_mute(Session& session);
  void reply(Session& session, std::string text);
  void pump(Session& session);
  void leave(Session& session, ring::CloseMode mode);
  void count_out(Session& session);
  void watch_limits();
  bool happens(uint32_t one_in) { return trouble_ && one_in > 0 && random_.below(one_in) == 0; }

  sim::World& world_;
  Ledger& ledger_;
  Prng random_, late_random_;
  std::unique_ptr<ring::Io> io_;
  std::vector<std::unique_ptr<Host>> hosts_;  // by the number in their listener's token
  std::map<uint32_t, Site> sites_;
  std::map<ring::StreamId, std::unique_ptr<Session>> sessions_;
  uint32_t limit_ = UINT32_MAX;
  Milliseconds slack_{};
  bool trouble_ = false;
};

}  // namespace ringmta::simulation
