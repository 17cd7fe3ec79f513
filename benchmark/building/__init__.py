"""Building: what some tasks need and a user makes once, from files that are on the machine."""

from typing import TYPE_CHECKING

from optimizers.lazy import lazy_door

if TYPE_CHECKING:
    from benchmark.building.bad_minimum import BuiltMinimum, build_bad_minimum
    from benchmark.building.emoji import BuiltEmoji, build_emoji
else:
    __getattr__, __dir__ = lazy_door(__name__, __file__)

__all__ = ["BuiltEmoji", "BuiltMinimum", "build_bad_minimum", "build_emoji"]
