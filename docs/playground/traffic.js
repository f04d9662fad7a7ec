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

const nanoseconds = (milliseconds, digits = "") => BigInt(milliseconds) * 1_000_000n + BigInt(digits.padEnd(9, "0").slice(0, 9));

/** Return the moment of a line and the text that is not its time; null if it has no time that can be read. */
function timeOf(line) {
  let found = line.match(COMMON);
  if (found) {
    const [, day, month, year, hour, minute, second, digits, sign, hours, minutes] = found;
    const index = MONTHS.indexOf(month) / 3;
    if (!Number.isInteger(index) || index < 0) return null;
    const zone = (sign === "-" ? -1 : 1) * (60 * hours + +minutes);
    const time = Date.UTC(year, index, day, hour, minute, second) - zone * 60_000;
    return { at: nanoseconds(time, digits), rest: line.replace(found[0], " ") };
  }
  if ((found = line.match(ISO))) {
    const time = Date.parse(`${found[1]}T${found[2]}${found[4] ?? "Z"}`);
    return Number.isNaN(time) ? null : { at: nanoseconds(time, found[3]), rest: line.replace(found[0], " ") };
  }
  if ((found = line.match(EPOCH))) {
    return { at: nanoseconds(Number(found[1]) * 1000, found[2]), rest: line.replace(found[0], " ") };
  }
  return null;
}

/**
 * Read a log: each line has a time and a client, which is its first other word. Return the moments of each client, the
 * one with most requests first, and the numbers of the lines that cannot be read.
 */
export function readLog(text) {
  const clients = new Map();
  const broken = [];
  text.split("\n").forEach((line, index) => {
    if (!line.trim()) return;
    const found = timeOf(line);
    if (!found) return broken.push(index + 1);
    const client = found.rest.trim().split(/\s+/)[0] || "(no client)";
    if (!clients.has(client)) clients.set(client, []);
    clients.get(client).push(found.at);
  });
  const sorted = [...clients].map(([client, at]) => ({ client, at: at.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)) }));
  return { clients: sorted.sort((a, b) => b.at.length - a.at.length), broken };
}
