// SPDX-License-Identifier: GPL-3.0-or-later
// One connection of the load: an SMTP client that always knows what it has asked and what must be
// answered.
//
// The insight: with pipelining the steady state is one write and one read per message. The write
// holds the body of this message, the final dot and the envelope of the next; the read holds the
// 250 for this one and 250, 250, 354 for the next. A queue of expected replies keeps both apart,
// and lock step is the same code with a queue of length one.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ringmta/ring/io.h"
#include "ringmta/tls/session.h"
#include "tools/load/mail.h"
#include "tools/load/reply_reader.h"

namespace ringmta::tools {

class Worker;

// A message to be sent, or what is left of it.
struct Job {
  uint64_t index = 0;
  uint32_t attempts = 0;          // refusals so far
  uint32_t losses = 0;            // connections lost before its data was sent
  bool counted = false;           // already accepted for some of its recipients
  std::vector<uint16_t> pending;  // ordinals of the recipients still to be sent to; empty = all
};

class Session final {
 public:
  Session(Worker& worker, uint32_t number) : worker_(worker), number_(number) {}

  void connect(const SocketAddress& target);
  void on_event(const ring::Event& event);
  // Goes on when there is a job, or nothing more to do.
  void advance();
  // Gives the connection up when the peer has been silent for too long.
  void check_timeout(Monotonic now, Milliseconds limit);
  void quit();

  bool idle() const { return state_ == State::open && !active_ && !finishing_ && !quit_sent_; }
  bool connected() const { return state_ == State::open; }
  bool gone() const { return state_ == State::closed; }
  bool gave_up() const { return gave_up_; }
  // Since when it has tried to get a working connection; ns = 0: it has one, or had one a moment
  // ago.
  Monotonic trying_since() const { return trying_since_; }
  void give_up() { gave_up_ = true; }
  uint32_t number() const { return number_; }

 private:
  enum class State : uint8_t {
    closed,
    connecting,
    greeting,
    hello,
    open,
    closing
  };  // TLS: under it
  enum class Command : uint8_t {
    greeting,
    hello,
    starttls,
    auth,
    reset,
    mail,
    recipient,
    data,
    end_of_data,
    chunk,
    quit
  };
  enum class Step : uint8_t { reset, mail, recipient, data, wait, content };

  struct Transaction {
    Job job;
    MailPlan plan;
    Step step = Step::mail;
    uint32_t next_recipient = 0;
    uint32_t accepted_recipients = 0;
    uint32_t rejected_recipients = 0;
    int refusal = 0;  // the first code that refused the whole transaction
    bool data_sent = false;
    bool final_250 = false;          // read behind the end of its data
    bool only_dot = false;           // 354 came though no recipient was accepted
    std::vector<uint16_t> deferred;  // recipients answered 4xx
    uint64_t data_sent_ns = 0;

    uint32_t recipients() const {
      return job.pending.empty() ? plan.recipients : static_cast<uint32_t>(job.pending.size());
    }
    uint16_t ordinal(uint32_t i) const {
      return job.pending.empty() ? static_cast<uint16_t>(i) : job.pending[i];
    }
  };
  struct Piece {
    const char* fixed;  // null: in out_
    size_t offset;
    size_t length;
  };

  // Writing.
  bool emit_one();
  void emit(Command expected);
  void emit_envelope_line();
  void emit_content(Transaction& transaction, bool chunk);
  void add_fixed(std::string_view text);
  void close_piece();
  void flush();

  // TLS.
  void begin_tls();
  void on_sealed(Bytes data);
  void send_sealed();

  // Reading.
  void on_received(std::string_view data);
  bool on_line(const ReplyLine& line);
  void on_reply(int code, std::string_view text);
  void on_mail_reply(int code, std::string_view text);
  void on_recipient_reply(int code, std::string_view text);
  void on_data_reply(int code, std::string_view text);
  void note_final(Transaction& transaction, int code);
  void on_end_reply(Transaction& transaction, int code, std::string_view text);
  void greet(std::string_view command);
  void ask_for_tls();
  void log_in();
  void on_lost(int error);
  void close(ring::CloseMode mode);
  void drop_transactions();
  void refuse_active(int code);

  Worker& worker_;
  const uint32_t number_;
  State state_ = State::closed;
  bool sending_ = false;
  bool quit_sent_ = false;
  bool reset_needed_ = false;
  bool said_helo_ = false;
  std::string_view greet_waits_;  // "EHLO " or "HELO ", for the send in flight; and so do these
  bool starttls_waits_ = false;
  bool auth_waits_ = false;
  bool tls_waits_ = false;
  bool gave_up_ = false;
  bool has_size_ = false;
  bool has_8bitmime_ = false;
  bool has_smtputf8_ = false;
  bool has_chunking_ = false;
  bool has_pipelining_ = false;
  bool has_starttls_ = false;
  bool large_data_in_flight_ = false;
  ring::StreamId stream_{};
  uint64_t messages_started_ = 0;
  Monotonic last_activity_{};
  Monotonic trying_since_{};

  std::optional<Transaction> active_;
  std::optional<Transaction> finishing_;  // its end of data is sent, the reply is awaited
  std::vector<Command> expected_;
  size_t expected_first_ = 0;

  std::optional<tls::Session> tls_;
  std::string sealed_;  // with the kernel
  std::string opened_;  // of a record: what is answered to it is sealed in the same memory

  std::string out_;
  std::vector<Piece> pieces_;
  size_t piece_start_ = 0;
  ReplyReader replies_;
  uint32_t recipient_reply_ = 0;  // whose RCPT is answered next
};

}  // namespace ringmta::tools
