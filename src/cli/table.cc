// SPDX-License-Identifier: GPL-3.0-or-later
// Widths are known when a page of rows is: each page is printed whole.
#include "table.h"

#include <algorithm>
#include <ostream>
#include <utility>

#include "ringmta/base/assert.h"
#include "text.h"

namespace ringmta::cli {

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (const Column& column : columns_) widths_.push_back(width_of(column.title));
}

void Table::add(std::vector<std::string> row) {
  RINGMTA_ASSERT(row.size() == columns_.size());
  for (size_t i = 0; i < row.size(); ++i) widths_[i] = std::max(widths_[i], width_of(row[i]));
  rows_.push_back(std::move(row));
}

void Table::print(std::ostream& out) {
  if (!std::exchange(titled_, true)) {
    std::vector<std::string> titles;
    for (const Column& column : columns_) titles.push_back(column.title);
    line(out, titles);
  }
  for (const auto& row : rows_) line(out, row);
  rows_.clear();
}

void Table::line(std::ostream& out, const std::vector<std::string>& cells) const {
  std::string text;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths_[i] - width_of(cells[i]), ' ');
    if (i > 0) text += "  ";
    text += columns_[i].align == Align::right ? padding + cells[i] : cells[i] + padding;
  }
  text.erase(text.find_last_not_of(' ') + 1);
  out << text << '\n';
}

}  // namespace ringmta::cli
