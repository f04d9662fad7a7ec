// The controls: they choose the rule and the traffic, move the time, and send requests by hand.

import { ALGORITHMS, peek } from "./algorithms.js";
import { LINES, TRAFFIC, greedy, readLog, simulate } from "./traffic.js";
import { Panel, SHOWN, duration } from "./panel.js";

const SECONDS_A_PERIOD = 5; // while it plays
const TITLES = {
  "token-bucket": "Token bucket",
  "leaky-bucket": "Leaky bucket",
  "fixed-window": "Fixed window",
  "sliding-window": "Sliding window",
  "sliding-log": "Sliding log",
};
const element = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const shortened = (text) => (text.length > 60 ? `${text.slice(0, 59)}…` : text);

const panels = Object.keys(ALGORITHMS).map((name) => new Panel(name, TITLES[name], element(name)));
const page = { now: 0n, begin: 0n, origin: 0n, end: 0n, sent: [], log: { clients: [] }, playing: 0 };

function rule() {
  return {
    limit: BigInt(element("limit").value),
    period: BigInt(element("period").value),
    burst: BigInt(element("burst").value),
  };
}

/** Return the moments of the chosen traffic, without those sent by hand. */
function traffic(now) {
  const kind = chosen("traffic");
  if (kind === "log") return page.log.clients[element("client").selectedIndex]?.at ?? [];
  return TRAFFIC[kind]?.(now) ?? [];
}

/** Decide everything again, after a change of the rule or the traffic. */
function decide() {
  const current = rule();
  const given = traffic(current);
  const kind = chosen("traffic");
  const moments = [...given, ...page.sent].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  page.origin = kind === "log" && given.length ? given[0] - (given[0] % current.period) : 0n;
  const span = BigInt(SHOWN) * current.period;
  page.end = kind === "log" && given.length ? given.at(-1) + current.period : kind === "hand" ? null : span;
  for (const panel of panels) {
    const algorithm = ALGORITHMS[panel.name];
    panel.load(algorithm, current, kind === "greedy" ? greedy(algorithm, current) : simulate(algorithm, current, moments), page.origin);
  }
  element("send").disabled = kind === "greedy";
}

/** Move the time, and the periods that are shown. */
function move(now, drawAgain = false) {
  const { period } = rule();
  const span = BigInt(SHOWN) * period;
  const last = page.end ?? (now > page.origin + span ? now : page.origin + span);
  page.now = now < page.origin ? page.origin : now > last ? last : now;
  let begin = page.begin;
  if (page.now < begin || page.now > begin + span || begin < page.origin) {
    begin = page.now - (page.now % period) - period;
    if (page.now <= page.origin + span) begin = page.origin;
    drawAgain = true;
  }
  page.begin = begin;
  for (const panel of panels) {
    if (panel.root.hidden) continue;
    if (drawAgain) panel.draw(begin);
    panel.show(page.now);
  }
  element("time").max = Number(last - page.origin);
  element("time").value = Number(page.now - page.origin);
  const text = `${duration(page.now - page.origin)} of ${duration(last - page.origin)}`;
  element("time").setAttribute("aria-valuetext", text);
  element("clock").textContent = text;
}

function restart(atEnd) {
  stop();
  decide();
  page.begin = page.origin;
  move(atEnd && page.end !== null ? page.end : page.origin, true);
}

function play() {
  if (page.end !== null && page.now >= page.end) move(page.origin);
  page.playing = requestAnimationFrame(function frame(time) {
    const passed = page.frame === undefined ? 0 : Math.min(time - page.frame, 100);
    page.frame = time;
    move(page.now + BigInt(Math.round((passed / 1000 / SECONDS_A_PERIOD) * Number(rule().period))));
    if (page.end !== null && page.now >= page.end) return stop();
    page.playing = requestAnimationFrame(frame);
  });
  element("play").textContent = "Pause";
}

function stop() {
  cancelAnimationFrame(page.playing);
  page.playing = 0;
  page.frame = undefined;
  element("play").textContent = "Play";
}

/** Send a request now. */
function send() {
  if (element("send").disabled) return;
  const said = panels.filter((panel) => !panel.root.hidden).map((panel) => {
    const past = panel.requests.filter((one) => one.at <= page.now);
    const state = past.length ? past.at(-1).state : panel.algorithm.fresh;
    const { allowed, delay, retryAfter } = peek(panel.algorithm, panel.rule, state, page.now);
    const answer = !allowed ? `refused, again in ${duration(retryAfter)}` : delay ? `admitted, its turn in ${duration(delay)}` : "admitted";
    return `${TITLES[panel.name]}: ${answer}`;
  });
  page.sent.push(page.now);
  decide();
  move(page.now, true);
  element("answer").textContent = said.join(". ");
}

function read() {
  page.log = readLog(element("log").value);
  const { clients, broken, leftOut } = page.log;
  element("client").replaceChildren(
    ...clients.map((one) => new Option(`${shortened(one.client)} (${counted(one.at.length, "request")})`)),
  );
  const count = clients.reduce((sum, one) => sum + one.at.length, 0);
  const missing = broken.length ? ` Lines without a time that can be read: ${broken.length}, the first is line ${broken[0]}.` : "";
  const more = leftOut ? ` Lines after line ${LINES} that were left out: ${leftOut}.` : "";
  element("read").textContent = `${counted(count, "request")} of ${counted(clients.length, "client")}.${missing}${more}`;
  restart(true);
}

function labels() {
  const period = element("period").selectedOptions[0].textContent;
  element("limit-text").textContent = `${element("limit").value} in ${period}`;
  element("burst-text").textContent = element("burst").value;
  const log = chosen("traffic") === "log";
  element("pasted").hidden = !log;
  element("answer").textContent = chosen("traffic") === "hand" ? "Play, and send requests: by the button, a click into a picture, or the key S." : "";
}

for (const id of ["limit", "burst", "period"]) {
  element(id).addEventListener("input", () => {
    labels();
    if (id === "period") page.sent = [];
    const place = page.end === null ? page.now : Number(page.now - page.origin) / Number(page.end - page.origin);
    const playing = page.playing;
    decide();
    if (id === "period") page.begin = page.origin;
    if (page.end !== null && id === "period") page.now = page.origin + BigInt(Math.round(Number(page.end - page.origin) * place));
    move(page.now, true);
    if (!playing) stop();
  });
}
for (const radio of document.querySelectorAll("input[name=traffic]")) {
  radio.addEventListener("change", () => {
    page.sent = [];
    labels();
    restart(true);
  });
}
for (const box of document.querySelectorAll("input[name=algorithm]")) {
  box.addEventListener("change", () => {
    element(box.value).hidden = !box.checked;
    move(page.now, true);
  });
}
element("play").addEventListener("click", () => (page.playing ? stop() : play()));
element("send").addEventListener("click", send);
element("time").addEventListener("input", (event) => {
  stop();
  move(page.origin + BigInt(Math.round(Number(event.target.value))));
});
element("panels").addEventListener("click", (event) => event.target.closest("svg") && send());
element("log").addEventListener("input", read);
element("client").addEventListener("change", () => restart(true));
addEventListener("keydown", (event) => {
  if (event.target.matches("textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "s") send();
  if (event.key === "p") element("play").click();
});
new ResizeObserver(() => move(page.now, true)).observe(element("panels"));

labels();
restart(true);
element("panels").dataset.ready = "true";
