"""The behaviour of each client, and whether it looks like a program: a crawler, a script, a scan or a login attack.

`Clients` counts, in one pass over a trace, what the classes are about; the rules are in `CLASSES`. A client is any key
that limits count by.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._engine.constants import MOMENT_BITS
from .._engine.constants import NS_PER_SECOND as NS
from ._counting import SlidingCounts
from .batch import Batch
from .trace import Trace

NEAR = 5  # seconds before and after a full minute
MANY = 20  # requests, from which on shares say something
CRAWLER = re.compile(
    r"bot\b|bot[/;_-]|crawl|spider|slurp|scrap(?:er|y)|archiver|facebookexternalhit|feedfetcher|bingpreview|lighthouse|"
    r"pingdom|uptimerobot|ahrefs|semrush|mj12|gptbot|claudebot|ccbot|bytespider|headlesschrome",
    re.IGNORECASE,
)
PROBE = re.compile(
    r"/\.(?:env|git|aws|ssh|svn|ht|DS_Store|vscode)|wp-(?:login|admin|content|includes)|xmlrpc\.php|phpmyadmin|/pma/|"
    r"cgi-bin|/etc/passwd|\.\./|/actuator|/solr/|/boaform|/HNAP1|eval-stdin|/vendor/phpunit|/owa/|/manager/html|"
    r"/\.well-known/security|/config\.(?:php|json|ya?ml)|/backup|\.sql\b|shell",
    re.IGNORECASE,
)
LOGIN = re.compile(r"log-?in|sign-?in|auth|session|oauth|token|password|passwd|xmlrpc|account", re.IGNORECASE)
REFUSED_LOGINS = (400, 401, 403, 422, 429)
NOT_FOUND = (400, 403, 404, 405, 410)


@dataclass
class Class:
    """How a class of clients is recognised."""

    name: str
    plural: str
    reason: str


CLASSES = [
    Class("", "clients", ""),
    Class("login attack", "login attacks", "{failed:.0%} of its requests are refused logins"),
    Class("scan", "scans", "{odd:.0%} of its requests are for files that are not there or that only scanners ask for"),
    Class("crawler", "crawlers", "by its user agent: {agent}"),
    Class("script", "scripts", "{near:.0%} of its requests are within 5 seconds of a full minute"),
]
USUAL, LOGIN_ATTACK, SCAN, CRAWLER_CLASS, SCRIPT = range(5)


class Clients:
    """Counts by client, all arrays by id.

    Args:
        size: how many ids there are; requests with higher ids are not counted.
        agents, targets: the texts of the trace's numbers; a target is a method, a blank and a path.
        period_ns: the period of the peaks.

    Attributes:
        requests: of each client.
        peaks: the most requests in any interval of one period.
        classes: the index in CLASSES.
        left_out: requests that the peaks do not count, for lack of memory; usually 0.
    """

    def __init__(self, trace: Trace, size: int, agents: list[str], targets: list[str], period_ns: int) -> None:
        self.size = size
        self._agent_is_crawler = np.array([bool(CRAWLER.search(agent)) for agent in agents] + [False])
        self._target_is_probe = np.array([bool(PROBE.search(target)) for target in targets] + [False])
        self._target_is_login = np.array(
            [bool(LOGIN.search(target)) and not target.startswith(("GET ", "HEAD ")) for target in targets] + [False]
        )
        self.requests, self.crawling, self.odd, self.failed, self.near = np.zeros((5, size), np.int64)
        self.first = np.full(size, 1 << MOMENT_BITS, np.int64)
        self.last = np.zeros(size, np.int64)
        sliding = SlidingCounts(period_ns, size, max_times=20_000_000, each=True)
        for batch in trace.batches():
            sliding.admit(batch.ids, batch.times, np.ones(len(batch.ids), np.uint8))
            self._count(batch)
        peaks = sliding.peaks[:size]
        self.peaks: NDArray[np.int32] = np.concatenate([peaks, np.zeros(size - len(peaks), np.int32)])
        self.left_out = sliding.left_out
        self.classes = self._classified()

    def _count(self, batch: Batch) -> None:
        batch = batch if int(batch.ids.max(initial=0)) < self.size else batch.at(batch.ids < self.size)
        ids = batch.ids
        into_minute = batch.times // NS % 60
        not_found = np.isin(batch.statuses, NOT_FOUND)
        login = self._target_is_login[batch.targets]
        for counts, where in (
            (self.requests, None),
            (self.crawling, self._agent_is_crawler[batch.agents]),
            (self.odd, (self._target_is_probe[batch.targets] | not_found) & ~login),
            (self.failed, login & np.isin(batch.statuses, REFUSED_LOGINS)),
            (self.near, (into_minute < NEAR) | (into_minute >= 60 - NEAR)),
        ):
            chosen = ids if where is None else ids[where]
            if len(chosen):
                found = np.bincount(chosen)
                counts[: len(found)] += found
        np.minimum.at(self.first, ids, batch.times)
        np.maximum.at(self.last, ids, batch.times)

    def _classified(self) -> NDArray[np.int8]:
        requests = np.maximum(self.requests, 1)
        lasting = self.last - self.first >= 600 * NS
        classes = np.zeros(self.size, np.int8)
        # The last rule that holds counts.
        classes[(self.requests >= 3 * MANY) & lasting & (self.near >= 0.9 * requests)] = SCRIPT
        classes[self.crawling > 0.5 * requests] = CRAWLER_CLASS
        classes[(self.odd > 0.6 * requests) & ((self.requests >= MANY) | (self.odd == self.requests))] = SCAN
        classes[(self.failed >= MANY) & (self.failed > 0.5 * requests)] = LOGIN_ATTACK
        return classes

    def usual(self) -> NDArray[np.bool_]:
        """Which clients have no class, and so are meant to stay within a limit."""
        seen: NDArray[np.bool_] = (self.classes == USUAL) & (self.requests > 0)
        return seen

    def count(self) -> dict[str, int]:
        """How many clients there are of each class that occurs; usual ones are not among them."""
        counts = np.bincount(self.classes[self.requests > 0], minlength=len(CLASSES))
        return {kind.name: int(counts[number]) for number, kind in enumerate(CLASSES) if number and counts[number]}

    def reason(self, client: int, agent: str) -> str:
        """Why a client is of its class."""
        requests = max(int(self.requests[client]), 1)
        shares = {name: getattr(self, name)[client] / requests for name in ("failed", "odd", "near")}
        return CLASSES[int(self.classes[client])].reason.format(agent=agent, **shares)


def most_frequent(trace: Trace, clients: Iterable[int]) -> dict[int, tuple[int, int]]:
    """For each of a few clients the number of its most frequent agent, and of its most frequent target."""
    wanted = np.array(sorted(clients), np.int32)
    pairs: dict[int, list[NDArray[np.int64]]] = {0: [], 1: []}
    for batch in trace.batches():
        chosen = batch.at(np.isin(batch.ids, wanted))
        for kind, numbers in enumerate((chosen.agents, chosen.targets)):
            pairs[kind].append(np.stack([chosen.ids.astype(np.int64), numbers.astype(np.int64)]))
            if len(pairs[kind]) > 64:
                pairs[kind] = [_counted(pairs[kind])]
    found = {int(client): [-1, -1] for client in wanted}
    for kind in (0, 1):
        for client, number, _ in sorted(_counted(pairs[kind]).T.tolist(), key=lambda row: row[2]):
            found[client][kind] = number
    return {client: (agent, target) for client, (agent, target) in found.items()}


def _counted(pairs: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Columns (client, number, how often), each pair once."""
    weighted = [part if len(part) == 3 else np.vstack([part, np.ones((1, part.shape[1]), np.int64)]) for part in pairs]
    whole = np.concatenate(weighted, axis=1)
    distinct, place = np.unique(whole[:2], axis=1, return_inverse=True)
    return np.vstack([distinct, np.bincount(place.ravel(), whole[2], minlength=distinct.shape[1]).astype(np.int64)])
