// SPDX-License-Identifier: GPL-3.0-or-later
// Verifies messages with mailauth for verify_test.py. Lines of JSON in: {"records": {name: text}} first, then
// {"message": base64}; lines of JSON out: [result of each signature].
'use strict';
const readline = require('readline');
const { dkimVerify } = require('mailauth/lib/dkim/verify');

let records = {};
const resolver = async (name) => {
  if (!(name in records)) {
    const error = new Error('no such name');
    error.code = 'ENOTFOUND';
    throw error;
  }
  return [[records[name]]];
};

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    if (request.records) {
      records = request.records;
      continue;
    }
    const { results } = await dkimVerify(Buffer.from(request.message, 'base64'), {
      resolver,
      minBitLength: 1024,
    });
    const words = results.map((one) => one.status.result + (one.status.comment ? ` (${one.status.comment})` : ''));
    process.stdout.write(JSON.stringify(words) + '\n');
  }
})();
