"""What holds of a breaker whatever happens to it, in whatever order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from keys.kinds import KINDS
from routing.breaker import LONGEST_COOL_DOWN, LONGEST_RETRY_AFTER
from routing.flight import Flight
from routing.health import Health
from routing.providers.base import Target

TARGET = Target("provider", "p", KINDS["openai_compatible"], "http://localhost/v1", "m", True, None)
retry_afters = st.none() | st.floats(0, 1e6)


class Machine(RuleBasedStateMachine):
    """Requests begin and end in any order, while time passes and other processes tell what they found."""

    flights = Bundle("flights")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.health = Health(lambda: self.now)
        self.has = "secret 1"
        self.health.credential_of = lambda provider_id: self.has
        self.open: list[Flight] = []

    @rule(target=flights, last_resort=st.booleans(), stream=st.booleans())
    def begins(self, last_resort: bool, stream: bool) -> Flight | None:
        state = self.health.state(TARGET.key)
        available = self.health.available(TARGET.key, self.now)
        flight = self.health.begin(TARGET, stream=stream, last_resort=last_resort)
        if flight is None:
            assert not available
            assert not last_resort or (state is not None and state.denied)
        else:
            assert available or last_resort
            self.open.append(flight)
        return flight

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(flight=consumes(flights), tokens=st.integers(0, 5000))
    def answers(self, flight: Flight | None, tokens: int) -> None:
        if flight is not None:
            flight.first_byte()
            flight.completed(tokens)
            self.open.remove(flight)

    @rule(flight=flights)
    def begins_to_answer(self, flight: Flight | None) -> None:
        if flight is not None and not flight.ended:
            flight.first_byte()

    @rule(flight=consumes(flights), retry_after=retry_afters, slow=st.booleans())
    def fails(self, flight: Flight | None, retry_after: float | None, slow: bool) -> None:
        if flight is not None:
            flight.failed("HTTP 500", retry_after=retry_after, too_slow=slow)
            self.open.remove(flight)

    @rule(flight=consumes(flights), retry_after=retry_afters)
    def limits(self, flight: Flight | None, retry_after: float | None) -> None:
        if flight is not None:
            flight.limited("it limits our rate", retry_after)
            self.open.remove(flight)

    @rule(flight=consumes(flights), how=st.sampled_from(["given_up", "lost", "refused"]))
    def says_nothing(self, flight: Flight | None, how: str) -> None:
        if flight is not None:
            getattr(flight, how)()
            self.open.remove(flight)

    @rule(flight=consumes(flights), sent=st.sampled_from(["secret 1", "secret 2"]))
    def refuses_the_secret(self, flight: Flight | None, sent: str) -> None:
        if flight is not None:
            flight.denied(sent, "it refuses our secret")
            self.open.remove(flight)

    @rule(secret=st.sampled_from(["secret 1", "secret 2"]))
    def the_operator_enters(self, secret: str) -> None:
        self.has = secret

    @precondition(lambda self: self.health.states())
    @rule(what=st.sampled_from(["open", "close", "put off"]), seconds=st.floats(0, 10))
    def another_process_tells(self, what: str, seconds: float) -> None:
        (state,) = self.health.states()
        if what == "open":
            state.switch.open_as_told(self.now, "HTTP 500", seconds, None)
        elif what == "close":
            state.switch.close_as_told(self.now)
        else:
            state.switch.put_off(self.now + seconds)

    @invariant()
    def there_is_one_probe_at_most(self) -> None:
        for state in self.health.states():
            holders = [flight for flight in self.open if state.switch._holds(flight.probe)]
            assert len(holders) == (1 if state.breaker == "half_open" else 0)

    @invariant()
    def figures_are_figures(self) -> None:
        for state in self.health.states():
            assert 0.0 <= state.risk <= state.error_rate <= 1.0
            assert state.in_flight == len(self.open)
            assert state.breaker in ("closed", "open", "half_open")
            assert bool(state.reason) == (state.breaker != "closed") or state.breaker == "half_open"

    def teardown(self) -> None:
        """However it came to be: once nobody waits and time has passed, it is asked again."""
        for flight in self.open:
            flight.given_up()
        self.now += max(LONGEST_COOL_DOWN, LONGEST_RETRY_AFTER)
        self.has = "secret 3"
        assert self.health.available(TARGET.key, self.now)


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestWhateverHappens = Machine.TestCase
