// SPDX-License-Identifier: GPL-3.0-or-later
// Dialogues of the client session with servers that keep to the RFCs: what is asked in which order,
// what is pipelined, and which verdict each recipient gets. Each is played with the server's octets
// whole, one by one and cut at random.
#include <gtest/gtest.h>

#include "client_dialogue.h"

namespace ringmta::smtp {
namespace {

struct Case {
  const char* name;
  ClientOptions options;
  std::map<int, Mail> mails;
  std::string script;
  std::string said;
  std::string told;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  all.push_back(
      {"lock-step",
       relay(),
       {{1, {}}},
       kLockStep + R"(
      begin 1
      < 250 sender ok
      --
      < 250 recipient ok
      --
      < 354 go
      --
      < 250 2.0.0 taken)",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n[content 1 dot]\n",
       "ready\n1.0 content 250 2.0.0 taken\n1 finished\n"});

  all.push_back(
      {"lock-step, mixed recipients",
       relay(),
       {{1, kThree}},
       kLockStep + R"(
      begin 1
      < 250 ok
      --
      < 250 ok
      --
      < 550 5.1.1 who?
      --
      < 451 4.7.1 later
      --
      < 354 go
      --
      < 250 taken)",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nRCPT TO:<d@two>\n"
       "DATA\n[content 1 dot]\n",
       "ready\n1.1 recipient 550 5.1.1 who?\n1.2 recipient 451 4.7.1 later\n"
       "1.0 content 250 taken\n1 finished\n"});

  all.push_back({"lock-step, all refused: no DATA, RSET before the next",
                 relay(),
                 {{1, {}}, {2, {}}},
                 kLockStep + R"(
      begin 1
      < 250 ok
      --
      < 550 no
      begin 2
      < 250 reset
      --
      < 250 ok
      --
      < 250 ok
      --
      < 354 go
      --
      < 250 taken)",
                 "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nRSET\n"
                 "MAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n[content 2 dot]\n",
                 "ready\n1.0 recipient 550 no\n1 finished\n2.0 content 250 taken\n2 finished\n"});

  all.push_back({"lock-step, MAIL refused: nothing more, no RSET",
                 relay(),
                 {{1, {}}, {2, {}}},
                 kLockStep + "begin 1\n< 550 5.7.1 not you\nbegin 2\n",
                 "EHLO relay\nMAIL FROM:<a@one.example>\nMAIL FROM:<a@one.example>\n",
                 "ready\n1.0 mail 550 5.7.1 not you\n1 finished\n"});

  all.push_back({"lock-step, DATA refused",
                 relay(),
                 {{1, {}}, {2, {}}},
                 kLockStep + "begin 1\n< 250 ok\n--\n< 250 ok\n--\n< 451 4.3.0 busy\nbegin 2\n",
                 "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\nRSET\n",
                 "ready\n1.0 data 451 4.3.0 busy\n1 finished\n"});

  all.push_back(
      {"pipelining, then the next right behind the dot",
       relay(),
       {{1, {}}, {2, kThree}},
       kPipelining + R"(
      begin 1
      < 250 ok
      < 250 ok
      < 354 go
      begin 2
      < 250 taken 1
      < 250 ok
      < 250 ok
      < 250 ok
      < 550 no
      < 354 go
      --
      < 250 taken 2)",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n[content 1 dot]\n"
       "MAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nRCPT TO:<d@two>\nDATA\n"
       "[content 2 dot]\n",
       "ready\n1.0 content 250 taken 1\n1 finished\n2.2 recipient 550 no\n"
       "2.0 content 250 taken 2\n2.1 content 250 taken 2\n2 finished\n"});

  all.push_back({"pipelining: no second transaction before the first one's content",
                 relay(),
                 {{1, {}}, {2, {}}},
                 kPipelining + "begin 1\nbegin 2\n",
                 "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n",
                 "ready\ncannot begin 2\n"});

  all.push_back(
      {"pipelining, all refused and 354: only the dot, its reply is disregarded",
       relay(),
       {{1, kThree}, {2, {}}},
       kPipelining + R"(
      begin 1
      < 250 ok
      < 550 no b
      < 550 no c
      < 450 no d
      < 354 go
      --
      < 250 queued as nothing
      begin 2)",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nRCPT TO:<d@two>\n"
       "DATA\n.\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n",
       "ready\n1.0 recipient 550 no b\n1.1 recipient 550 no c\n1.2 recipient 450 no d\n1 "
       "finished\n"});

  all.push_back({"pipelining, all refused and DATA refused",
                 relay(),
                 {{1, {}}, {2, {}}},
                 kPipelining + "begin 1\n< 250 ok\n< 550 no\n< 503 no recipients\nbegin 2\n",
                 "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\nRSET\n"
                 "MAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n",
                 "ready\n1.0 recipient 550 no\n1 finished\n"});

  all.push_back(
      {"pipelining, MAIL refused: its reply for everybody",
       relay(),
       {{1, kThree}, {2, {}}},
       kPipelining + R"(
      begin 1
      < 451 4.7.1 not now
      < 503 need MAIL
      < 503 need MAIL
      < 503 need MAIL
      < 503 need RCPT
      begin 2)",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nRCPT TO:<d@two>\n"
       "DATA\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n",
       "ready\n1.0 mail 451 4.7.1 not now\n1.1 mail 451 4.7.1 not now\n"
       "1.2 mail 451 4.7.1 not now\n1 finished\n"});

  all.push_back({"pipelining, MAIL refused but everything else accepted: only the dot",
                 relay(),
                 {{1, {}}},
                 kPipelining + "begin 1\n< 550 no\n< 250 ok\n< 354 go\n--\n< 250 taken\n",
                 "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n.\n",
                 "ready\n1.0 mail 550 no\n1 finished\n"});

  all.push_back(
      {"content refused for those accepted",
       relay(),
       {{1, kThree}},
       kPipelining + "begin 1\n< 250 ok\n< 250 ok\n< 550 no\n< 250 ok\n< 354 go\n--\n"
                     "< 554-5.7.1 spam\n< 554 5.7.1 by rule\n",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nRCPT TO:<d@two>\n"
       "DATA\n[content 1 dot]\n",
       "ready\n1.1 recipient 550 no\n1.0 content 554 5.7.1 spam by rule\n"
       "1.2 content 554 5.7.1 spam by rule\n1 finished\n"});

  all.push_back(
      {"too many recipients: at once again, others as told",
       relay(),
       {{1, kThree}},
       kPipelining + "begin 1\n< 250 ok\n< 250 ok\n< 452 4.5.3 too many\n< 552 too many\n< 354 go\n"
                     "--\n< 250 taken\n",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nRCPT TO:<d@two>\n"
       "DATA\n[content 1 dot]\n",
       "ready\n1.1 recipient 452 4.5.3 too many (too many)\n1.2 recipient 552 too many (too many)\n"
       "1.0 content 250 taken\n1 finished\n"});

  all.push_back(
      {"452 and 552 that mean something else",
       relay(),
       {{1, kThree}},
       kPipelining + "begin 1\n< 250 ok\n< 452 too many\n< 250 ok\n< 552 5.2.2 full\n< 354 go\n"
                     "--\n< 250 taken\n",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nRCPT TO:<d@two>\n"
       "DATA\n[content 1 dot]\n",
       "ready\n1.0 recipient 452 too many\n1.2 recipient 552 5.2.2 full\n"
       "1.1 content 250 taken\n1 finished\n"});

  all.push_back(
      {"chunking: everything at once, four deep, RSET between",
       relay(),
       {{1, {}}, {2, {}}, {3, {}}, {4, {}}, {5, {}}},
       kChunking + R"(
      begin 1
      begin 2
      begin 3
      begin 4
      begin 5
      < 250 ok
      < 250 ok
      < 250 taken 1
      < 250 reset
      < 250 ok
      < 550 no
      < 503 no recipients
      < 250 reset
      < 250 ok
      < 250 ok
      < 550 bad content
      < 250 reset
      < 250 ok
      < 250 ok
      < 250 taken 4
      begin 5)",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content "
       "1]\n"
       "RSET\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content 2]\n"
       "RSET\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content 3]\n"
       "RSET\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content 4]\n"
       "MAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content 5]\n",
       "ready\ncannot begin 5\n1.0 content 250 taken 1\n1 finished\n2.0 recipient 550 no\n"
       "2 finished\n3.0 content 550 bad content\n3 finished\n4.0 content 250 taken 4\n4 "
       "finished\n"});

  all.push_back(
      {"chunking, alone and refused: RSET before the next",
       relay(),
       {{1, {}}, {2, {}}},
       kChunking + "begin 1\n< 250 ok\n< 550 no\n< 503 no recipients\nbegin 2\n",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content "
       "1]\n"
       "RSET\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content 2]\n",
       "ready\n1.0 recipient 550 no\n1 finished\n"});

  Mail dotted;
  dotted.dots = true;
  all.push_back(
      {"chunking, but dot-stuffed: DATA; a chunk may stand behind the dot",
       relay(),
       {{1, dotted}, {2, {}}},
       kChunking + "begin 1\n< 250 ok\n< 250 ok\n< 354 go\nbegin 2\n< 250 taken 1\n< 250 ok\n"
                   "< 250 ok\n< 250 taken 2\n",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n[content 1 dot]\n"
       "MAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content 2]\n",
       "ready\n1.0 content 250 taken 1\n1 finished\n2.0 content 250 taken 2\n2 finished\n"});

  all.push_back({"chunking, large: DATA",
                 small_chunks(),
                 {{1, {}}},
                 kChunking + "begin 1\n",
                 "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n",
                 "ready\n"});

  Mail nothing;
  nothing.size = 0;
  all.push_back({"chunking, no content: DATA",
                 relay(),
                 {{1, nothing}},
                 kChunking + "begin 1\n",
                 "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n",
                 "ready\n"});

  all.push_back({"chunking without pipelining: BDAT once somebody is accepted",
                 small_chunks(),
                 {{1, {}}},
                 server({"CHUNKING"}) + "begin 1\n< 250 ok\n--\n< 250 ok\n--\n< 250 taken\n",
                 "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 "
                 "LAST\n[content 1]\n",
                 "ready\n1.0 content 250 taken\n1 finished\n"});

  ClientOptions plain = relay();
  plain.pipelining = plain.chunking = false;
  all.push_back({"neither wanted",
                 plain,
                 {{1, {}}},
                 kChunking + "begin 1\n< 250 ok\n--\n< 250 ok\n",
                 "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n",
                 "ready\n"});

  all.push_back(
      {"EHLO refused: HELO, no extensions",
       relay(),
       {{1, {}}},
       "< 220 old\n--\n< 502 what?\n--\n< 250 old.example PIPELINING\nbegin 1\n< 250 ok\n--\n< 250 "
       "ok\n",
       "EHLO relay\nHELO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n",
       "ready\n"});

  Mail full;
  full.from = "";
  full.to = {"b@two.example", "c@two.example", "d@two.example"};
  full.eight_bit = full.declared_eight_bit = full.utf8 = true;
  full.envelope_id = "QQ314159";
  full.dsn_return = DsnReturn::headers;
  full.notify = {Notify::kNever, Notify::kSuccess | Notify::kFailure | Notify::kDelay, 0};
  full.original = {"rfc822;Bob+40x@two.example", "utf-8;gr\xC3\xBCn@two.example", ""};
  all.push_back(
      {"every parameter",
       relay(),
       {{1, full}},
       kEverything + "begin 1\n",
       "EHLO relay\nMAIL FROM:<> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ314159\n"
       "RCPT TO:<b@two.example> NOTIFY=NEVER ORCPT=rfc822;Bob+40x@two.example\n"
       "RCPT TO:<c@two.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=utf-8;gr\xC3\xBCn@two.example\n"
       "RCPT TO:<d@two.example>\nBDAT 1000 LAST\n[content 1]\n",
       "ready\n"});
  Mail ascii = full;
  ascii.eight_bit = ascii.declared_eight_bit = false;
  all.push_back({"no parameter the peer does not offer; SMTPUTF8 declared but not needed",
                 relay(),
                 {{1, ascii}},
                 kPipelining + "begin 1\n",
                 "EHLO relay\nMAIL FROM:<>\nRCPT TO:<b@two.example>\nRCPT TO:<c@two.example>\n"
                 "RCPT TO:<d@two.example>\nDATA\n",
                 "ready\n"});
  Mail declared;
  declared.declared_eight_bit = true;
  all.push_back(
      {"BODY as declared; an octet above 127 in an address asks for SMTPUTF8",
       relay(),
       {{1, declared}, {2, to({"\xC3\xBC@two"})}},
       kEverything + "begin 1\nbegin 2\n",
       "EHLO relay\nMAIL FROM:<a@one.example> SIZE=1000 BODY=8BITMIME\nRCPT TO:<b@two.example>\n"
       "BDAT 1000 LAST\n[content 1]\nRSET\nMAIL FROM:<a@one.example> SIZE=1000 SMTPUTF8\n"
       "RCPT TO:<\xC3\xBC@two>\nBDAT 1000 LAST\n[content 2]\n",
       "ready\n"});

  Mail eight;
  eight.eight_bit = true;
  Mail utf8 = eight;
  utf8.utf8 = true;
  Mail utf8_sender;
  utf8_sender.from = "\xC3\xA4@one.example";
  Mail large;
  large.size = 5001;
  Mail fits;
  fits.size = 5000;
  all.push_back(
      {"what the peer cannot take is never sent",
       relay(),
       {{1, eight}, {2, utf8}, {3, utf8_sender}, {4, to({"b@two", "\xC3\xBC@two", "c@two"})}},
       kPipelining + "begin 1\nbegin 2\nbegin 3\nbegin 4\n< 250 ok\n< 250 ok\n< 250 ok\n< 354 go\n"
                     "--\n< 250 taken\n",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nDATA\n"
       "[content 4 dot]\n",
       "ready\n1.0 ehlo 5.6.3 the message has 8-bit content, which the next host does not "
       "accept (it does not offer 8BITMIME)\n1 finished\n"
       "2.0 ehlo 5.6.7 the message needs SMTPUTF8, which the next host does not offer\n"
       "2 finished\n"
       "3.0 ehlo 5.6.7 the message needs SMTPUTF8, which the next host does not offer\n"
       "3 finished\n"
       "4.1 ehlo 5.6.7 the message needs SMTPUTF8, which the next host does not offer\n"
       "4.0 content 250 taken\n4.2 content 250 taken\n4 finished\n"});
  all.push_back(
      {"larger than SIZE",
       relay(),
       {{1, large}, {2, fits}},
       kEverything + "begin 1\nbegin 2\n",
       "EHLO relay\nMAIL FROM:<a@one.example> SIZE=5000\nRCPT TO:<b@two.example>\nBDAT 5000 LAST\n"
       "[content 2]\n",
       "ready\n1.0 ehlo 5.3.4 the message is larger than the next host accepts (SIZE 5000)\n"
       "1 finished\n"});

  all.push_back(
      {"LIMITS: RCPTMAX and MAILMAX",
       relay(),
       {{1, kThree}, {2, {}}},
       server({"PIPELINING", "LIMITS rcptdomainmax=1 RCPTMAX=2 MAILMAX=1 X"}) +
           "begin 1\n< 250 ok\n< 250 ok\n< 250 ok\n< 354 go\n--\n< 250 taken\nbegin 2\n",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nDATA\n"
       "[content 1 dot]\n",
       "ready\n1.2 recipient 4.5.3 more recipients than the next host accepts at once (RCPTMAX "
       "2)"
       " (too many)\n1.0 content 250 taken\n1.1 content 250 taken\n1 finished\ncannot begin 2\n"});

  all.push_back(
      {"quit waits for the last reply",
       relay(),
       {{1, {}}, {2, {}}},
       kChunking + "begin 1\nquit\nbegin 2\n< 250 ok\n< 250 ok\n< 250 taken\n--\n< 221 bye\n",
       "EHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nBDAT 1000 LAST\n[content "
       "1]\n"
       "QUIT\n",
       "ready\ncannot begin 2\n1.0 content 250 taken\n1 finished\nclose quit 221 bye\n"});
  all.push_back({"quit before the greeting",
                 relay(),
                 {},
                 "quit\n< 220 hello\n--\n< 221 bye\n",
                 "QUIT\n",
                 "close quit 221 bye\n"});
  all.push_back({"quit before the EHLO reply",
                 relay(),
                 {},
                 "< 220 hello\nquit\n< 250 mx\n--\n< 221 bye\n",
                 "EHLO relay\nQUIT\n",
                 "close quit 221 bye\n"});

  all.push_back(
      {"LMTP: a reply for each one accepted",
       lmtp(),
       {{1, kThree}, {2, {}}},
       kChunking + R"(
      begin 1
      < 250 ok
      < 250 ok
      < 550 no
      < 250 ok
      < 354 go
      begin 2
      < 250 2.1.5 b taken
      < 452 4.2.2 d is full
      < 250 ok
      < 250 ok
      < 354 go
      --
      < 250 taken)",
       "LHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two>\nRCPT TO:<c@two>\nRCPT TO:<d@two>\n"
       "DATA\n[content 1 dot]\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n"
       "[content 2 dot]\n",
       "ready\n1.1 recipient 550 no\n1.0 content 250 2.1.5 b taken\n"
       "1.2 content 452 4.2.2 d is full\n1 finished\n2.0 content 250 taken\n2 finished\n"});
  all.push_back({"LMTP, all refused and 354: the dot has no reply",
                 lmtp(),
                 {{1, {}}, {2, {}}},
                 kPipelining + "begin 1\n< 250 ok\n< 550 no\n< 354 go\nbegin 2\n< 250 ok\n",
                 "LHLO relay\nMAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n.\n"
                 "MAIL FROM:<a@one.example>\nRCPT TO:<b@two.example>\nDATA\n",
                 "ready\n1.0 recipient 550 no\n1 finished\n"});
  return all;
}

TEST(ClientDialogues, AllCuts) {
  for (const Case& item : cases()) {
    SCOPED_TRACE(item.name);
    for (uint64_t seed = 0; seed < 40; ++seed) {
      const Cut cut = seed == 0 ? Cut::whole : seed == 1 ? Cut::octets : Cut::random;
      Dialogue dialogue(item.options, cut, seed);
      dialogue.play(item.script, item.mails);
      ASSERT_EQ(dialogue.said, item.said) << "seed " << seed;
      ASSERT_EQ(dialogue.told, item.told) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace ringmta::smtp
