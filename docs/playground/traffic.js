// Made-up traffic, and the reading of a pasted log. Moments are whole nanoseconds, as BigInt, from 0 or since 1970.

import { hit, peek } from "./algorithms.js";

/** Return a function that returns numbers from 0 to 1, the same ones for each seed. */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Return moments, given in periods, in order and in nanoseconds. */
function moments(rule, periods) {
  return periods.map((time) => BigInt(Math.round(time * Number(rule.period)))).sort((a, b) => (a < b ? -1 : 1));
}

const spread = (count, begin, end, next = (i) => (i + 0.5) / count) =>
  Array.from({ length: count }, (_, i) => begin + (end - begin) * next(i));

/** Traffic over four periods, by the rule. */
export const TRAFFIC = {
  mixed(rule) {
    const limit = Number(rule.limit);
    const next = random(7);
    return moments(rule, [
      ...spread(Math.ceil(limit / 2), 0.02, 0.9),
      ...spread(limit + 2, 0.35, 0.4, next),
      ...spread(limit + 2, 1.88, 1.99, next),
      ...spread(limit + 2, 2.01, 2.12, next),
      ...spread(Math.ceil(2.5 * limit), 2.8, 3.95),
    ]);
  },
  steady: (rule) => moments(rule, spread(Math.ceil(Number(rule.limit) * 1.5 * 4), 0, 4)),
  boundary(rule) {
    const count = Math.ceil(Number(rule.limit) * 1.25);
    return moments(rule, [1, 3].flatMap((at) => [...spread(count, at - 0.12, at), ...spread(count, at, at + 0.12)]));
  },
};

/** Decide the moments in order. */
export function simulate(algorithm, rule, moments) {
  let state = algorithm.fresh;
  return moments.map((at) => {
    const result = hit(algorithm, rule, state, at);
    state = result.state;
    return request(at, result);
  });
}

const request = (at, { decision, state }) => ({ at, allowed: decision.allowed, turn: at + decision.delay, state });

/** Decide the requests of a client that sends each at the first nanosecond at which it is admitted. */
export function greedy(algorithm, rule) {
  const requests = [];
  let state = algorithm.fresh;
  let now = rule.period - 1n; // just before a window begins, which is the worst that a client can do
  while (now < 3n * rule.period) {
    const result = hit(algorithm, rule, state, now);
    state = result.state;
    requests.push(request(now, result));
    now += peek(algorithm, rule, state, now).retryAfter;
  }
  return requests;
}

// --- a pasted log

const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";
const COMMON = /\[(\d\d)\/(\w{3})\/(\d{4}):(\d\d):(\d\d):(\d\d)(?:\.(\d+))? ([+-])(\d\d)(\d\d)\]/;
const ISO = /(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:?\d\d)?/;
const EPOCH = /(?:^|\s)(\d{9,10})(?:\.(\d+))?(?=\s|$)/;

/** Return the milliseconds since 1970 of a time of the calendar; NaN if there is no such time, as on 31 February. */
function calendar(date, time, zone) {
  const local = Date.parse(`${date}T${time}Z`);
  if (Number.isNaN(local) || !new Date(local).toISOString().startsWith(`${date}T${time}`)) return NaN;
  const [, sign, hours, minutes] = zone.match(/([+-])(\d\d):?(\d\d)/) ?? ["", "+", 0, 0];
  return local - Number(`${sign}1`) * (60 * hours + +minutes) * 60_000;
}

/** Return the text of a line that is its time, its milliseconds and the digits of its fraction; null without a time. */
function timeOf(line) {
  let found = line.match(COMMON);
  if (found) {
    const [text, day, month, year, hour, minute, second, digits, sign, hours, minutes] = found;
    const number = String(MONTHS.indexOf(month) / 3 + 1).padStart(2, "0");
    return [text, calendar(`${year}-${number}-${day}`, `${hour}:${minute}:${second}`, sign + hours + minutes), digits];
  }
  if ((found = line.match(ISO))) return [found[0], calendar(found[1], found[2], found[4] ?? "Z"), found[3]];
  if ((found = line.match(EPOCH))) return [found[0], Number(found[1]) * 1000, found[2]];
  return null;
}

export const LINES = 20_000; // of a pasted log; more would keep the page busy for seconds

/**
 * Read a log: each line has a time since 1970 and a client, which is its first other word. Return the moments of each
 * client, the one with most requests first, the numbers of the lines that cannot be read, and how many were left out.
 */
export function readLog(text) {
  const clients = new Map();
  const broken = [];
  const lines = text.trimEnd().split("\n");
  lines.slice(0, LINES).forEach((line, index) => {
    if (!line.trim()) return;
    const [found, milliseconds, digits = ""] = timeOf(line) ?? ["", NaN];
    if (!(milliseconds >= 0)) return broken.push(index + 1);
    const at = BigInt(milliseconds) * 1_000_000n + BigInt(digits.padEnd(9, "0").slice(0, 9));
    const client = line.replace(found, " ").trim().split(/\s+/)[0] || "(no client)";
    if (!clients.has(client)) clients.set(client, []);
    clients.get(client).push(at);
  });
  const sorted = [...clients].map(([client, at]) => ({ client, at: at.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)) }));
  sorted.sort((a, b) => b.at.length - a.at.length);
  return { clients: sorted, broken, leftOut: Math.max(0, lines.length - LINES) };
}
