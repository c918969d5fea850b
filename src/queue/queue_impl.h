// SPDX-License-Identifier: GPL-3.0-or-later
// The queue's state and its parts, one file each:
//
//   intake.cc     a message comes in: recipients into deliveries
//   places.cc     the ways of a delivery between its places
//   domains.cc    domains: interned, routed, asked about, forgotten
//   sites.cc      sites: made, found, forgotten
//   unreachable.cc  sites that cannot be reached: hold, probe, ramp
//   crowded.cc    sites whose hosts take connections of some shards only
//   attempts.cc   a delivery becomes a job: turns, loading, lending
//   verdicts.cc   a job comes back
//   settlement.cc what a message is owed by the clock: expiry, delay notice, last words
//   notices.cc    DSNs, until they are on stable storage
//   operator.cc   list, retry, remove
//   reload.cc     other options from now on
//   queue.cc      the stage that drives it all, and the public face
//
// The one rule: a delivery is in exactly one Place, a message's clock in exactly one Timing, and
// only place() and the functions around it change them; counters follow from that.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "domain_patterns.h"
#include "entries.h"
#include "flows.h"
#include "index_wheel.h"
#include "places.h"
#include "reasons.h"
#include "retry.h"
#include "ringmta/queue/dsn.h"
#include "ringmta/queue/queue.h"
#include "tenants.h"

namespace ringmta::queue {

inline constexpr uint32_t kEntriesMax = 0x7FFFFFFF;  // the wheels need the highest bit
inline constexpr uint32_t kWorkPerTurn = 2048;       // steps of each kind in one run()
inline constexpr uint32_t kLoadsMax = 128;           // contents on their way or waiting to leave
inline constexpr uint32_t kLoadsPerSiteMax = 16;     // of them for one site
inline constexpr uint32_t kChoreLoadsMax = 32;       // heads being read for chores
inline constexpr uint32_t kNoticesMax = 1024;        // DSNs made and not yet on stable storage
inline constexpr uint32_t kResolvesMax = 8192;       // domains being asked about ...
inline constexpr uint32_t kResolvesAgainMax = 2048;  // ... or fewer, if it is not the first time
inline constexpr Milliseconds kNoticeRetry = seconds(1);        // spool full: try again
inline constexpr Milliseconds kBlockedRetry = seconds(30);      // no room for a DSN: look again
inline constexpr Milliseconds kUnreadableFirst = seconds(5);    // content that cannot be read:
inline constexpr Milliseconds kUnreadableLongest = minutes(5);  // ... doubling up to this
inline constexpr Milliseconds kGrace = minutes(10);             // for what comes in expired
inline constexpr Milliseconds kDomainIdle = minutes(1);         // kept so long without mail
inline constexpr Milliseconds kSiteIdle = minutes(10);          // likewise
inline constexpr Milliseconds kStarvedLook{100};                // at the memory for contents
inline constexpr Milliseconds kOperatorLoad = seconds(5);       // a content loaded for a listing
inline constexpr uint32_t kImmediateMax = 10;  // unjudged so often in a row: deferred after all

// A job as we make it, with what is needed when it comes back.
struct Attempt final : Job {
  spool::MessageHead head;                          // views into pinned memory
  std::vector<smtp::RecipientView> all_recipients;  // of the message; `head` refers to them
  uint32_t site_index = kNone;                      // here; `site` may be the borrower's
  ShardId lent_to{};                                // where there is a lent_site
};

// A DSN from its making until it is on stable storage; then the originals' states are recorded.
struct Notice {
  MessageId id{};
  uint32_t message = kNone;  // the one it speaks of
  std::string reverse_path;  // of that one: whom it goes to
  DsnMessage dsn;
  std::vector<spool::RecipientState> states;
  uint32_t previous = kNone, next = kNone;  // while it waits for the spool
};

// Recipients to be told of in one DSN. Texts made up for it live here until it is built.
struct Report {
  MessageId id{};  // of the DSN; given out with the first recipient
  std::vector<DsnRecipient> recipients;
  std::vector<spool::RecipientState> states;
  std::deque<std::string> texts;
  bool empty() const { return recipients.empty(); }
  void clear() {
    id = {};
    recipients.clear();
    states.clear();
    texts.clear();
  }
  std::string_view keep(std::string text) { return texts.emplace_back(std::move(text)); }
};

struct Queue::Impl {
  Impl(shard::Loop& the_loop, spool::Spool& the_spool, const QueueOptions& the_options,
       ShardId the_shard, uint32_t the_shards, QueueHost the_host);
  ~Impl();

  // Time.
  Monotonic now() const { return loop.now(); }
  WallTime wall() const { return loop.io().wall(); }
  uint32_t tick_now() const;               // rounded down: what is past
  uint32_t tick_at(Monotonic time) const;  // rounded up
  Monotonic time_of(uint32_t tick) const;
  WallTime wall_of(uint32_t tick) const;
  uint32_t tick_in(Milliseconds wait) const { return tick_at(now() + wait); }

  // intake.cc
  void add(spool::StoredHandle stored, const spool::MessageHead& head,
           std::span<const spool::RecipientState> states);
  void take_clock(Message& message, const spool::MessageInfo& info) const;
  uint32_t new_delivery(uint32_t message);
  void set_recipients(Delivery& delivery, std::span<const Recipient> recipients);
  std::span<const Recipient> recipients_of(const Delivery& delivery, Recipient& room);
  uint32_t recipient_count(const Delivery& delivery);
  void free_delivery(uint32_t index);  // in place none; its recipients are final or elsewhere
  uint32_t split(uint32_t index, std::span<const Recipient> taken,
                 std::span<const Recipient> rest);  // a new delivery for `taken`, in place none
  void recipient_final(const Recipient& recipient);
  bool end_if_done(uint32_t message);  // true: it is gone

  // places.cc
  void place(uint32_t index, Place to);  // counters; the lists are the caller's
  void detach(uint32_t index);           // off whatever list it is on; then in place none
  void assign_site(Delivery& delivery, uint32_t site);
  uint64_t company_of(uint32_t domain);
  void dispatch(uint32_t index);  // from place none to where it has to wait
  void dispatch_one(uint32_t index);
  void make_ready(uint32_t index, uint32_t site, bool first);
  void defer(uint32_t index, uint32_t due);
  void doom(uint32_t index);
  uint32_t site_of(const Delivery& delivery);
  ReasonView why(const Delivery& delivery);

  // domains.cc
  uint32_t use_domain(std::string_view as_given);
  void drop_domain(uint32_t index, uint32_t recipients);
  const RetryOptions& schedule(const Delivery& delivery);
  uint32_t schedule_of(const DomainEntry& domain);
  uint32_t connection_rule_of(const DomainEntry& domain, std::span<const ResolvedHost> hosts) const;
  uint32_t current_site(uint32_t domain);  // kNone: not known yet, or refused
  void ask_about(uint32_t domain);
  void no_refresh(DomainEntry& domain, uint32_t index);
  void line_up(DomainEntry& domain, uint32_t index);
  void leave_line(DomainEntry& domain, uint32_t index);
  void ask(uint32_t index);
  void domain_resolved(std::string_view name, const Resolution& resolution);
  void drain(uint32_t domain);
  uint32_t drain_some(DomainEntry& domain, uint32_t deliveries_max);
  bool run_domains();
  void sweep_domains();

  // sites.cc
  std::string name_of_site(const std::string& hosts, uint32_t rule) const;
  uint32_t make_site(const std::string& name, uint32_t route, const Route& limits,
                     uint32_t rule = kNoRule);
  uint32_t find_site(std::string_view name);
  void set_limits(SiteEntry& site, const Route& limits);
  void set_hosts(SiteEntry& site, const std::vector<ResolvedHost>& hosts);
  void drop_site_user(uint32_t index);
  void sweep_sites();

  // unreachable.cc
  void hold(SiteEntry& site, const ReasonView& reason, Monotonic until);
  void tell_held(Held& held, uint32_t reason, Monotonic until);
  void hold_ended(SiteEntry& site);
  void recovered(SiteEntry& site);
  void note_result(SiteEntry& site, const Attempt& attempt);

  // crowded.cc
  uint32_t next_lender(const SiteEntry& site, uint32_t last) const;
  bool crowded_out(SiteEntry& site, const ReasonView& reason, Monotonic until);
  void pass_on(SiteEntry& site);
  static void own_again(SiteEntry& site);

  // attempts.cc
  uint32_t work(const SiteEntry& site) const;
  Job* next_job(SiteEntry& site);
  uint32_t next_delivery(SiteEntry& site);  // pinned, in place none
  bool begin_load(SiteEntry& site, uint32_t delivery);
  void loaded(uint32_t delivery, bool readable);
  void unload(SiteEntry& site);
  void load_slot_free();
  void feed_starved();
  Job* make_job(SiteEntry& site, uint32_t delivery);
  void merge_siblings(SiteEntry& site, uint32_t delivery);
  void fill_transaction(Attempt& attempt, const Delivery& delivery, spool::StoredHandle stored);
  bool success_notice_blocked(const Attempt& attempt);
  void announce(SiteEntry& site);
  void poke(SiteEntry& site);
  void lend();
  Attempt& take_attempt();
  void give_back(Attempt& attempt);

  // verdicts.cc
  void job_done(Job* job);
  Verdict final_verdict(const Attempt& attempt, const JobRecipient& result, bool patience) const;
  void tell_delivered(const Attempt& attempt, const JobRecipient& result);
  void tell_refused(const Attempt& attempt, const JobRecipient& result);
  void tell_result(const Attempt& attempt, const JobRecipient& result, Outcome::Kind kind,
                   WallTime next, MessageId dsn);
  void report_result(const Attempt& attempt, const JobRecipient& result,
                     const smtp::RecipientView& recipient, DsnAction action);

  // settlement.cc
  uint32_t expiry_of(const Message& message, const Delivery& delivery);
  uint32_t delay_of(const Message& message, const Delivery& delivery);  // kNone: not wanted
  void set_clock(uint32_t message, uint32_t not_before = 0);
  void free_again(uint32_t delivery);  // no longer busy: its times count again
  void stop_clock(uint32_t message);
  void make_chore(uint32_t message);
  bool run_chores();
  void chore_loaded(uint32_t message, bool readable);
  void settle(uint32_t message);  // the head is in memory
  void unreadable(uint32_t message);
  uint32_t read_again(uint32_t message);
  void readable_again(uint32_t message);
  bool settle_delivery(uint32_t index, const spool::MessageHead& head);
  void end_delivery(uint32_t index, const spool::MessageHead& head, Outcome::Kind kind);
  void tell_delay(uint32_t index, const spool::MessageHead& head);
  void tell(const Delivery& delivery, const Recipient& recipient, const spool::MessageHead& head,
            Outcome::Kind kind, MessageId dsn);
  bool wants(const Delivery& delivery, const spool::MessageHead& head, DsnAction action);

  // notices.cc
  bool notice_room() const { return notices.size() < kNoticesMax; }
  DsnRecipient& report_on(const smtp::RecipientView& recipient, DsnAction action);
  void report_reason(DsnRecipient& told, const ReasonView& reason);
  void send_notice(uint32_t message, const spool::MessageHead& head);
  bool store_notice(uint32_t notice);
  bool store_waiting();
  void notice_done(uint32_t notice, spool::StoredHandle stored, bool committed);

  // operator.cc
  struct OperatorLoad {
    uint32_t message = kNone;
    bool here = false;    // loaded and pinned
    bool failed = false;  // it cannot be read: the walk passes over it
    bool seen = false;    // no longer needed: it goes as soon as it is here
    Monotonic since{};
  };
  Listing list(const Filter& filter, uint64_t cursor, size_t entries_max);
  Change retry(const Filter& filter, uint64_t cursor);
  Change remove(const Filter& filter, uint64_t cursor);
  struct Match;
  struct Walk {
    uint64_t cursor = 0;
    bool waiting = false;
  };
  template <typename Visit>
  Walk walk(const Filter& filter, uint64_t cursor, bool heads, Visit&& visit);
  Listing::Entry entry_of(const Delivery& delivery, const Recipient& recipient,
                          const spool::MessageHead* head);  // null: it cannot be read
  Listing::State state_of(const Delivery& delivery);
  WallTime next_attempt_of(const Delivery& delivery);
  void dispatch_again(uint32_t delivery);
  enum class Head : uint8_t { here, asked_for, unreadable };
  Head head_of(uint32_t message);
  void operator_loaded(uint32_t message, bool readable);
  void head_seen(uint32_t message);
  void drop_operator_load(size_t which);
  void drop_old_operator_loads();

  // reload.cc
  void read_options();  // into what is looked up
  void reload(const QueueOptions& fresh);
  void route_anew(uint32_t domain);
  bool move_deliveries();

  // queue.cc
  bool run();
  void arm_next();
  void arm_tick();
  void on_timer(const ring::Event& event);
  void on_spool_done(const spool::Done& done);
  void stop();

  shard::Loop& loop;
  spool::Spool& spool;
  QueueOptions options;
  const ShardId shard;
  const uint32_t shards;
  const QueueHost host;
  const Monotonic begun;
  mutable QueueCounters counters;
  Prng prng;
  bool stopping = false;

  MessagePool messages{kEntriesMax};
  DeliveryPool deliveries{kEntriesMax};
  SlotPool<RecipientList> lists{kEntriesMax};
  size_t list_octets = 0;
  Reasons reasons;
  Tenants tenants;
  IndexWheel<DeliveryPool> retries{deliveries};
  IndexWheel<MessagePool> clocks{messages};

  std::vector<RetryOptions> schedules;    // 0: the general one
  std::vector<uint32_t> route_schedules;  // by route
  DomainPatterns routes, retry_rules, site_retry_rules, connection_rules, site_connection_rules;
  DomainPool domains{kEntriesMax};
  IndexTable domain_table;
  IndexList to_ask, to_ask_again, to_refresh, idle_domains;
  uint32_t asking = 0;
  uint32_t moved_to = kNone;       // after a reload: deliveries below are where they belong
  std::vector<uint32_t> draining;  // domains whose waiting deliveries go on now

  SitePool sites{kEntriesMax};
  IndexTable site_table;
  IndexList idle_sites;
  Flows flows{deliveries};
  std::vector<uint32_t> lending, poked, in_hand;
  std::deque<uint32_t> starved;  // sites that wait for a load to end
  uint32_t loads = 0;

  std::vector<std::unique_ptr<Attempt>> attempts;
  std::vector<Attempt*> free_attempts;

  IndexList chores;
  uint32_t chore_loads = 0;

  SlotPool<Notice, 16> notices{kNone};
  IndexList waiting_notices;
  std::vector<OperatorLoad> operator_loads;

  ring::Timer tick_timer;    // the wheels
  ring::Timer notice_timer;  // the spool was full

  // Room used again and again, so that nothing is allocated per message.
  std::string lowered;
  std::vector<smtp::RecipientView> views;
  std::vector<Recipient> first_part, second_part;
  std::vector<spool::RecipientState> states;
  struct Routed {
    uint64_t key = 0;  // company_of() its domain
    Recipient recipient;
    const spool::RecipientState* state = nullptr;
  };
  std::vector<Routed> routed;
  Report report;
  Attempt last_word;  // for outcomes that have a reply but no attempt
  std::vector<iovec> original_parts;
  std::vector<std::string_view> original;
};

// What a done load or store was for, in Done::tag below kQueueTag.
enum class Purpose : uint8_t { attempt = 1, chore = 2, listing = 3, notice = 4 };
constexpr uint64_t tag_of(Purpose purpose, uint32_t index) {
  return kQueueTag | static_cast<uint64_t>(purpose) << 32 | index;
}

// Numbers of the queue's timer tokens.
enum : uint32_t { kTickTimer = 0xFFFFFFFF, kNoticeTimer = 0xFFFFFFFE, kDomainTimers = 0x80000000 };

// Where NOTIFY is absent, RFC 3461 4.1 leaves it to us to tell of a delay or not: a bulk sender
// would drown in it. Only who asked is told.
inline bool delay_asked(uint8_t notify, bool null_path) {
  return (notify & smtp::Notify::kDelay) != 0 && dsn_wanted(notify, DsnAction::delayed, null_path);
}

constexpr bool busy(Place place) { return place == Place::active || place == Place::loading; }

}  // namespace ringmta::queue
