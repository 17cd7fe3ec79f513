"""The measures by name: title, definition, source, unit and the direction in which one is better."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmark.sharpness import ASCENT_RHO, COLUMNS

Unit = Literal["score", "share", "decades", "count", "seconds", "number"]
TRIALS = (1, 4, 16)


@dataclass(frozen=True, slots=True)
class MeasureInfo:
    """What a measure is.

    Attributes:
        name: key in a row's `measures`.
        title: a few words for people.
        definition: one or two sentences; z is the normalised score (y - floor) / (y_ref - floor).
        source: where the definition is from; empty for a diagnostic.
        direction: which way is better; None where neither is.
        unit: of `value`. A `score` is normalised, with the raw value beside it.
    """

    name: str
    title: str
    definition: str
    source: str
    direction: Literal["higher", "lower"] | None
    unit: Unit

    def to_dict(self) -> dict[str, Any]:
        """Return the measure as plain values that JSON can hold."""
        return asdict(self)


_TUNING = "Sivaprasad et al. 2020, arXiv:1910.11758"
_TANG = "Tang et al. 2020, arXiv:2004.13705"
_ANOVA = "Fisher 1925; Hutter, Hoos, Leyton-Brown 2014"
_OURS = "this project, after Jacobsen & Arvanitidis 2025, arXiv:2502.08448, table 3"

_SHARPNESS = (
    ("lambda_max", "lambda max", "Largest eigenvalue of the loss's Hessian, by Lanczos.", "Lanczos 1950"),
    ("trace", "trace", "Trace of the loss's Hessian, by random probes.", "Hutchinson 1990"),
    (
        "sam",
        "SAM sharpness",
        f"Rise of the loss after SAM's step of ascent at rho {ASCENT_RHO['sam']:g}.",
        "Foret et al. 2020, arXiv:2010.01412",
    ),
    (
        "monge",
        "Monge sharpness",
        f"Rise of the loss after Monge SAM's step of ascent at rho {ASCENT_RHO['monge']:g}.",
        "Jacobsen & Arvanitidis 2025, arXiv:2502.08448",
    ),
    (
        "adaptive",
        "adaptive sharpness",
        f"Rise of the loss after an adaptive step of ascent, T = |w|, at rho {ASCENT_RHO['adaptive']:g}.",
        "Kwon et al. 2021, arXiv:2102.11600",
    ),
)

_MEASURES = (
    MeasureInfo(
        "best",
        "best",
        "Test mean over the seeds of the configuration with the best validation mean.",
        "Choi et al. 2019, arXiv:1910.05446",
        "higher",
        "score",
    ),
    MeasureInfo(
        "grid_mean",
        "grid mean",
        "Mean test score over the grid: the expected score of one random trial on it.",
        _TUNING,
        "higher",
        "score",
    ),
    MeasureInfo(
        "iqm",
        "IQM",
        "Interquartile mean: mean of the middle half of the test scores over the grid; by seed, then averaged.",
        "Agarwal et al. 2021, arXiv:2108.13264",
        "higher",
        "score",
    ),
    MeasureInfo("worst", "worst", "Lowest test mean over the seeds on the grid.", _OURS, "higher", "score"),
    MeasureInfo(
        "p10",
        "P10",
        "10th percentile of the test means over the seeds, linear between order statistics.",
        "Hyndman & Fan 1996, definition 7",
        "higher",
        "score",
    ),
    MeasureInfo(
        "good_share",
        "good share",
        "Share of the configurations whose validation mean is within the tolerance of y_ref.",
        _OURS,
        "higher",
        "share",
    ),
    MeasureInfo("diverged_rate", "diverged", "Share of the runs that diverged.", _OURS, "lower", "share"),
    MeasureInfo(
        "collapsed_rate",
        "collapsed",
        "Share of the runs that ended without having learned anything.",
        _OURS,
        "lower",
        "share",
    ),
    *(
        MeasureInfo(
            f"expected_best_{k}",
            f"best of {k}",
            f"Expected test score of the best of {k} random configurations by validation; by seed, then averaged.",
            _TANG,
            "higher",
            "score",
        )
        for k in TRIALS
    ),
    MeasureInfo(
        "rho_width_max",
        "rho width",
        "Decades of rho within the tolerance of y_ref at the learning rate where there are most.",
        _OURS,
        "higher",
        "decades",
    ),
    MeasureInfo(
        "rho_width_mean",
        "mean rho width",
        "Decades of rho within the tolerance of y_ref, mean over the learning rates.",
        _OURS,
        "higher",
        "decades",
    ),
    MeasureInfo(
        "variance_rho",
        "variance by rho",
        "Share of the variance of the test means over the grid that rho explains.",
        _ANOVA,
        None,
        "share",
    ),
    MeasureInfo(
        "variance_lr",
        "variance by lr",
        "Share of the variance of the test means over the grid that the learning rate explains.",
        _ANOVA,
        None,
        "share",
    ),
    MeasureInfo(
        "variance_interaction",
        "variance by both",
        "Share of the variance of the test means over the grid that only rho and learning rate together explain.",
        _ANOVA,
        None,
        "share",
    ),
    MeasureInfo(
        "grad_norm", "gradient norm", "Median norm of the gradient, over steps and then runs.", "", None, "number"
    ),
    MeasureInfo(
        "delta_over_rho",
        "perturbation / rho",
        "Median norm of the perturbation in units of rho, over steps and then runs.",
        "",
        None,
        "number",
    ),
    MeasureInfo(
        "gradient_evaluations",
        "gradient evaluations",
        "Median gradient evaluations of a completed run.",
        "",
        None,
        "count",
    ),
    MeasureInfo(
        "elapsed_s",
        "seconds",
        "Median seconds of the steps of a completed run by itself, by a probe; else the wall seconds that it took.",
        "",
        None,
        "seconds",
    ),
    *(
        MeasureInfo(
            COLUMNS[name][0],
            title,
            f"{definition} On at most 512 training examples; median over the completed runs. A diagnostic, no merit.",
            source,
            None,
            "number",
        )
        for name, title, definition, source in _SHARPNESS
    ),
)

PHI = MeasureInfo(
    "phi",
    "sensitivity",
    "Mean over the tasks of each task's best z, less the best mean z of one configuration for all; from 3 tasks.",
    "Adkins et al. 2024, arXiv:2412.07165",
    "lower",
    "score",
)
BY_NAME = {measure.name: measure for measure in (*_MEASURES, PHI)}


def measures() -> tuple[MeasureInfo, ...]:
    """Return all measures: those of a row in their order, then `phi`, which an optimizer has across tasks."""
    return tuple(BY_NAME.values())


def row_measures() -> tuple[MeasureInfo, ...]:
    """Return the measures that every row has, in their order."""
    return _MEASURES
