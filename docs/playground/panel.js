// One panel for each algorithm: its numbers, its state at a moment, and the picture of its decisions.

import { hit } from "./algorithms.js";

const HEIGHT = 118; // of the curve
const LANE = 16;
const LEFT = 64;
const RIGHT = 10;
export const SHOWN = 4; // periods in the picture

const svg = (name, attributes, text = "") => {
  const values = Object.entries(attributes).map(([key, value]) => ` ${key}="${value}"`);
  return `<${name}${values.join("")}>${text}</${name}>`;
};

/**
 * Return how many requests were served in the period before each moment at which this number changes. The bound of a
 * token bucket holds for intervals with both ends, those of the others for intervals without the first moment.
 */
export function trailing(requests, rule, closed) {
  const changes = new Map();
  const change = (at, by) => changes.set(at, (changes.get(at) ?? 0) + by);
  for (const { allowed, turn } of requests) {
    if (!allowed) continue;
    change(turn, 1);
    change(turn + rule.period + (closed ? 1n : 0n), -1);
  }
  let count = 0;
  return [...changes]
    .filter(([, by]) => by)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([at, by]) => ({ at, count: (count += by) }));
}

const UNITS = [["d", 86400e9], ["h", 3600e9], ["min", 60e9], ["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];

/** Return a duration in the largest unit that fits, such as "12 s". */
export function duration(ns) {
  const [unit, size] = UNITS.find(([, size]) => Number(ns) >= size) ?? ["s", 1e9];
  return `${Number((Number(ns) / size).toPrecision(3))} ${unit}`;
}

export class Panel {
  constructor(name, title, root) {
    this.name = name;
    this.root = root;
    root.innerHTML = `<h2 id="title-${name}">${title}</h2>
      <p class="numbers"><b class="admitted"></b> admitted, <b class="refused"></b> refused</p>
      <p class="most"></p>
      <div class="meter" aria-hidden="true"><i></i></div>
      <p class="state"></p>
      <div class="picture"></div>`;
    this.part = Object.fromEntries(
      ["admitted", "refused", "most", "meter", "state", "picture"].map((part) => [part, root.querySelector(`.${part}`)]),
    );
  }

  /** Take the decided requests. */
  load(algorithm, rule, requests, origin) {
    Object.assign(this, { algorithm, rule, requests, origin, counts: trailing(requests, rule, algorithm.closed) });
    this.bound = Number(algorithm.bound(rule));
    this.lanes = this.name === "leaky-bucket" ? ["admitted", "served", "refused"] : ["admitted", "refused"];
  }

  x(at) {
    return LEFT + (Number(at - this.begin) / Number(this.rule.period) / SHOWN) * (this.width - LEFT - RIGHT);
  }

  y(count) {
    return HEIGHT - 4 - (count / (this.bound * 1.12)) * (HEIGHT - 22);
  }

  /** Draw the periods from a moment on; the times of the axis count from the origin. */
  draw(begin) {
    this.begin = begin;
    this.width = Math.max(this.part.picture.clientWidth, 280);
    const end = begin + BigInt(SHOWN) * this.rule.period;
    const height = HEIGHT + LANE * this.lanes.length + 18;
    const inside = `<g clip-path="url(#past-${this.name})">${this.curve(begin, end)}${this.marks(begin, end)}</g>`;
    const clip = svg("clipPath", { id: `past-${this.name}` }, svg("rect", { x: 0, y: 0, width: 0, height }));
    const playhead = svg("line", { class: "playhead", x1: 0, x2: 0, y1: 12, y2: height - 16 });
    const label = `aria-labelledby="title-${this.name} alternative-${this.name}"`;
    this.part.picture.innerHTML = `<svg role="img" ${label} viewBox="0 0 ${this.width} ${height}" width="${this.width}" height="${height}">
      <desc id="alternative-${this.name}">${this.alternative()}</desc>${clip}${this.grid(begin, end, height)}${inside}${this.lines()}${playhead}</svg>`;
    this.clip = this.part.picture.querySelector("clipPath rect");
    this.line = this.part.picture.querySelector(".playhead");
  }

  alternative() {
    const most = this.counts.reduce((most, one) => Math.max(most, one.count), 0);
    return `A curve of the requests served in the last period. It reaches ${most}; the limit is ${this.rule.limit} and the proved bound ${this.bound}.`;
  }

  grid(begin, end, height) {
    const parts = [];
    for (let at = begin + ((this.rule.period - (begin % this.rule.period)) % this.rule.period); at <= end; at += this.rule.period) {
      const x = this.x(at);
      parts.push(svg("line", { class: "window", x1: x, x2: x, y1: 12, y2: height - 16 }));
      const anchor = at === end ? "end" : "middle";
      parts.push(svg("text", { x, y: height - 3, "text-anchor": anchor }, duration(at - this.origin)));
    }
    this.lanes.forEach((lane, i) => {
      parts.push(svg("text", { x: LEFT - 6, y: HEIGHT + LANE * (i + 1) - 3, "text-anchor": "end" }, lane));
    });
    return parts.join("");
  }

  lines() {
    const line = (count, kind, text) =>
      svg("line", { class: kind, x1: LEFT, x2: this.width - RIGHT, y1: this.y(count), y2: this.y(count) }) +
      svg("text", { class: kind, x: LEFT - 6, y: this.y(count) + 4, "text-anchor": "end" }, text);
    const limit = Number(this.rule.limit);
    const bound = limit === this.bound ? "" : line(this.bound, "bound", `bound ${this.bound}`);
    return bound + line(limit, limit === this.bound ? "limit bound" : "limit", limit === this.bound ? `bound ${limit}` : `limit ${limit}`);
  }

  curve(begin, end) {
    const before = this.counts.findLast((one) => one.at <= begin);
    let count = before ? before.count : 0;
    let path = `M${LEFT} ${this.y(0)}V${this.y(count)}`;
    for (const one of this.counts) {
      if (one.at <= begin || one.at > end) continue;
      count = one.count;
      path += `H${this.x(one.at).toFixed(1)}V${this.y(count).toFixed(1)}`;
    }
    path += `H${this.width - RIGHT}`;
    return svg("path", { class: "area", d: `${path}V${this.y(0)}Z` }) + svg("path", { class: "curve", d: path });
  }

  marks(begin, end) {
    const paths = { admitted: "", served: "", refused: "", delay: "" };
    const top = (lane) => HEIGHT + LANE * this.lanes.indexOf(lane) + 4;
    for (const one of this.requests) {
      if (one.at > end || one.turn < begin) continue;
      const x = this.x(one.at).toFixed(1);
      if (!one.allowed) {
        paths.refused += `M${x - 3} ${top("refused") + 1}l6 7m0 -7l-6 7`;
        continue;
      }
      if (one.at >= begin) paths.admitted += `M${x} ${top("admitted")}v10`;
      if (this.lanes.includes("served") && one.turn <= end) {
        const turn = this.x(one.turn).toFixed(1);
        paths.served += `M${turn} ${top("served")}v10`;
        paths.delay += `M${x} ${top("admitted") + 10}L${turn} ${top("served")}`;
      }
    }
    return Object.entries(paths).map(([kind, d]) => svg("path", { class: kind, d })).join("");
  }

  /** Show the numbers and the state of a moment. */
  show(now) {
    const past = this.requests.filter((one) => one.at <= now);
    const admitted = past.filter((one) => one.allowed).length;
    const most = this.counts.reduce((most, one) => (one.at <= now ? Math.max(most, one.count) : most), 0);
    const state = past.length ? past.at(-1).state : this.algorithm.fresh;
    const maximum = Number(this.algorithm.maximum(this.rule));
    const left = Math.max(0, Math.min(maximum, this.algorithm.left(this.rule, state, now)));
    this.part.admitted.textContent = admitted;
    this.part.refused.textContent = past.length - admitted;
    this.part.most.textContent = `most in one period: ${most}; proved: never above ${this.bound}`;
    this.part.meter.firstChild.style.width = `${(100 * left) / maximum}%`;
    this.part.state.textContent = DESCRIBE[this.name](this.rule, this.algorithm, state, now, left);
    const x = Math.max(LEFT, this.x(now));
    this.clip.setAttribute("width", x);
    this.line.setAttribute("x1", x);
    this.line.setAttribute("x2", x);
  }
}

/** Return the time until the next request is admitted, as text. */
function next(rule, algorithm, state, now) {
  const { decision } = hit(algorithm, rule, state, now);
  return decision.allowed ? "the next request is admitted" : `the next request is admitted in ${duration(decision.retryAfter)}`;
}

const DESCRIBE = {
  "token-bucket": (rule, algorithm, state, now, left) =>
    `${left.toFixed(1)} of ${rule.burst} tokens; ${next(rule, algorithm, state, now)}`,
  "leaky-bucket": (rule, algorithm, state, now, left) => {
    const queue = Math.ceil(Number(algorithm.maximum(rule)) - left);
    return `${Math.max(0, queue - 1)} of ${rule.burst} wait; ${next(rule, algorithm, state, now)}`;
  },
  "fixed-window": (rule, algorithm, state, now) => {
    const { count } = algorithm.at(rule, state, now);
    return `${count} of ${rule.limit} spent in this window; ${next(rule, algorithm, state, now)}`;
  },
  "sliding-window": (rule, algorithm, state, now) => {
    const seen = algorithm.at(rule, state, now);
    const share = Number(algorithm.weight(rule, seen, now)) / Number(rule.period);
    return `${seen.current} in this window, and ${share.toFixed(1)} of ${seen.previous} of the last; ${next(rule, algorithm, state, now)}`;
  },
  "sliding-log": (rule, algorithm, state, now) =>
    `${algorithm.live(rule, state, now)} of ${rule.limit} in the last period; ${next(rule, algorithm, state, now)}`,
};
