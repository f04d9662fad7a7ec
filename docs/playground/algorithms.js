// The decision functions of the five algorithms, for one key. tests/project/test_playground.py compares them with the
// specification, tests/oracle.py.
//
// Every number is a BigInt and every moment a whole number of nanoseconds, so that nothing is rounded. A rule is
// {limit, period, burst}; the burst of a leaky bucket is its capacity, and windows and the log ignore it. A state is
// never changed: `spend` returns a new one. `bound` is the most that can be served in one period, as
// docs/algorithms.md proves, and `left` a remainder with decimals, for the picture.

const earlier = (a, b) => (a < b ? a : b);
const later = (a, b) => (a > b ? a : b);
const ceiling = (a, b) => (a > 0n ? (a + b - 1n) / b : 0n);

// --- buckets: the generic cell rate algorithm

/**
 * The state is the time at which the bucket is full again, in ticks: a nanosecond is `unit(rule)` of them, so that the
 * interval between two requests is a whole number of ticks.
 */
function bucket({ unit, interval, maximum, turn, bound, closed }) {
  const ahead = (rule, full, now) => later(full - now * unit(rule), 0n);
  const tolerance = (rule) => maximum(rule) * interval(rule);
  return {
    fresh: 0n,
    maximum,
    bound,
    closed,
    spend: (rule, full, now, cost) => later(full, now * unit(rule)) + cost * interval(rule),
    ready: (rule, full, now, cost) =>
      later(now, ceiling(full + cost * interval(rule) - tolerance(rule), unit(rule))),
    remaining: (rule, full, now) => later(tolerance(rule) - ahead(rule, full, now), 0n) / interval(rule),
    freshAt: (rule, full, now) => later(now, ceiling(full, unit(rule))),
    turn: (rule, full, now) => (turn ? later(now, full) : now),
    left: (rule, full, now) => Number(tolerance(rule) - ahead(rule, full, now)) / Number(interval(rule)),
  };
}

// A tick is a nanosecond divided by the limit, so an interval is as many ticks as the period has nanoseconds.
const tokenBucket = bucket({
  unit: (rule) => rule.limit,
  interval: (rule) => rule.period,
  maximum: (rule) => rule.burst,
  turn: false,
  bound: (rule) => rule.burst + rule.limit,
  closed: true, // the bound holds for an interval with both of its ends
});

// A tick is a nanosecond, and the interval is rounded up, so that turns are whole nanoseconds.
const leakyBucket = bucket({
  unit: () => 1n,
  interval: (rule) => ceiling(rule.period, rule.limit),
  maximum: (rule) => rule.burst + 1n,
  turn: true,
  bound: (rule) => rule.limit,
});

// --- windows

const fixedWindow = {
  fresh: { start: 0n, count: 0n },
  maximum: (rule) => rule.limit,
  bound: (rule) => 2n * rule.limit,
  /** Return the window of a moment; one that has not begun yet stays. */
  at(rule, state, now) {
    return now < state.start + rule.period ? state : { start: now - (now % rule.period), count: 0n };
  },
  spend(rule, state, now, cost) {
    const { start, count } = this.at(rule, state, now);
    return { start, count: count + cost };
  },
  ready(rule, state, now, cost) {
    const { start, count } = this.at(rule, state, now);
    return count + cost <= rule.limit ? later(now, start) : start + rule.period;
  },
  remaining(rule, state, now) {
    const { start, count } = this.at(rule, state, now);
    return now < start ? 0n : later(rule.limit - count, 0n);
  },
  freshAt(rule, state, now) {
    const { start, count } = this.at(rule, state, now);
    return count ? start + rule.period : later(now, start);
  },
  turn: (rule, state, now) => now,
  left(rule, state, now) {
    return Number(this.remaining(rule, state, now));
  },
};

const slidingWindow = {
  fresh: { index: 0n, previous: 0n, current: 0n },
  maximum: (rule) => rule.limit,
  bound: (rule) => 2n * rule.limit - 1n,
  /** Return the two counters as of a later window. */
  roll(state, index) {
    if (index <= state.index) return state;
    return { index, previous: index === state.index + 1n ? state.current : 0n, current: 0n };
  },
  at(rule, state, now) {
    return this.roll(state, now / rule.period);
  },
  /** Return what the previous window still counts, in requests times the period. */
  weight: (rule, { index, previous }, now) => previous * ((index + 1n) * rule.period - now),
  spend(rule, state, now, cost) {
    const { index, previous, current } = this.at(rule, state, now);
    return { index, previous, current: current + cost };
  },
  ready(rule, state, now, cost) {
    for (let seen = this.at(rule, state, now); ; seen = this.roll(seen, seen.index + 1n)) {
      const start = seen.index * rule.period;
      const room = rule.limit - seen.current - cost;
      if (room < 0n) continue;
      // The part of the previous window that may still count, in nanoseconds.
      const counting = seen.previous ? earlier((room * rule.period) / seen.previous, rule.period) : rule.period;
      if (counting) return later(now, start + rule.period - counting);
    }
  },
  remaining(rule, state, now) {
    const seen = this.at(rule, state, now);
    if (now < seen.index * rule.period) return 0n;
    return later((rule.limit - seen.current) * rule.period - this.weight(rule, seen, now), 0n) / rule.period;
  },
  freshAt(rule, state, now) {
    const { index, previous, current } = this.at(rule, state, now);
    return current ? (index + 2n) * rule.period : previous ? (index + 1n) * rule.period : later(now, index * rule.period);
  },
  turn: (rule, state, now) => now,
  left(rule, state, now) {
    const seen = this.at(rule, state, now);
    return Number(rule.limit - seen.current) - Number(this.weight(rule, seen, now)) / Number(rule.period);
  },
};

/** The state is the moments of the last requests, at most `limit` of them. */
const slidingLog = {
  fresh: [],
  maximum: (rule) => rule.limit,
  bound: (rule) => rule.limit,
  live: (rule, log, now) => BigInt(log.filter((moment) => moment + rule.period > now).length),
  spend(rule, log, now, cost) {
    const moment = log.length ? later(now, log.at(-1)) : now;
    return [...log, ...Array(Number(cost)).fill(moment)].slice(-Number(rule.limit));
  },
  ready(rule, log, now, cost) {
    const moment = log.at(-1 - Number(rule.limit - cost)); // it has to leave first
    return moment === undefined ? now : later(now, moment + rule.period);
  },
  remaining(rule, log, now) {
    return rule.limit - this.live(rule, log, now);
  },
  freshAt: (rule, log, now) => (log.length ? later(now, log.at(-1) + rule.period) : now),
  turn: (rule, log, now) => now,
  left(rule, log, now) {
    return Number(this.remaining(rule, log, now));
  },
};

export const ALGORITHMS = {
  "token-bucket": tokenBucket,
  "leaky-bucket": leakyBucket,
  "fixed-window": fixedWindow,
  "sliding-window": slidingWindow,
  "sliding-log": slidingLog,
};

// --- decisions

const decisionOf = (algorithm, rule, state, now, rest) => ({
  ...rest,
  limit: algorithm.maximum(rule),
  remaining: algorithm.remaining(rule, state, now),
  resetAfter: algorithm.freshAt(rule, state, now) - now,
});

/** Return the decision that `hit` would return, without the cost spent. */
export function peek(algorithm, rule, state, now, cost = 1n) {
  const ready = cost > algorithm.maximum(rule) ? null : algorithm.ready(rule, state, now, cost);
  const allowed = ready === now;
  const retryAfter = ready === null ? null : ready - now; // null: never
  const delay = allowed ? algorithm.turn(rule, state, now) - now : 0n;
  return decisionOf(algorithm, rule, state, now, { allowed, retryAfter, delay });
}

/** Return the decision of a request, and the state after it. */
export function hit(algorithm, rule, state, now, cost = 1n) {
  const decision = peek(algorithm, rule, state, now, cost);
  if (!decision.allowed) return { decision, state };
  const after = algorithm.spend(rule, state, now, cost);
  return { decision: decisionOf(algorithm, rule, after, now, decision), state: after };
}
