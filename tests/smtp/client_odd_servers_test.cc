// SPDX-License-Identifier: GPL-3.0-or-later
// The client session against servers that refuse, close, answer too much, too early or nonsense,
// and against lines that drop: every recipient gets exactly one verdict, nothing unproven is called
// delivered, and what may have been delivered is told apart from what was not.
#include <gtest/gtest.h>

#include <set>

#include "client_dialogue.h"

namespace ringmta::smtp {
namespace {

struct Case {
  const char* name;
  std::string script;
  std::string told;
};

const std::string kEnded = "4.4.2 the connection ended before the reply to ";
const std::string kBroken = "4.5.0 the peer broke the protocol: ";

std::vector<Case> cases() {
  const std::string finished1 = "1 finished\n", ready = "ready\n";
  return {
      {"refusing greeting", "< 554 5.7.1 go away\n", "close greeting 554 5.7.1 go away\n"},
      {"greeting of a busy server", "< 421-too\n< 421 busy\nabandon\n",
       "close greeting 421 too busy\n"},
      {"greeting of another protocol", "< * OK IMAP4rev1\n",
       "close greeting " + kBroken + "a reply line does not begin with a code\n"},
      {"intermediate greeting", "< 354 what\n", "close greeting 354 what\n"},
      {"no greeting", "abandon\n", ""},
      {"EHLO deferred", "< 220 mx\n--\n< 451 not now\n", "close ehlo 451 not now\n"},
      {"EHLO answered 421", "< 220 mx\n--\n< 421 bye\n", "close ehlo 421 bye\n"},
      {"EHLO and HELO refused", "< 220 mx\n--\n< 500 what\n--\n< 550 no\n", "close ehlo 550 no\n"},
      {"EHLO with different codes", "< 220 mx\n--\n< 250-mx\n< 550 x\n",
       "close ehlo " + kBroken + "the lines of one reply have different codes\n"},
      {"two greetings", "< 220 mx\n--\n< 220 mx\n< 250 mx\n",
       ready + "close mail " + kBroken + "a reply to nothing that was asked: 250 mx\n"},
      {"421 to MAIL: this one judged, what stands behind was not looked at",
       kChunking + "begin 1\nbegin 2\n< 421 4.3.2 closing\nabandon\n",
       ready +
           "1.0 mail 421 4.3.2 closing\n1.1 mail 421 4.3.2 closing\nclose mail 421 4.3.2 "
           "closing\n" +
           finished1 + "2.0 mail 421 4.3.2 closing\n2.1 mail 421 4.3.2 closing\n2 finished\n"},
      {"421 to the second RCPT", kPipelining + "begin 1\n< 250 ok\n< 550 no\n< 421 bye\nabandon\n",
       ready + "1.0 recipient 550 no\n1.1 recipient 421 bye\nclose recipient 421 bye\n" +
           finished1},
      {"421 to DATA", kPipelining + "begin 1\n< 250 ok\n< 250 ok\n< 250 ok\n< 421 bye\nabandon\n",
       ready + "1.0 data 421 bye\n1.1 data 421 bye\nclose data 421 bye\n" + finished1},
      {"421 to the content",
       kPipelining + "begin 1\n< 250 ok\n< 550 no\n< 250 ok\n< 354 go\n--\n< 421 bye\nabandon\n",
       ready + "1.0 recipient 550 no\n1.1 content 421 bye\nclose content 421 bye\n" + finished1},
      {"421 to RSET",
       kChunking + "begin 1\n< 250 ok\n< 550 no\n< 550 no\n< 503 no\nbegin 2\n< 421 bye\nabandon\n",
       ready + "1.0 recipient 550 no\n1.1 recipient 550 no\n1 finished\n2.0 mail 421 bye\n2.1 mail "
               "421 bye\n"
               "close mail 421 bye\n2 finished\n"},
      {"RSET refused",
       kChunking +
           "begin 1\n< 250 ok\n< 550 no\n< 550 no\n< 503 no\nbegin 2\n< 500 what\nabandon\n",
       ready + "1.0 recipient 550 no\n1.1 recipient 550 no\n1 finished\nclose mail " + kBroken +
           "RSET was refused: 500 what\n2.0 content " + kBroken +
           "RSET was refused: 500 what\n2.1 content " + kBroken +
           "RSET was refused: 500 what\n2 finished\n"},
      {"354 to MAIL", kLockStep + "begin 1\n< 354 go\nabandon\n",
       ready + "close mail " + kBroken + "an answer that makes no sense: 354 go\n1.0 mail " +
           kBroken + "an answer that makes no sense: 354 go\n1.1 mail " + kBroken +
           "an answer that makes no sense: 354 go\n1 finished\n"},
      {"250 to DATA (one reply too many before it): nothing was sent, nothing is delivered",
       kPipelining + "begin 1\n< 250 ok\n< 250 ok\n< 250 ok\n< 250 ok\n< 354 go\nabandon\n",
       ready + "close data " + kBroken + "an answer that makes no sense: 250 ok\n1.0 data " +
           kBroken + "an answer that makes no sense: 250 ok\n1.1 data " + kBroken +
           "an answer that makes no sense: 250 ok\n1 finished\n"},
      {"354 to the content: outcome unknown",
       kPipelining + "begin 1\n< 250 ok\n< 250 ok\n< 550 no\n< 354 go\n--\n< 354 go\nabandon\n",
       ready + "1.1 recipient 550 no\nclose content " + kBroken +
           "an answer that makes no sense: 354 go\n1.0 content " + kBroken +
           "an answer that makes no sense: 354 go\n1 finished\n"},
      {"nonsense instead of the content's reply: outcome unknown",
       kPipelining + "begin 1\n< 250 ok\n< 250 ok\n< 550 no\n< 354 go\n--\n< segfault\nabandon\n",
       ready + "1.1 recipient 550 no\nclose content " + kBroken +
           "a reply line does not begin with a code\n1.0 content " + kBroken +
           "a reply line does not begin with a code\n1 finished\n"},
      {"dropped before MAIL's reply", kPipelining + "begin 1\nabandon\n",
       ready + "1.0 mail " + kEnded + "mail\n1.1 mail " + kEnded + "mail\n1 finished\n"},
      {"dropped within MAIL's reply", kPipelining + "begin 1\n<| 250-o\nabandon\n",
       ready + "1.0 mail " + kEnded + "mail\n1.1 mail " + kEnded + "mail\n1 finished\n"},
      {"dropped between RCPT replies", kPipelining + "begin 1\n< 250 ok\n< 550 no\nabandon\n",
       ready + "1.0 recipient 550 no\n1.1 recipient " + kEnded + "recipient\n1 finished\n"},
      {"dropped before 354", kPipelining + "begin 1\n< 250 ok\n< 550 no\n< 250 ok\nabandon\n",
       ready + "1.0 recipient 550 no\n1.1 data " + kEnded + "data\n1 finished\n"},
      {"dropped after 354, the content not taken: not sent",
       kPipelining + "begin 1\nstuck\n< 250 ok\n< 550 no\n< 250 ok\n< 354 go\nabandon\n",
       ready + "1.0 recipient 550 no\n1.1 data 4.4.2 the connection ended\n1 finished\n"},
      {"dropped after the dot: outcome unknown",
       kPipelining + "begin 1\n< 250 ok\n< 550 no\n< 250 ok\n< 354 go\nabandon\n",
       ready + "1.0 recipient 550 no\n1.1 content " + kEnded + "content\n1 finished\n"},
      {"dropped while the content is being sent: outcome unknown",
       kPipelining + "begin 1\nhold\n< 250 ok\n< 550 no\n< 250 ok\n< 354 go\nabandon\n",
       ready + "1.0 recipient 550 no\n1.1 content " + kEnded + "content\n1 finished\n"},
      {"dropped after the dot, the next envelope behind it: that one is safe to try again",
       kPipelining + "begin 1\n< 250 ok\n< 550 no\n< 250 ok\n< 354 go\nbegin 2\nabandon\n",
       ready + "1.0 recipient 550 no\n1.1 content " + kEnded + "content\n1 finished\n2.0 mail " +
           kEnded + "content\n2.1 mail " + kEnded + "content\n2 finished\n"},
      {"dropped with chunks out: all unknown, but the one judged",
       kChunking + "begin 1\nbegin 2\n< 250 ok\n< 250 ok\n< 250 ok\n< 250 taken\nabandon\n",
       ready + "1.0 content 250 taken\n1.1 content 250 taken\n1 finished\n2.0 content " + kEnded +
           "mail\n2.1 content " + kEnded + "mail\n2 finished\n"},
      {"dropped with a verdict of our own not told yet",
       kPipelining + "begin 3\nbegin 1\nabandon\n",
       ready +
           "3.0 ehlo 5.6.3 the message has 8-bit content, which the next host does not accept "
           "(it does not offer 8BITMIME)\n3 finished\n1.0 mail " +
           kEnded + "mail\n1.1 mail " + kEnded + "mail\n1 finished\n"},
      {"dropped while idle", kPipelining + "abandon\nabandon\n", ready},
      {"extra reply while idle", kPipelining + "< 250 by the way\nabandon\n",
       ready + "close mail " + kBroken + "a reply to nothing that was asked: 250 by the way\n"},
      {"reply to QUIT is anything", kPipelining + "quit\n< 500 what\n",
       ready + "close quit 500 what\n"},
      {"dropped before the reply to QUIT", kPipelining + "quit\nabandon\n", ready},
  };
}

std::map<int, Mail> mails() {
  Mail two;
  two.to = {"b@two", "c@two"};
  Mail eight = two;
  eight.to = {"b@two"};
  eight.eight_bit = true;
  return {{1, two}, {2, two}, {3, eight}};
}

TEST(ClientOddServers, Dialogues) {
  for (const Case& item : cases()) {
    SCOPED_TRACE(item.name);
    for (uint64_t seed = 0; seed < 40; ++seed) {
      const Cut cut = seed == 0 ? Cut::whole : seed == 1 ? Cut::octets : Cut::random;
      Dialogue dialogue(relay(), cut, seed);
      dialogue.play(item.script, mails());
      ASSERT_EQ(dialogue.told, item.told) << "seed " << seed;
      EXPECT_EQ(dialogue.session().transactions_open(), 0U);
    }
  }
}

TEST(ClientOddServers, ClosedSessionIgnoresEverything) {
  Dialogue dialogue(relay(), Cut::whole, 0);
  dialogue.play(kPipelining + "< 421 4.4.2 idle too long\n< 250 x\n--\n< nonsense\nquit\n", {});
  EXPECT_EQ(dialogue.told, "ready\nclose mail 421 4.4.2 idle too long\n");
  EXPECT_TRUE(dialogue.session().exhausted());
  EXPECT_FALSE(dialogue.session().can_begin());
  EXPECT_FALSE(dialogue.session().has_output());
}

// All in one segment: the content's reply stands behind 354 before the content could leave.
TEST(ClientOddServers, ReplyToContentBeforeItWasTaken) {
  Dialogue dialogue(relay(), Cut::whole, 0);
  dialogue.play(
      kPipelining + "begin 1\n< 250 ok\n< 250 ok\n< 250 ok\n< 354 go\n< 250 taken\nabandon\n",
      mails());
  EXPECT_EQ(dialogue.told, "ready\nclose content " + kBroken +
                               "a reply to nothing that was asked: 250 taken\n"
                               "1.0 mail " +
                               kBroken +
                               "a reply to nothing that was asked: 250 taken\n"
                               "1.1 mail " +
                               kBroken +
                               "a reply to nothing that was asked: 250 taken\n1 finished\n");
}

TEST(ClientOddServers, ReplyBeforeTheCommandLeft) {
  Dialogue dialogue(relay(), Cut::whole, 0);
  dialogue.play(kPipelining + "stuck\nbegin 1\n< 250 ok\nabandon\n", mails());
  EXPECT_EQ(dialogue.told.substr(0, 17), "ready\nclose mail ");
  EXPECT_EQ(dialogue.said, "EHLO relay\n");
}

// A chunk refused while its octets are still being sent: judged at once, memory free when sent.
TEST(ClientOddServers, ChunkRefusedWhileItIsSent) {
  Dialogue dialogue(relay(), Cut::whole, 0);
  dialogue.play(kChunking + "hold\nbegin 1\n< 250 ok\n< 250 ok\n< 250 ok\n< 552 5.3.4 too big\n",
                mails());
  EXPECT_EQ(dialogue.told, "ready\n1.0 content 552 5.3.4 too big\n1.1 content 552 5.3.4 too big\n");
  dialogue.play("sent\nbegin 2\n", mails());
  EXPECT_EQ(dialogue.outputs.back().substr(0, 6), "RSET\nM");
}

// Servers that answer at random: whatever they say, the promises hold.
class RandomServer final {
 public:
  RandomServer(uint64_t seed, bool lmtp) : random_(seed), session_(options(lmtp)) {}

  void run() {
    feed(random_.below(50) == 0 ? reply() : "220 mx\r\n");
    feed(random_.below(50) == 0 ? reply() : ehlo());
    for (int round = 0; round < 40 && !closed_; ++round) {
      while (session_.can_begin() && random_.below(2) == 0) begin();
      if (random_.below(40) == 0) session_.quit();
      feed("");
      if (session_.waiting()) feed(random_.below(12) == 0 ? reply() : sensible());
      if (random_.below(200) == 0) break;
    }
    finish();
  }

 private:
  static ClientOptions options(bool lmtp) {
    ClientOptions options = relay();
    options.lmtp = lmtp;
    return options;
  }
  std::string ehlo() {
    std::string text = "250-mx\r\n";
    for (const char* keyword : {"PIPELINING", "CHUNKING", "SMTPUTF8", "8BITMIME", "SIZE 2000",
                                "DSN", "LIMITS RCPTMAX=2"}) {
      if (random_.below(3) != 0) text += "250-" + std::string(keyword) + "\r\n";
    }
    return text + "250 HELP\r\n";
  }
  std::string reply() {
    static const char* const kReplies[] = {
        "250 ok\r\n",         "354 go\r\n",   "421 bye\r\n",
        "452 4.5.3 many\r\n", "503 what\r\n", "250 a\r\n250 b\r\n",
        "250-x\r\n550 y\r\n", "nonsense\r\n", "\r\n"};
    return kReplies[random_.below(std::size(kReplies))];
  }
  std::string sensible() {
    if (session_.waiting_for() == Phase::data)
      return random_.below(4) == 0 ? "554 no\r\n" : "354 go\r\n";
    const uint64_t choice = random_.below(8);
    return choice == 0 ? "550 no\r\n" : choice == 1 ? "452 later\r\n" : "250 ok\r\n";
  }
  void begin() {
    const uint64_t count = 1 + random_.below(4);
    std::vector<RecipientView> recipients;
    static const char* const kAddresses[] = {"b@two", "c@two", "\xC3\xBC@two", "bad address",
                                             "d@two"};
    for (uint64_t i = 0; i < count; ++i)
      recipients.push_back({kAddresses[random_.below(5)], {}, 0});
    Transaction transaction;
    transaction.tag = ++begun_;
    transaction.envelope = {"a@one",   {}, DsnReturn::unspecified, false, random_.below(4) == 0,
                            recipients};
    transaction.content = {3 + random_.below(3000), random_.below(4) == 0, random_.below(4) == 0};
    open_[begun_] = std::vector<int>(count, 0);
    session_.begin(transaction);
  }
  void feed(std::string_view input) {
    do {
      const std::string piece(input.substr(0, 1 + random_.below(input.size() + 1)));
      input.remove_prefix(piece.size());
      std::string_view rest = piece;
      while (true) {
        const ClientSession::Step step = session_.step(as_bytes(rest));
        rest.remove_prefix(step.consumed);
        if (step.action == ClientSession::Action::more) break;
        note(step, false);
      }
      ASSERT_TRUE(rest.empty());
      if (in_flight_ && random_.below(2) == 0) {
        session_.output_sent();
        in_flight_ = false;
      }
      if (!in_flight_ && session_.has_output()) {
        std::vector<ClientSession::OutputPart> parts;
        session_.take_output(parts);
        for (const auto& part : parts) {
          if (!part.is_content) continue;
          EXPECT_TRUE(placed_.insert(part.content_tag).second);
        }
        in_flight_ = true;
      }
    } while (!input.empty());
  }
  void note(const ClientSession::Step& step, bool abandoned) {
    using Action = ClientSession::Action;
    if (step.action == Action::close) {
      EXPECT_FALSE(closed_);
      closed_ = true;
    }
    if (step.action == Action::recipient) {
      ASSERT_TRUE(open_.contains(step.tag));
      ASSERT_LT(step.index, open_[step.tag].size());
      EXPECT_EQ(++open_[step.tag][step.index], 1);
      ASSERT_NE(step.reply, nullptr);
      if (step.reply->positive()) {
        EXPECT_FALSE(abandoned && step.reply->code == 0);
        EXPECT_EQ(step.phase, Phase::content);
        EXPECT_TRUE(placed_.contains(step.tag));
      }
    }
    if (step.action == Action::finished) {
      ASSERT_TRUE(open_.contains(step.tag));
      for (const int verdicts : open_[step.tag]) EXPECT_EQ(verdicts, 1);
      open_.erase(step.tag);
    }
  }
  void finish() {
    while (true) {
      const ClientSession::Step step = session_.abandon();
      if (step.action == ClientSession::Action::more) break;
      note(step, true);
    }
    EXPECT_TRUE(open_.empty());
    EXPECT_EQ(session_.transactions_open(), 0U);
    EXPECT_FALSE(session_.has_output());
  }

  Prng random_;
  ClientSession session_;
  std::map<uint64_t, std::vector<int>> open_;
  std::set<uint64_t> placed_;
  uint64_t begun_ = 0;
  bool closed_ = false, in_flight_ = false;
};

TEST(ClientOddServers, RandomRepliesKeepThePromises) {
  for (uint64_t seed = 0; seed < 20'000; ++seed) {
    RandomServer server(seed, seed % 4 == 0);
    server.run();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ringmta::smtp
