"""Sharpness: how curved the training loss is where a run ended. A diagnostic, not a score."""

from benchmark.sharpness.ascent import ASCENT_RHO, ascent_sharpness
from benchmark.sharpness.curvature import Eigenvalue, Trace, largest_eigenvalue, trace
from benchmark.sharpness.measures import (
    COLUMNS,
    MEASURES,
    columns_of,
    reference_batch,
    sharpness,
    work_bytes,
)
from benchmark.sharpness.neighbourhood import Losses, Neighbourhood
from benchmark.sharpness.rescaling import rescaled

__all__ = [
    "ASCENT_RHO",
    "COLUMNS",
    "MEASURES",
    "Eigenvalue",
    "Losses",
    "Neighbourhood",
    "Trace",
    "ascent_sharpness",
    "columns_of",
    "largest_eigenvalue",
    "reference_batch",
    "rescaled",
    "sharpness",
    "trace",
    "work_bytes",
]
