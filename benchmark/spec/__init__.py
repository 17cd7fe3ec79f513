"""Specs: what a job is to run, validated, frozen, and expanded to cells."""

from benchmark.spec.axes import Axis
from benchmark.spec.grids import Cell, Grid, GridAxis, Setting, config_key, expand
from benchmark.spec.spec import DEFAULT_MAX_CELLS, Spec

__all__ = ["DEFAULT_MAX_CELLS", "Axis", "Cell", "Grid", "GridAxis", "Setting", "Spec", "config_key", "expand"]
