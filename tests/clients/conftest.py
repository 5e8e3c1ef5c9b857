"""Fixtures for tests of clients."""

from tests.browser import open_browser

__all__ = ["open_browser"]  # the fixture `browser`
