"""How far the detector's stamps are ahead of the receipt of their frames: what tells a false stamp from a gap."""

from dataclasses import dataclass

_SLACK_NS = 50_000_000
"""How much sooner than ever a frame may come to hand."""


@dataclass(slots=True)
class StampLead:
    """The farthest lead but one: near or below 0, unless one of the clocks is off.

    The farthest may be that of a false stamp, which must not make the next one credible.
    """

    second_ns: int = 0
    farthest_ns: int = 0

    def note(self, timestamp_ns: int, received_ns: int) -> None:
        """Take in a stamp."""
        lead_ns = timestamp_ns - received_ns
        self.second_ns = max(self.second_ns, min(lead_ns, self.farthest_ns))
        self.farthest_ns = max(lead_ns, self.farthest_ns)

    def take_over(self, before: "StampLead") -> None:
        """Know what was known of the same clocks."""
        self.second_ns = max(self.second_ns, before.second_ns)
        self.farthest_ns = max(self.second_ns, self.farthest_ns)

    def is_passed_by(self, timestamp_ns: int, received_ns: int) -> bool:
        """Whether a stamp lies farther ahead of its receipt than any credible one."""
        return timestamp_ns - received_ns > self.second_ns + _SLACK_NS
