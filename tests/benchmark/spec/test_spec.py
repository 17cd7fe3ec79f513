import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import benchmark
from benchmark import Spec, SpecError
from benchmark.canonical import round_significant
from benchmark.spec import axes, expand
from tests.benchmark.toys import document, make_spec

EXAMPLES = sorted((Path(benchmark.__file__).parents[1] / "examples").glob("*.yaml"))
RHO = {"values": [0.1]}
ONE = {"name": "sam", "fixed": {"rho": 0.1}}


def sam(**space: Any) -> list[dict[str, Any]]:
    return [{"name": "sam", "space": space}]


def digits(**entry: Any) -> list[dict[str, Any]]:
    return [{"name": "digits-mlp", **entry}]


# changes of the small document, and what is said about them: a JSON pointer and a part of the message
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"optimisers": []}, "/optimisers", "unknown key 'optimisers'; did you mean 'optimizers'? Known: base, budget"),
    ({"tasks": digits(parms={})}, "/tasks/0/parms", "unknown key 'parms'; did you mean 'params'?"),
    ({"tasks": digits(params={"hiden": 3})}, "/tasks/0/params/hiden", "unknown key 'hiden'; did you mean 'hidden'?"),
    ({"tasks": digits(budget={"epoch": 3})}, "/tasks/0/budget/epoch", "unknown key 'epoch'; did you mean 'epochs'?"),
    ({"tasks": digits(metric={"nam": "x"})}, "/tasks/0/metric/nam", "did you mean 'name'?"),
    ({"optimizers": [{**ONE, "fix": {}}]}, "/optimizers/0/fix", "did you mean 'fixed'?"),
    ({"space": {"lr": {"lag": [1, 2], "n": 2}}}, "/space/lr/lag", "did you mean 'log'?"),
    ({"seeds": {"cout": 1}}, "/seeds/cout", "did you mean 'count'?"),
    ({"limits": {"cells_s": 1}}, "/limits/cells_s", "did you mean 'cell_s'?"),
    ({"resources": {"packs": 1}}, "/resources/packs", "did you mean 'pack'?"),
    ({"search": {"methods": "grid"}}, "/search/methods", "did you mean 'method'?"),
    (
        {"base": {"name": "sgd", "momentun": 0.9}},
        "/base/momentun",
        "hyperparameter of sgd 'momentun'; did you mean 'momentum'?",
    ),
    ({"tasks": [{"name": "digit-mlp"}]}, "/tasks/0/name", "unknown task 'digit-mlp'; did you mean 'digits-mlp'?"),
    ({"optimizers": [{"name": "smam"}]}, "/optimizers/0/name", "unknown optimizer 'smam'; did you mean 'msam'?"),
    (
        {"base": {"name": "sdg"}},
        "/base/name",
        "unknown base optimizer 'sdg'; did you mean 'sgd'? Known: adam, adamw, sgd.",
    ),
    ({"optimizers": [{**ONE, "base": {"name": "x"}}]}, "/optimizers/0/base/name", "unknown base optimizer 'x'. Known"),
    (
        {"metric": {"name": "acuracy"}},
        "/metric/name",
        "unknown metric of digits-mlp 'acuracy'; did you mean 'accuracy'?",
    ),
    ({"tasks": digits(metric={"name": "f1"})}, "/tasks/0/metric/name", "unknown metric of digits-mlp 'f1'"),
    (
        {"optimizers": [{**ONE, "space": {"roh": RHO}}]},
        "/optimizers/0/space/roh",
        "hyperparameter of sam over sgd 'roh'; did you mean 'rho'?",
    ),
    ({"space": {"lr": RHO, "roh": RHO}}, "/space/roh", "unknown hyperparameter 'roh'; did you mean 'rho'?"),
    ({"fixed": {"momentun": 0.9}}, "/fixed/momentun", "did you mean 'momentum'?"),
    (
        {"optimizers": sam(rho={"log": [2, 1], "n": 2})},
        "/optimizers/0/space/rho",
        "low <= high must hold, but got low=2.0, high=1.0.",
    ),
    ({"optimizers": sam(rho={"values": [0.1, -1]})}, "/optimizers/0/space/rho/values/1", "0 <= rho < inf must hold"),
    ({"optimizers": sam(rho={"linear": [-1, 1], "n": 9})}, "/optimizers/0/space/rho/linear/0", "but got rho=-1.0."),
    (
        {"optimizers": sam(rho={"values": [math.nan]})},
        "/optimizers/0/space/rho/values/0",
        "a finite number is needed, but got nan",
    ),
    (
        {"optimizers": sam(rho={"values": [math.inf]})},
        "/optimizers/0/space/rho/values/0",
        "a finite number is needed, but got inf",
    ),
    (
        {"optimizers": [{"name": "sam", "fixed": {"rho": -math.inf}}]},
        "/optimizers/0/fixed/rho",
        "a finite number is needed",
    ),
    ({"optimizers": [{"name": "sam", "fixed": {"rho": -0.1}}]}, "/optimizers/0/fixed/rho", "but got rho=-0.1."),
    ({"optimizers": [{"name": "sam", "fixed": {"rho": True}}]}, "/optimizers/0/fixed/rho", "but got rho=True."),
    ({"space": {"lr": {"linear": [0, 1], "n": 3}}}, "/space/lr/linear/0", "0 < lr < inf must hold"),
    (
        {"fixed": {"momentum": 1}},
        "/fixed/momentum",
        "may be given once in an entry, but /base/momentum gives it as well",
    ),
    (
        {"base": {"name": "sgd"}, "space": {"lr": RHO, "momentum": {"linear": [0.5, 1], "n": 2}}},
        "/space/momentum/linear/1",
        "0 <= momentum < 1 must hold",
    ),
    ({"optimizers": sam(rho={"values": []})}, "/optimizers/0/space/rho", "at least one value, but got an empty list"),
    (
        {"optimizers": sam(rho={"log": [1, 2], "n": 0})},
        "/optimizers/0/space/rho/n",
        "greater than or equal to 1, but got 0",
    ),
    ({"optimizers": [], "gd": False}, "/optimizers", "at least one optimizer is needed, or gd: true."),
    ({"tasks": []}, "/tasks", "the list must not be empty"),
    ({"seeds": {"count": 0}}, "/seeds/count", "greater than or equal to 1, but got 0"),
    ({"seeds": {"base": -1}}, "/seeds/base", "greater than or equal to 0, but got -1"),
    ({"space": {}}, "/space", "lr of 'gd' must be given: as an axis in space, or as one value in fixed."),
    ({"optimizers": [ONE, ONE]}, "/optimizers/1", "optimizer labels must be unique, but got 'sam' twice"),
    ({"optimizers": [{**ONE, "label": "gd"}]}, "/optimizers/0", "optimizer labels must be unique, but got 'gd' twice"),
    (
        {"tasks": digits() + digits(params={"hidden": 3})},
        "/tasks/1",
        "task labels must be unique, but got 'digits-mlp' twice",
    ),
    (
        {"optimizers": [{"name": "sam", "fixed": {"rho": 0.1}, "space": {"rho": RHO}}]},
        "/optimizers/0/space/rho",
        "given once in an entry, but /optimizers/0/fixed/rho gives it as well",
    ),
    (
        {"optimizers": [ONE, {"name": "sam", "label": "b", "space": {"rho": RHO}}]},
        "/optimizers",
        "'sam on digits-mlp' and 'b on digits-mlp' have one in common",
    ),
    (
        {"tasks": digits() + digits(label="b", params={"hidden": 64})},
        "/tasks",
        "'gd on digits-mlp' and 'gd on b' have one in common",
    ),
    ({"base": {"name": "sgd", "nesterov": True}}, "/base/nesterov", "nesterov needs momentum > 0"),
    (
        {
            "base": {"name": "sgd"},
            "space": {"lr": RHO, "nesterov": {"values": [True, False]}, "momentum": {"linear": [0, 0.9], "n": 4}},
        },
        "/space/nesterov",
        "nesterov needs momentum > 0",
    ),
    ({"base": {"name": "sgd"}, "optimizers": [{"name": "momentum_sam"}]}, "/optimizers/0", "momentum > 0 must hold"),
    (
        {"optimizers": [{"name": "look_sam", "space": {"k": {"linear": [2, 3], "n": 3}}}]},
        "/optimizers/0/space/k/linear",
        "k be an integer, but got k=2.5.",
    ),
    ({"budget": {"epochs": 1, "gradient_evaluations": 1}}, "/budget", "exactly one of epochs and gradient_evaluations"),
    ({"budget": {}}, "/budget", "but got epochs=None, gradient_evaluations=None"),
    ({"budget": {"epochs": 2.5}}, "/budget/epochs", "but got 2.5"),
    ({"budget": {"epochs": 1, "schedule": "cosin"}}, "/budget/schedule", "'constant' or 'cosine', but got 'cosin'"),
    ({"budget": {"epochs": 1, "warmup": 1}}, "/budget/warmup", "less than 1"),
    (
        {"resources": {"gpus_per_pack": -1}},
        "/resources/gpus_per_pack",
        "'auto', but got -1, or: Input should be greater than or equal to 0",
    ),
    (
        {"resources": {"pack": "fussed"}},
        "/resources/pack",
        "'auto', 'fused' or 'sequential', but got 'fussed', or: a number is needed",
    ),
    ({"fixed": {"nesterov": [1]}}, "/fixed/nesterov", "a number is needed"),
    (
        {"tasks": digits(params={"hidden": [1]})},
        "/tasks/0/params/hidden",
        "a number is needed",
    ),
    ({"tasks": digits(params={"hidden": 0})}, "/tasks/0/params/hidden", "greater than or equal to 1, but got 0"),
    ({"tasks": digits(params={"hidden": True})}, "/tasks/0/params/hidden", "a number is needed, but got True"),
    ({"name": ""}, "/name", "at least 1 character"),
    ({"name": "x" * 201}, "/name", "at most 200 characters"),
    ({"name": "a\0b"}, "/name", r"control characters and lone surrogates are not allowed in a text, but got 'a\x00b'"),
    ({"name": "\ud800"}, "/name", r"but got '\ud800'"),
    ({"tags": ["a\x1b[31m"]}, "/tags/0", "control characters"),
    ({"\ud800": 1}, "", r"a key must be a text of at most 200 printable characters, but got '\ud800'."),
    ({"k" * 201: 1}, "", "a key must be a text of at most 200 printable characters, but got 'kkk"),
    ({"optimizers": [{**ONE, "label": "a b"}]}, "/optimizers/0/label", "should match pattern"),
    ({"optimizers": [{**ONE, "label": "a\n"}]}, "/optimizers/0/label", "control characters"),
    ({"priority": 10**5000}, "/priority", "a whole number must fit into 64 bits"),
    ({"priority": 10**6}, "/priority", "less than or equal to 1000"),
    ({"schema_version": 2}, "/schema_version", "Input should be 1, but got 2"),
    ({"space": {"a/b~c": RHO}}, "/space/a~1b~0c", "unknown hyperparameter 'a/b~c'"),
    ({"tags": {"a": 1}}, "/tags", "a list is needed"),
    (
        {"sharpness": ["trase"]},
        "/sharpness",
        "unknown measure of sharpness 'trase'; did you mean 'trace'? Known: adaptive, lambda_max, monge, sam, trace.",
    ),
    ({"sharpness": ["sam", "trace", "sam"]}, "/sharpness", "may stand once, but got sam 2 times"),
    ({"sharpness": "trace"}, "/sharpness", "a list is needed"),
    ({"tasks": "digits-mlp"}, "/tasks", "a list is needed, such as [...], but got 'digits-mlp'"),
    ({"controls": ["radius_matchd"]}, "/controls/0", "unknown control 'radius_matchd'; did you mean 'radius_matched'?"),
    ({"controls": ["radius_matched", "radius_matched"]}, "/controls", "at most 1 item"),
    ({"controls": "radius_matched"}, "/controls", "a list is needed, such as [...], but got 'radius_matched'"),
    (
        {"controls": ["radius_matched"], "optimizers": [ONE, {"name": "asam", "fixed": {"rho": 0.1}}]},
        "/controls/0",
        "a radius-matched control needs an optimizer whose name is msam, but got sam, asam; add one.",
    ),
    (
        {
            "controls": ["radius_matched"],
            "optimizers": [{**ONE, "label": "msam-radius-matched"}, {"name": "msam", "fixed": {"rho": 0.1}}],
        },
        "/controls/0",
        "optimizer labels must be unique, but got 'msam-radius-matched' twice",
    ),
    (
        {
            "controls": ["radius_matched"],
            "optimizers": [{"name": "msam", "fixed": {"rho": 0.1}}],
            "space": {"lr": {"log": [0.1, 1.0]}},
            "search": {"method": "tpe", "n_configurations": 4},
        },
        "/controls/0",
        "the cells of a control must be known ahead, but those of a tpe search are not",
    ),
]


@pytest.mark.parametrize(("changes", "pointer", "message"), BAD)
def test_a_bad_spec_says_where_and_why(changes: dict[str, Any], pointer: str, message: str) -> None:
    with pytest.raises(SpecError, match="the spec is not valid") as caught:
        Spec.from_mapping(document(**changes))
    details = [problem.detail for problem in caught.value.problems if problem.pointer == pointer]
    assert any(message in detail for detail in details), caught.value
    _check_printable(caught.value)


def _check_printable(error: SpecError) -> None:
    assert error.problems
    text = json.dumps([[problem.pointer, problem.detail] for problem in error.problems], ensure_ascii=False)
    assert len(text.encode()) < 1_000_000
    for problem in error.problems:
        assert problem.detail
        assert problem.pointer == "" or problem.pointer.startswith("/")


def test_several_problems_are_reported_at_once() -> None:
    with pytest.raises(SpecError, match="optimisers") as caught:
        Spec.from_mapping(
            document(
                optimisers=[],
                tasks=[{"name": "digit-mlp"}],
                optimizers=[{"name": "smam"}, {"name": "sam", "fixed": {"rho": -1}}],
                metric={"name": "x"},
            )
        )
    pointers = [problem.pointer for problem in caught.value.problems]
    assert pointers == ["/optimisers", "/tasks/0/name", "/optimizers/0/name", "/optimizers/1/fixed/rho"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": digits(params={"hidden": [1]})},
        {"tasks": [{}]},
        {"resources": {"pack": {"a": 1}}},
        {"optimizers": sam(rho={"linear": [-1, 1], "n": 1000})},
    ],
)
def test_one_mistake_is_one_problem(changes: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="the spec is not valid") as caught:
        Spec.from_mapping(document(**changes))
    assert len(caught.value.problems) == 1, caught.value


@pytest.mark.parametrize("given", [None, [], "text", 3, [("name", "x")]])
def test_a_spec_is_a_mapping(given: Any) -> None:
    with pytest.raises(SpecError, match="a mapping of keys is needed"):
        Spec.from_mapping(given)


@pytest.mark.parametrize(
    ("entry", "pointer", "message"),
    [
        (1, "/space", "a key must be a text of at most 200 printable characters, but got a int."),
        (None, "/space", "but got None."),
        (("a", "b"), "/space", "but got a tuple."),
    ],
)
def test_keys_are_texts(entry: Any, pointer: str, message: str) -> None:
    with pytest.raises(SpecError, match="a key must be a text") as caught:
        Spec.from_mapping(document(space={entry: RHO}))
    assert [(problem.pointer, problem.detail.endswith(message)) for problem in caught.value.problems] == [
        (pointer, True)
    ]


def test_too_many_cells_are_refused_with_the_sum() -> None:
    axes = {"lr": {"log": [0.1, 1], "n": 1000}, "rho": {"log": [0.1, 1], "n": 1000}}
    with pytest.raises(SpecError, match=r"n_cells <= 100,000 must hold, but this spec has 5,005,000 cells") as caught:
        Spec.from_mapping(document(optimizers=sam(**axes), space=axes, seeds={"count": 5}))
    assert "gd on digits-mlp: 1,000 + sam on digits-mlp: 1,000,000" in caught.value.problems[0].detail
    spec = Spec.from_mapping(document(), max_cells=24)
    assert spec.n_cells == 24
    with pytest.raises(SpecError, match="n_cells <= 23 must hold"):
        Spec.from_mapping(document(), max_cells=23)


def test_the_points_of_too_large_grids_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    n_rounded = 0

    def counted(value: float) -> float:
        nonlocal n_rounded
        n_rounded += 1
        return round_significant(value)

    monkeypatch.setattr(axes, "round_significant", counted)
    space = {
        name: {"linear": [0.1, 0.9], "n": 1000} for name in ("lr", "rho", "momentum", "weight_decay", "rho_warmup")
    }
    many = [{"name": "sam", "label": f"o{number}", "space": space} for number in range(100)]
    with pytest.raises(SpecError, match="n_cells <= 100,000 must hold") as caught:
        Spec.from_mapping(document(optimizers=many, gd=False))
    assert "o0 on digits-mlp: 1,000,000,000,000,000 + " in caught.value.problems[0].detail
    assert n_rounded <= 2 * 5 * 100


def test_the_ends_of_too_large_grids_are_checked_all_the_same() -> None:
    space = {"lr": {"log": [0.1, 1], "n": 1000}, "rho": {"linear": [-1, 1], "n": 1000}}
    with pytest.raises(SpecError, match=r"/optimizers/0/space/rho/linear/0: .* but got rho=-1.0"):
        Spec.from_mapping(document(optimizers=sam(**space)))


def test_many_entries_are_checked_in_little_time() -> None:
    many = [{"name": "sam", "label": f"o{index}", "fixed": {"rho": 0.1}} for index in range(100)]
    tasks = [{"name": "digits-mlp", "label": f"t{index}"} for index in range(100)]
    with pytest.raises(SpecError, match="no configuration may stand twice") as caught:
        Spec.from_mapping(document(optimizers=many, tasks=tasks))
    assert len(caught.value.problems) == 20


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_valid(path: Path) -> None:
    spec = Spec.from_file(path)
    assert len({cell.key for cell in expand(spec)}) == spec.n_cells


def test_there_are_examples() -> None:
    assert [path.name for path in EXAMPLES] != []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"space": {"lr": {"values": [0.1, 1]}}, "fixed": {"weight_decay": "1e-4"}, "resources": {"pack": 2}},
        {"tasks": digits(budget={"gradient_evaluations": 5, "warmup": 0.1}, metric={"name": "loss"}), "tags": ["a"]},
        {
            "optimizers": [
                {"name": "look_sam", "base": {"name": "adam", "beta1": 0.8}, "space": {"k": {"values": [1, 2]}}}
            ]
        },
    ],
)
def test_a_spec_survives_json(changes: dict[str, Any]) -> None:
    spec = make_spec(**changes)
    back = Spec.from_mapping(json.loads(json.dumps(spec.to_dict(), allow_nan=False)))
    assert back == spec
    assert [cell.key for cell in expand(back)] == [cell.key for cell in expand(spec)]
    assert back.to_dict() == spec.to_dict()


def test_whole_numbers_stay_whole() -> None:
    entry = {"name": "look_sam", "space": {"k": {"values": [2, 5.0, "1e1"]}}}
    axis = make_spec(optimizers=[entry]).grids[1].axes[1]
    assert axis.values == (2, 5, 10)
    assert {type(value) for value in axis.values} == {int}
    assert make_spec(optimizers=[{"name": "look_sam", "fixed": {"k": 3.0}}]).grids[1].fixed["k"] == 3


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_spec().name = "other"  # type: ignore[misc]


def test_gd_is_added_first_unless_it_is_there_or_unwanted() -> None:
    assert [grid.optimizer for grid in make_spec().grids] == ["gd", "sam", "msam"]
    assert [grid.optimizer for grid in make_spec(gd=False).grids] == ["sam", "msam"]
    named = make_spec(optimizers=[ONE, {"name": "gd", "label": "plain"}])
    assert [grid.optimizer for grid in named.grids] == ["sam", "plain"]


def test_an_entry_s_own_values_win() -> None:
    spec = make_spec(
        optimizers=[
            {"name": "sam", "fixed": {"rho": 0.1, "lr": 0.5}},
            {"name": "msam", "space": {"momentum": {"values": [0.1, 0.2]}}, "base": {"name": "sgd"}},
        ],
        tasks=digits(budget={"epochs": 7}),
    )
    _, sam_grid, msam_grid = spec.grids
    assert (sam_grid.axes, sam_grid.fixed["lr"], sam_grid.fixed["momentum"]) == ((), 0.5, 0.9)
    assert [axis.name for axis in msam_grid.axes] == ["lr", "momentum"]
    assert sam_grid.setting.budget.epochs == 7


def test_the_schema_is_json() -> None:
    schema = json.loads(json.dumps(Spec.json_schema()))
    assert schema["additionalProperties"] is False
    assert {"name", "tasks"} <= set(schema["required"])
    assert schema["properties"]["controls"]["items"] == {"type": "string", "enum": ["radius_matched"]}


@pytest.mark.parametrize("value", ["yes", "true", 1, 0, None])
@pytest.mark.parametrize("key", ["gd", "reuse"])
def test_what_is_true_or_false_is_nothing_else(key: str, value: object) -> None:
    document = {"name": "x", "tasks": [{"name": "digits-mlp"}], "space": {"lr": {"values": [0.1]}}, key: value}
    with pytest.raises(SpecError, match=f"/{key}: .*boolean"):
        Spec.from_mapping(document)


def test_the_schema_names_bounds_as_json_schema_does() -> None:
    limits = Spec.json_schema()["$defs"]["Limits"]["properties"]["cell_s"]
    assert (limits["exclusiveMinimum"], limits["maximum"]) == (0, 30 * 86_400)
    text = json.dumps(Spec.json_schema())
    assert [bound for bound in ("ge", "gt", "le", "lt") if f'"{bound}":' in text] == []


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(
        ["sam", "gd", "digits-mlp", "log", "values", "rho", "lr", "1e-3", "auto", 10**30, b"x", {1}, "\ud800"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(), max_size=5)
            | st.sampled_from(["name", "space", "rho", "lr", "log", "n", "values", "fixed"])
            | st.integers(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(below for key, item in items for below in _places(item, (*place, key)))]


@given(st.data())
def test_no_document_ends_in_anything_but_a_spec_or_its_error(data: st.DataObject) -> None:
    mutant: Any = document(
        limits={"cell_s": 5}, resources={"pack": 2}, metric={"name": "loss"}, tags=["a"], fixed={"weight_decay": 0.1}
    )
    for _ in range(data.draw(st.integers(1, 4))):
        *path, last = data.draw(st.sampled_from(_places(mutant)[1:]))
        parent = mutant
        for part in path:
            parent = parent[part]
        action = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            parent[last] = data.draw(JUNK)
        elif action == "remove":
            parent.pop(last)
        elif isinstance(parent, dict):
            parent[data.draw(st.text(st.characters(), max_size=5))] = data.draw(JUNK)
        else:
            parent.append(data.draw(JUNK))
        if not _places(mutant)[1:]:
            break
    try:
        spec = Spec.from_mapping(mutant)
    except SpecError as error:
        _check_printable(error)
    else:
        assert Spec.from_mapping(spec.to_dict()) == spec


def test_sharpness_is_in_one_order_and_no_part_of_a_cell() -> None:
    plain, sharp = make_spec(), make_spec(sharpness=["trace", "lambda_max"])
    assert sharp.sharpness == ("lambda_max", "trace")
    assert [cell.key for cell in expand(sharp)] == [cell.key for cell in expand(plain)]
    described = Spec.json_schema()["properties"]["sharpness"]
    assert described["items"]["enum"] == ["lambda_max", "trace", "sam", "monge", "adaptive"]
