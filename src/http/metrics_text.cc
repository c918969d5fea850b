// SPDX-License-Identifier: GPL-3.0-or-later
// The table of fields as metric families, put into text by prometheus-cpp's serializer. Families
// are made per scrape: a few times a minute, that is nothing.
#include "metrics_text.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <sstream>
#include <utility>

#include "fields.h"

namespace ringmta::http {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

double value_of(const Field& field, const ShardSnapshot& snapshot) {
  const auto value = static_cast<double>(field.value(snapshot));
  switch (field.kind) {
    case FieldKind::microseconds:
      return value / 1e6;
    case FieldKind::milliseconds:
      return value / 1e3;
    default:
      return value;
  }
}

bool is_counter(FieldKind kind) {
  return kind == FieldKind::counter || kind == FieldKind::microseconds;
}

MetricFamily family_of(const Field& field, const std::vector<ShardSnapshot>& snapshots) {
  const MetricType type = is_counter(field.kind) ? MetricType::Counter : MetricType::Gauge;
  MetricFamily family{std::string(field.metric), std::string(field.help), type, {}};
  for (const ShardSnapshot& snapshot : snapshots) {
    prometheus::ClientMetric metric;
    metric.label.push_back({"shard", std::to_string(snapshot.shard)});
    metric.counter.value = metric.gauge.value = value_of(field, snapshot);
    family.metric.push_back(std::move(metric));
  }
  return family;
}

MetricFamily gauge(std::string name, std::string help, double value) {
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  return {std::move(name), std::move(help), MetricType::Gauge, {std::move(metric)}};
}

}  // namespace

std::string metrics_text(const std::vector<ShardSnapshot>& snapshots, std::string_view version) {
  std::vector<MetricFamily> families;
  families.reserve(fields().size() + 2);
  families.push_back(
      gauge("ringmta_build_info", "Always 1; the version of this relay as a label.", 1));
  families.back().metric.front().label.push_back({"version", std::string(version)});
  families.push_back(
      gauge("ringmta_shards", "Shards that report.", static_cast<double>(snapshots.size())));
  for (const Field& field : fields()) families.push_back(family_of(field, snapshots));
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return std::move(text).str();
}

}  // namespace ringmta::http
