// SPDX-License-Identifier: GPL-3.0-or-later
// The sink's side of an SMTP session, without any I/O: octets in, octets out, and a wish what is to
// happen with the connection. Strict about what the sink did not offer, since a relay that uses it
// has a bug.
//
// The insight: whatever is in one receive buffer is answered with one write; replies are copied
// from constants, the message goes through the scanner as a view, so a message costs no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ringmta/base/prng.h"
#include "tools/common/dot_stream.h"
#include "tools/sink/auth.h"
#include "tools/sink/checker.h"
#include "tools/sink/counts.h"
#include "tools/sink/ledger.h"
#include "tools/sink/options.h"
#include "tools/sink/rules.h"

namespace ringmta::tools {

// What all sessions of a thread share.
struct SinkContext {
  const SinkOptions& options;
  const RuleSet& rules;
  Ledger& ledger;
  CorruptSamples& corrupt_samples;
  SinkCounts& counts;
  uint32_t thread = 0;
  uint64_t sequence = 0;  // of recorded messages
  std::string ehlo_reply{};
  std::string secure_ehlo_reply{};  // the same under TLS
  const SinkAuth* auth = nullptr;
  Prng prng{1};

  SinkContext(const SinkOptions& sink_options, const RuleSet& rule_set, Ledger& sink_ledger,
              CorruptSamples& samples, SinkCounts& sink_counts, uint32_t thread_number,
              const SinkAuth* sink_auth = nullptr);
};

class SinkSession final {
 public:
  static constexpr size_t kLineMax = 8192;

  enum class Want : uint8_t {
    more,   // input
    hold,   // nothing for hold_ms(), then call resume(); out() may be sent meanwhile
    stall,  // read and forget; never reply again
    close,  // after out() has left
    reset,  // at once, with a RST
    tls     // after out() has left TLS begins; then secured()
  };

  SinkSession(SinkContext& context, std::string_view peer, std::string_view listener,
              ListenerCounts& listener_counts);

  void start();  // the greeting
  // How much of `data` was taken; less than all only when want() is not `more`.
  size_t receive(std::string_view data);
  void resume();
  void secured();  // all from here on is under TLS: before start(), or after Want::tls
  // The connection is gone.
  void ended();
  // The sink is leaving: the closing reply when no transaction is open (then want() is close).
  void shut_down();

  Want want() const { return want_; }
  std::string& out() { return out_; }
  uint32_t hold_ms() const { return hold_ms_; }
  // How what is in out() shall be sent: 0, or octets at a time with a gap between; asked once per
  // sending.
  struct Split {
    uint32_t octets = 0;
    uint32_t gap_ms = 0;
  };
  Split take_split() { return std::exchange(split_, {}); }
  bool in_transaction() const {
    return state_ == State::data || state_ == State::chunk || has_sender_;
  }

 private:
  enum class State : uint8_t { command, auth, data, chunk };

  // What is needed to call a delivery unsure when the connection breaks.
  struct Delivered {
    std::string run;
    uint64_t index = 0;
    std::vector<uint64_t> recipients;
    bool valid = false;
  };

  void on_line(std::string_view line);
  void on_hello(std::string_view argument, bool extended);
  void on_starttls(std::string_view argument);
  void on_auth(std::string_view argument);
  void auth_result(SinkExchange::Result result);
  void on_mail(std::string_view argument);
  void on_recipient(std::string_view argument);
  void on_data(std::string_view argument);
  void on_chunk(std::string_view argument);
  void on_quit();
  size_t feed_data(std::string_view data);
  size_t feed_chunk(std::string_view data);
  void begin_message();
  void content(std::string_view piece);
  void end_message();
  void take_message();
  bool record();
  void reset_transaction();

  const Action* match(Phase phase, std::string_view sender, std::string_view recipients);
  // Carries out what `action` says; false when the normal reply shall be given.
  bool perform(const Action& action);
  // Delay and drop of the action, once the reply is in out().
  void finish_action(const Action& action, size_t reply_from);
  void reply(int code, std::string_view text);
  bool check_mail_parameters(std::string_view parameters);
  bool check_recipient_parameters(std::string_view parameters);

  SinkContext& context_;
  ListenerCounts& listener_counts_;
  const std::string peer_;
  const std::string listener_;

  State state_ = State::command;
  Want want_ = Want::more;
  Want after_hold_ = Want::more;
  bool greeted_ = false;
  bool secure_ = false;
  bool authenticated_ = false;
  std::unique_ptr<SinkExchange> exchange_;
  bool has_sender_ = false;
  bool too_large_ = false;
  bool quit_ = false;
  bool last_chunk_ = false;
  bool chunk_refused_ = false;  // its octets are read and thrown away
  bool in_chunks_ = false;
  uint32_t recipients_ = 0;
  uint32_t transaction_recipients_ = 0;  // asked for, accepted or not
  uint32_t hold_ms_ = 0;
  Split split_{};
  uint64_t chunk_left_ = 0;
  uint64_t message_octets_ = 0;
  uint64_t messages_ = 0;
  uint64_t delivered_number_ = 0;

  std::string out_;
  std::string held_;  // the reply that a rule holds back
  std::string line_;  // a command that is not whole yet
  std::string hello_;
  std::string sender_;
  std::string sender_parameters_;
  std::string recipient_text_;   // one address a line, when rules or the record need it
  std::string recipient_lines_;  // for the record, with parameters
  std::string message_;          // for the record
  std::vector<uint64_t> recipient_hashes_;
  std::array<Delivered, 2> delivered_;  // the last two messages: pipelining acknowledges one late
  DotReader dots_;
  MessageChecker checker_;
};

}  // namespace ringmta::tools
