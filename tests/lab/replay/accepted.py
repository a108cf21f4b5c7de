"""Every difference between lab and recording that is accepted, each with its reason.

The tests fail for a difference that is not here, and for one here that no longer occurs.
That the lab answers JSON where a client would rather have protobuf but takes JSON too, is accepted everywhere.
What is never a difference (uids, times, versions, addresses, made-up ends of names, hashes) is in `bindings` and `compare`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.lab.replay.compare import Difference
from tests.lab.replay.transcript import Record


@dataclass(frozen=True)
class Accepted:
    """Differences of some requests of a scenario whose place matches a pattern."""

    scenario: str
    numbers: frozenset[int]
    where: str  # a regular expression for the whole place
    reason: str
    apart_from: str = ""  # a regular expression: without what it matches, both texts have to be the same
    pattern: re.Pattern[str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", re.compile(self.where))

    def covers(self, difference: Difference) -> bool:
        """Whether it is this difference."""
        if difference.scenario != self.scenario or difference.n not in self.numbers or not self.pattern.fullmatch(difference.where):
            return False
        texts = [re.sub(self.apart_from, "", str(text), flags=re.DOTALL) for text in (difference.recorded, difference.lab)]
        return not self.apart_from or texts[0] == texts[1]

    def __str__(self) -> str:
        numbers = sorted(self.numbers)
        return f"{self.scenario} n={numbers if len(numbers) < 8 else f'{numbers[0]}…{numbers[-1]} ({len(numbers)})'} {self.where}: {self.reason}"


def accept(scenario: str, numbers: int | Iterable[int], where: str, reason: str, apart_from: str = "") -> Accepted:
    """One row of the list below."""
    return Accepted(scenario, frozenset([numbers] if isinstance(numbers, int) else numbers), where, reason, apart_from)


EXTRA_CONFIG_MAP = "the recorded server's vendor puts one more ConfigMap into each namespace; it was cut out of the recording, but is counted here"
UNLIMITED = "cgroup v1 on the recorded machine reports its largest number where there is no memory limit"
UNLIMITED_PLACES = r"(watch|body\.items)\[(Pod )?[\w./-]+\]\.status\.resources(\.limits(\.memory)?)?|body\.status\.resources\.limits(\.memory)?"
UNLIMITED_NUMBERS: dict[str, Iterable[int]] = {
    "11a": (395,),
    "04": (41, 153, 154),
    "05a": range(3, 29),
    "05b": range(27, 113),
    "05c": range(4, 34),
    "06a": range(2, 26), "06b": range(2, 30), "06c": range(2, 42), "07a": range(2, 100), "13": range(2, 90),
    "07b": range(2, 76),
    "10": range(58, 96),
}
NO_SCHEMAS = "the lab's OpenAPI documents hold the patch operations that clients look up, and no schemas"

GO_STRUCTS = "the server quotes its own Go structs, all fields; the lab quotes the object as it stands in JSON, or leaves the quotation out"
ITS_OWN_SH = "the recorded image has no /etc/passwd, so HOME was /, and its sh counts SHLVL; the lab runs the machine's sh"
TOO_EARLY = "the recorded scheduler tried once more in the milliseconds between the volume's creation and its becoming Available"
MACHINE = "what the recorded machine had; nodes of the lab are as large as asked for, keep something for themselves, and do not list their images"
REAL_SLEEP = "the pod's command is a real process and sleeps two real seconds on TERM; its ten seconds of grace are over before that in a quick lab"
OWN_TOOLS = "the recorded image's busybox has no stty and another tar; the lab runs the machine's"
NO_REPAIR = "the real allocators' repair loop had found its own address missing; the lab's allocators need no repair"

CUT_OR_504 = "a real server that has a millisecond answers 504 or cuts the connection, as it happens; the lab always answers"
ONLY_KNOWN_METHODS = "the lab's HTTP parser (llhttp) knows no method FOO and answers 400 by itself"

ACCEPTED: list[Accepted] = [
    accept("15", (16, 21, 24), r"status", CUT_OR_504),
    accept("15", 70, r"status", ONLY_KNOWN_METHODS),
    accept("15", (66, 68, 69), r"body\.metadata\.remainingItemCount", EXTRA_CONFIG_MAP),
    accept("02", 118, r"body\.(message|details\.causes\[.*\]\.message)", GO_STRUCTS, apart_from=r"\n@@ -113,7 \+113,7 @@.*"),
    accept("02", 142, r"body\.(message|details\.causes\[.*\]\.message)", GO_STRUCTS, apart_from=r"\{.*\}"),
    accept("02", (123, 124, 125), r"body\.items\[.*1abc.*\]", NO_REPAIR),
    accept("01", 55, r"body\.(paths\./version/|components\..*)", NO_SCHEMAS),
    accept("01", 74, r"status", "the lab has no protobuf answers for those who take nothing else"),
    accept("10", 37, r"body\.channel 1", OWN_TOOLS),
    accept("10", 92, r"body\.channel 2", OWN_TOOLS),
    accept("02", 111, r"body\.status\.used\.configmaps", EXTRA_CONFIG_MAP),
    accept("04", 84, r"body\.metadata\.remainingItemCount", EXTRA_CONFIG_MAP),
    accept("04", 144, r"watch\[types\]", EXTRA_CONFIG_MAP),
    *(accept(scenario, numbers, UNLIMITED_PLACES, UNLIMITED) for scenario, numbers in UNLIMITED_NUMBERS.items()),
    accept("13", range(4, 90), r"(body(\.items\[.*\])?|watch\[Node .*\])\.(spec(\.podCIDRs?.*)?|status\.(capacity|allocatable|images))\b.*", MACHINE),
    accept("06b", 9, r"body", ITS_OWN_SH),
    accept("06c", 3, r"watch\[Event Pod/db-0/.*/FailedScheduling/.*", TOO_EARLY),
    accept("07b", 45, r"watch\[.*\]\.status\.containerStatuses\[main\]\.state\.terminated\.exitCode", REAL_SLEEP),
]

# Places where the recording shows a passing state: asked in the middle of what controllers were doing, so another run shows another one.
PASSING: list[Accepted] = [
    accept("11a", 6, r"body\.status\.conditions\[Established\]\.(status|reason)", "asked within milliseconds after the definition was made"),
    accept("15", range(51, 59), r"header retry-after", "grows and shrinks with how many were turned away in the seconds before"),
    accept("12", 79, r"status|header last-modified", "the real server wrote its index anew a while after the change; the lab does so at once"),
    accept("02", 79, r"status|body.*", "asked before the claim's protection was taken away"),
    accept("02", (123, 124, 125), r"body\.items\[.*pvc1.*\]\.(count|deprecatedCount)", "said again every 15 s until the claim was deleted"),
    accept("08", 24, r"body\.status\.conditions\[Namespace(Content|Finalizers)Remaining\]\..*", "asked 0.2 s before the deletion's next step"),
    accept("10", (93, 95), r"body\.status\.ephemeralContainerStatuses\[dbg\]\.state\..*", "a process of five seconds: it may have ended by now"),
    accept("10", (68,), r"body\.status\.containerStatuses\[m\]\.restartCount", "as many restarts as there had been time for"),
    accept("02", 129, r"body\.(status|metadata\.resourceVersion).*", "asked in the middle of a Pod's last second"),
    accept("02", 134, r"body\.(status|metadata\.(resourceVersion|annotations)).*", "asked before the controller had seen the Deployment"),
    accept("06b", 25, r"body\.items\[.*\]\.(status\..*|metadata\.generation)", "asked within milliseconds of the sets' delete"),
    accept("07a", (38, 42), r"(watch|body\.items)\[(Event )?Pod/onf-.*/Killing/.*", "processes take real time: had it ended?"),
    accept("13", 42, r"body\.status\.expectedPods", "asked before the new pod was counted"),
    accept("05c", 21, r"status|body\..*", "asked within milliseconds of the delete, before the garbage collector had come"),
    accept("03", (87, 105), r"(body\.status|managedFields\.kube-controller-manager Update status)\..*", "asked in the middle of a rollout"),
    accept("03", (87, 105), r"body\.metadata\.resourceVersion", "asked in the middle of a rollout"),
    accept("03", 106, r"body\.status\.(observedGeneration|\w*[rR]eplicas)", "written in the middle of a rollout"),
]


def passing(record: Record, where: str) -> bool:
    """Whether the recorded value at this place was chance."""
    return any(one.scenario == record.scenario and record.n in one.numbers and one.pattern.fullmatch(where) for one in PASSING)


def judge(scenario: str, found: list[Difference]) -> tuple[list[Difference], list[Accepted], list[tuple[Accepted, int]]]:
    """Unknown differences, accepted ones that did not occur, and how often each accepted one did."""
    rows = [row for row in ACCEPTED if row.scenario == scenario]
    counts = [(row, sum(row.covers(one) for one in found)) for row in rows]
    unknown = [one for one in found if not any(row.covers(one) for row in rows)]
    return unknown, [row for row, count in counts if not count], counts
