"""Player segments: who belongs to which, as the app's criteria say, worked out now and then and stored."""

from gameserver.domain.segments.settings import SAMPLE, Segment, SegmentSettings

__all__ = ["SAMPLE", "Segment", "SegmentSettings"]
