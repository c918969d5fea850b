// SPDX-License-Identifier: GPL-3.0-or-later
// The sending side of the world: clients that hand mail to the relay in every manner there is, and
// remember what they were told. A message whose reply never came is not sent again: whether the
// relay has it is unknown, and both is right.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ledger.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/prng.h"
#include "ringmta/ring/io.h"
#include "ringmta/sim/world.h"

namespace ringmta::simulation {

struct SubmitterOptions {
  SocketAddress relay{};
  uint32_t sessions = 4;
  uint32_t mails_per_session = 10;
  Milliseconds over{60'000};  // mails are handed in at random times within this
  uint32_t vanish = 0;        // one in so many mails the client goes away in the middle of it
  uint32_t linger = 0;        // one in so many commands waits for up to ten seconds
  uint32_t half_close =
      0;  // one in so many contents is the last thing sent: then the client only listens
};

class Submitters final {
 public:
  Submitters(sim::World& world, Ledger& ledger, const SubmitterOptions& options, uint64_t seed);

  bool done() const { return waiting_.empty() && sessions_.empty(); }
  size_t waiting() const { return waiting_.size(); }
  void set_trouble(bool trouble) { trouble_ = trouble; }

 private:
  // What a session has been promised a reply for.
  enum class Awaits : uint8_t { greeting, hello, mail, recipient, data, content, chunk, quit };
  struct Session {
    ring::StreamId stream{};
    std::string input, sending;
    std::deque<std::string> to_send;  // pieces, one send each
    std::deque<Awaits> replies;
    Mail* mail = nullptr;
    uint32_t mails_left = 0;
    uint32_t good_recipients = 0;
    bool is_sending = false, gone = false, chunking = false, pipelining = false;
    bool vanishes = false;     // in the middle of this mail
    bool half_closes = false;  // when all is sent
    bool half_closed = false;
    Monotonic not_before{};
  };

  void turn();
  void on_event(const ring::Event& event);
  void open();
  void on_reply(Session& session, int code, std::string_view text);
  void next_mail(Session& session);
  void send_content(Session& session);
  void say(Session& session, std::string text, Awaits reply);
  void decide(Session& session, Mail::Fate fate, std::string_view reply);
  void quit(Session& session);
  void pump(Session& session);
  void leave(Session& session);
  bool happens(uint32_t one_in) { return trouble_ && one_in > 0 && random_.below(one_in) == 0; }

  sim::World& world_;
  Ledger& ledger_;
  const SubmitterOptions options_;
  Prng random_;
  std::unique_ptr<ring::Io> io_;
  std::deque<std::pair<Monotonic, Mail*>> waiting_;  // by time
  std::map<ring::StreamId, std::unique_ptr<Session>> sessions_;
  Monotonic next_open_{};
  bool trouble_ = false;
};

}  // namespace ringmta::simulation
