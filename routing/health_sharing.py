"""What one process finds out about a target, the others need not: breakers at once, counts each second."""

from math import isfinite
from typing import Any

from routing.breaker import OPEN
from routing.health import Health
from routing.share import Channel
from routing.target_state import Key, Outcomes, TargetState

BREAKER, OUTCOMES = "breaker", "outcomes"

# Seconds by which the others put off a probe of their own while one process sends one.
PROBE_ELSEWHERE = 2.0
# Gatherings after which a process that says nothing has ended, and its requests with it.
SILENT = 3


class Sharing:
    """Between `health`, the live state of this process's targets, and the others'."""

    def __init__(self, health: Health, channel: Channel) -> None:
        self.health = health
        self.channel = channel
        # Who has how many requests under way to which target, and for how many gatherings that has not been renewed.
        self._elsewhere: dict[Key, dict[str, tuple[int, int]]] = {}
        self._told_under_way: set[Key] = set()
        health.share()
        health.on_change = self._tell
        channel.on(BREAKER, self._hear)
        channel.on(OUTCOMES, self._add)
        channel.every_second(self.gather)

    def _tell(self, state: TargetState) -> None:
        """A breaker changed here."""
        switch = state.switch
        news: dict[str, Any] = {"key": state.key, "kind": state.kind, "state": switch.state}
        if switch.state == OPEN:
            news |= {"reason": switch.reason, "credential": switch.denied}
            if switch.denied is None:
                news["retry_in"] = switch.retry_at - self.health.clock()
        self.channel.publish(BREAKER, news)

    def _hear(self, process: str, news: dict[str, Any]) -> None:
        """A breaker changed there."""
        provider_id, model = news["key"]
        now = self.health.clock()
        match news["state"]:
            case "open":
                denied = news["credential"]
                if denied is not None and self.health.credential_of(provider_id) not in (None, denied):
                    return  # that is not the secret that the provider has by now
                state = self.health.made((provider_id, model), str(news["kind"]))
                state.switch.open_as_told(now, str(news["reason"]), _number(news.get("retry_in", 0.0)), denied)
            case "closed":
                known = self.health.state((provider_id, model))
                if known is not None and known.switch.close_as_told(now):
                    known.recovered()
            case "half_open":
                known = self.health.state((provider_id, model))
                if known is not None:
                    known.switch.put_off(now + PROBE_ELSEWHERE)

    def gather(self) -> None:
        """Tell what came of this process's requests since the last time, and forget what silent processes said."""
        for state in self.health.states():
            outcomes = state.outcomes
            if outcomes is None:
                continue
            if outcomes.good or outcomes.bad or state.under_way or state.key in self._told_under_way:
                state.outcomes = Outcomes()
                told = {name: getattr(outcomes, name) for name in Outcomes.__slots__}
                self.channel.publish(
                    OUTCOMES, told | {"key": state.key, "kind": state.kind, "under_way": state.under_way}
                )
                (self._told_under_way.add if state.under_way else self._told_under_way.discard)(state.key)
        for key, processes in list(self._elsewhere.items()):
            for process, (count, age) in list(processes.items()):
                if age >= SILENT:
                    del processes[process]
                else:
                    processes[process] = (count, age + 1)
            self._sum_up(key)

    def _add(self, process: str, news: dict[str, Any]) -> None:
        """What came of another process's requests."""
        provider_id, model = news["key"]
        outcomes = Outcomes()
        for name in Outcomes.__slots__:
            setattr(outcomes, name, _number(news[name]))
        state = self.health.made((provider_id, model), str(news["kind"]))
        state.add_elsewhere(self.health.clock(), outcomes)
        self._elsewhere.setdefault(state.key, {})[process] = (max(0, int(news["under_way"])), 0)
        self._sum_up(state.key)

    def _sum_up(self, key: Key) -> None:
        processes = self._elsewhere.get(key, {})
        state = self.health.state(key)
        if state is not None:
            state.elsewhere = sum(count for count, _ in processes.values())
        if not processes or state is None:
            self._elsewhere.pop(key, None)


def _number(value: Any) -> float:
    """`value`, at least 0. Raises `ValueError` for what is no finite number: it would stay in every mean."""
    if type(value) not in (int, float) or not isfinite(value):
        raise ValueError("not a number")
    return max(0.0, float(value))
