// SPDX-License-Identifier: GPL-3.0-or-later
// Domains beyond ASCII: those that can be asked for are taken, in both commands and after a reload.
#include "station.h"

namespace ringmta::server {
namespace {

class Addresses : public Station {
 protected:
  // The replies to this domain in MAIL and in RCPT, without their texts.
  std::string asked(Client& client, std::string_view domain) {
    client.heard.clear();
    const std::string address = "<a@" + std::string(domain) + ">";
    client.say("MAIL FROM:" + address +
               " SMTPUTF8\r\nRSET\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:" + address + "\r\nRSET\r\n");
    EXPECT_TRUE(run([&] { return client.replies().size() == 5; })) << client.heard;
    const std::vector<std::string> replies = client.replies();
    if (replies.size() != 5) return {};
    return replies[0].substr(0, 9) + ", " + replies[3].substr(0, 9);
  }
};

constexpr std::string_view kTaken = "250 2.1.0, 250 2.1.5";
constexpr std::string_view kRefused = "553 5.1.7, 553 5.1.3";

TEST_F(Addresses, InternationalDomainsThatExistAreTaken) {
  options.session.errors_max = 0;
  start();
  Client& client = greeted();
  for (const std::string_view domain :
       {"b\u00FCcher.example", "B\u00FCcher.Example", "B\u00DCCHER.example", "stra\u00DFe.example",
        "\u4F8B\u3048.\u30C6\u30B9\u30C8", "xn--bcher-kva.b\u00FCcher.example", "example"}) {
    EXPECT_EQ(asked(client, domain), kTaken) << domain;
  }
}

TEST_F(Addresses, InternationalDomainsThatIdnaDoesNotKnowAreRefused) {
  options.session.errors_max = 0;
  start();
  Client& client = greeted();
  for (int round = 0; round < 2; ++round) {
    for (const std::string_view domain :
         {"\u3002b", "b\uFF0Ec", "b\u3002\u00FC", "\u00FC\uFF61b",    // other dots
          "a\xC2\x85.example", "a\u2028.example", "a\u00A0.example",  // controls and blanks
          "xn--\u00FC.example", "ab--\u00FC.example", "\u00FC-.example", "\u2603.example",
          "\uFF41.example",    // a fullwidth letter that is asked for as ASCII
          "a\u00ADb.example",  // an invisible hyphen that is not asked for at all
          "\u00FC\uFF20b.example", "\u00FC\uFF0Fb.example"}) {
      EXPECT_EQ(asked(client, domain), kRefused) << domain;
    }
    server->reload(options);  // the rule is not one of the configuration's
  }
}

// As for any address beyond ASCII.
TEST_F(Addresses, WithoutSmtputf8ItIsAnotherMistake) {
  start();
  Client& client = greeted();
  client.say("MAIL FROM:<a@b\uFF0Ec>\r\n");
  ASSERT_TRUE(hears(client, "553 5.6.7"));
}

}  // namespace
}  // namespace ringmta::server
