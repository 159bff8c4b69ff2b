"""What each command does: from parsed options to stages, and their answers to the terminal.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from .errors import ConsentError, InputError

if TYPE_CHECKING:
    from .provenance.consent import ConsentRecord
    from .recipes import TrainRecipe, Until

_MIXING = ("colour", "blend", "occlusion", "mouth", "eyes", "outline", "fit", "grain")
"""options of how the face is laid into the plate, which a preview can compare"""


def _until(options: argparse.Namespace) -> Until:
    from .recipes import Until

    asked = options.minutes is not None or options.steps is not None or options.until is not None
    minutes = options.minutes if asked else options.default_minutes
    return Until(minutes, options.steps, options.until == "plateau")


def _train_recipe(options: argparse.Namespace, model: Path | None = None) -> TrainRecipe:
    """The preset with what the user changed; a model that is there and no preset named: that model's own settings."""
    from dataclasses import replace

    from .recipes import TrainRecipe

    widths = tuple(_whole(part, "--widths") for part in options.widths.split(",")) if options.widths else None
    named = {
        "size_px": options.size, "coverage": options.model_coverage, "widths": widths, "detail": options.detail,
        "latent": options.latent,
        "batch": options.batch, "accumulate": options.accumulate,
        "learning_rate": None if options.learning_rate == "find" else options.learning_rate,
        "decay": options.decay, "degrade": options.degrade, "specialists": options.specialists,
        "seed": options.seed,
        "save_every_s": options.save_every, "score_every_s": options.score_every,
    }  # fmt: skip
    changes = {name: value for name, value in named.items() if value is not None}
    if model is not None and options.preset is None and (model / "model.json").is_file():
        from .learn.checkpoint import read_model

        return replace(read_model(model).recipe, **changes)
    return TrainRecipe.of(options.preset or "compact", **changes)


def _whole(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name}: {text!r} is not a whole number. Write it like 48,80,128,128.") from None


def _consents(options: argparse.Namespace) -> dict[str, ConsentRecord]:
    """Side -> record, from two --consent options or one file with both."""
    from .provenance import consent

    records = [record for option in options.consent for record in consent.from_option(option)]
    records = records or consent.of_project()
    named = {record.person.lower(): record for record in records}
    if len(records) == 2 and named.keys() == {"a", "b"}:
        return named
    if len(records) != 2:
        raise ConsentError(
            f"swap: {len(records)} consent records given, and both people need one. Add "
            '--consent "A: signed release, YYYY-MM-DD" --consent "B: own face, YYYY-MM-DD", or a .toml file of both.'
        )
    return dict(zip("ab", records, strict=True))


def _listen(
    stage: Generator[Any, None, Any], options: argparse.Namespace, also: Callable[[Any], None] | None = None
) -> Any:
    """Show a stage's events as they come, to `also` too; returns what the stage returns."""
    from .console import Console
    from .events import Progress

    with Console() as console:
        while True:
            try:
                event = next(stage)
            except StopIteration as end:
                return end.value
            if isinstance(event, Progress):
                options.training = event.stage == "training"
            console.show(event)
            if also is not None:
                also(event)


def swap(options: argparse.Namespace, stopped: Flag) -> int:
    consents = _consents(options)
    from . import stages

    sides = {
        "a": stages.Side(options.a, consents["a"], options.person_a),
        "b": stages.Side(options.b, consents["b"], options.person_b),
    }
    return _run_swap(options, stopped, sides, options.output)


def _run_swap(
    options: argparse.Namespace, stopped: Flag, sides: dict[str, Any], out: Path, truth: Path | None = None
) -> int:
    from . import stages
    from .console import print_measures

    model = out.with_name(f"{out.stem}.facedouble") / "model"
    recipes = _extract_recipe(options), _train_recipe(options, model), _convert_recipe(options)
    device, workers = _machine(options)
    until, find_rate = _until(options), options.learning_rate == "find"
    stage = stages.swap(sides, out, recipes, until, device, workers, stopped.is_set, truth, find_rate)
    found = _listen(stage, options)
    if found is None:
        return 130
    print(stages.training_text(model))
    print_measures(found)
    print(f"swapped clip:  {out}")
    print(f"contact sheet: {model.parent / 'contact-sheet.png'}")
    print(f"report:        {model.parent / 'report.html'}")
    return 0


def _extract_recipe(options: argparse.Namespace) -> Any:
    from .recipes import ExtractRecipe

    return ExtractRecipe(
        options.crop_size, options.coverage, options.every, options.min_face, options.people,
        ranges=tuple(getattr(options, "ranges", ())), same_person=options.same_person,
    )  # fmt: skip


def _convert_recipe(options: argparse.Namespace) -> Any:
    from .recipes import ConvertRecipe

    names = ("codec", "crf", "encoder", *_MIXING, "face_px", "label", "checkpoint")
    chosen = {name: getattr(options, name) for name in names}
    return ConvertRecipe(**chosen, ranges=tuple(getattr(options, "ranges", ())))


def _machine(options: argparse.Namespace) -> tuple[Any, int]:
    from . import device

    return device.choose(options.device), _workers(options)


def _workers(options: argparse.Namespace) -> int:
    from . import device

    if options.workers is not None and options.workers < 1:
        raise InputError(f"--workers {options.workers}: expected 1 or more.")
    return options.workers or device.cores()


def extract(options: argparse.Namespace, _stopped: Flag) -> None:
    from .provenance import consent

    records = consent.from_option(options.consent) if options.consent else consent.of_project()
    if len(records) > 1:
        where, names = options.consent or consent.PROJECT_FILE, ", ".join(record.person for record in records)
        raise ConsentError(
            f"{where}: {len(records)} records, and a face set is of one person. Say whose: --consent NAME ({names})."
        )
    record = consent.require(records[0] if records else None, ", ".join(map(str, options.clips)))
    recipe = _extract_recipe(options)
    _, workers = _machine(options)
    from . import stages

    _listen(stages.extract(options.clips, options.output, recipe, record, options.person, workers), options)


def train(options: argparse.Namespace, stopped: Flag) -> int:
    from . import stages
    from .learn.together import join

    together, device = join(_machine(options)[0])
    with together:
        if together.rank == 0:
            return _train(options, stopped, device, together)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process is stopped, and ends the others
        stages.assist({"a": options.faces_a, "b": options.faces_b}, options.output, device, together)
    return 0


def _train(options: argparse.Namespace, stopped: Flag, device: Any, together: Any) -> int:
    recipe, until = _train_recipe(options, options.output), _until(options)
    from . import stages
    from .curate.faceset import FaceSet

    sets = {"a": FaceSet.load(options.faces_a), "b": FaceSet.load(options.faces_b)}
    board = None
    if options.tensorboard:
        from .board import Board

        board = Board(options.output / "tensorboard")
    begin, find_rate = options.begin, options.learning_rate == "find"
    training = stages.train(sets, options.output, recipe, until, device, stopped.is_set, begin, find_rate, together)
    _listen(training, options, board)
    return 130 if stopped.is_set() else 0


def plan(options: argparse.Namespace, _stopped: Flag) -> None:
    import json

    if options.steps is not None and options.steps < 1:
        raise InputError(f"--steps {options.steps}: expected 1 or more.")
    recipe = _train_recipe(options)
    from . import stages
    from .console import plan_rows, print_table
    from .curate.faceset import FaceSet

    sets = {"a": FaceSet.load(options.faces_a), "b": FaceSet.load(options.faces_b)}
    found = _listen(stages.plan(sets, recipe, options.steps, _machine(options)[0]), options)
    if options.json:
        print(json.dumps(found.as_dict(), indent=2))
    else:
        print_table(("", ""), plan_rows(found))


def match(options: argparse.Namespace, _stopped: Flag) -> None:
    from . import stages
    from .console import print_match
    from .curate.faceset import FaceSet
    from .recipes import TrainRecipe

    recipe = TrainRecipe.of(options.preset, **({"size_px": options.size} if options.size else {}))
    sets = {"a": FaceSet.load(options.faces_a), "b": FaceSet.load(options.faces_b)}
    names = [folder.resolve().name for folder in (options.faces_b, options.faces_a)]
    folder = options.output or Path(f"{'-on-'.join(names)}.match")
    found = _listen(stages.match(sets, folder, recipe, _workers(options)), options)
    if options.json:
        print((folder / "report.json").read_text(), end="")
    else:
        print_match(found)


def convert(options: argparse.Namespace, _stopped: Flag) -> None:
    recipe = _convert_recipe(options)
    device, workers = _machine(options)
    from . import stages

    if (options.model is None) == (not options.roles):
        raise InputError("convert: expected a MODEL, or --map WHO=MODEL for each of several people; one of the two.")
    if options.roles and options.person:
        raise InputError("convert --map: --person is about one person. Write --map PICTURE=MODEL instead.")
    roles = [stages.Role.parse(text) for text in options.roles] or [stages.Role(options.model, options.person)]
    stage = stages.convert(options.clip, roles, options.output, recipe, device, workers, options.layers)
    done = _listen(stage, options)
    if options.judge:
        from .console import print_measures

        folder = options.output.with_suffix(".judge")
        for number, role in enumerate(roles):
            part = folder / f"{number + 1}-{role.model.resolve().name}" if options.roles else folder
            measures = _listen(stages.judge_conversion(done, role.model, part, None, workers, number), options)
            if options.roles:
                print(f"\n{role.name}")
            print_measures(measures)


def preview(options: argparse.Namespace, _stopped: Flag) -> None:
    from itertools import product

    from .footage import parse_moment
    from .recipes import ConvertRecipe

    moments = [parse_moment(text) for text in options.at]
    columns: list[list[tuple[str, str]]] = []
    for text in options.compare:
        name, equals, values = text.partition("=")
        if name not in _MIXING or not equals or name in {row[0][0] for row in columns}:
            raise InputError(
                f"--compare {text}: expected {', '.join(f'{kind}=' for kind in _MIXING)} once each, with values after "
                "it (colour=none,reinhard)."
            )
        columns.append([(name, value) for value in values.split(",")])
    choices = [dict(choice) for choice in product(*columns)]
    own = {name: getattr(options, name) for name in (*_MIXING, "face_px", "checkpoint")}
    recipes = {
        ", ".join(f"{name} {value}" for name, value in choice.items()) or "swap": ConvertRecipe(**{**own, **choice})
        for choice in choices
    }
    device, _ = _machine(options)
    from . import stages

    stage = stages.preview(options.clip, options.model, moments, recipes, options.output, device)
    _listen(stage, options)


def judge(options: argparse.Namespace, _stopped: Flag) -> None:
    import json

    from . import stages
    from .console import print_measures

    folder = options.output or options.swap.with_suffix(".judge")
    found = _listen(
        stages.judge_clips(
            options.target, options.swap, options.source, options.truth, folder, options.person, _workers(options)
        ),
        options,
    )
    if options.json:
        report = json.loads((folder / "report.json").read_text())
        print(json.dumps({name: report[name] for name in ("measures", "verdicts")}, indent=2))
    else:
        print_measures(found)


def consent(options: argparse.Namespace, _stopped: Flag) -> None:
    {"new": _consent_new, "list": _consent_list, "revoke": _consent_revoke}[options.action](options)


def _consent_new(options: argparse.Namespace) -> None:
    import datetime as dt
    import hashlib

    from .provenance import consent

    today = dt.date.today().isoformat()
    person = options.person or _ask("name or pseudonym of the person shown")
    basis = options.basis or _ask(f"what it rests on ({', '.join(consent.BASES)})")
    day = options.date or (_ask("the day it was given", today) if options.person is None else today)
    fields: dict[str, Any] = {"scope": options.scope, "given_by": options.given_by}
    if options.document:
        with options.document.open("rb") as file:
            fields["document"] = hashlib.file_digest(file, "sha256").hexdigest()
    if options.face:
        from . import stages

        fields["likeness"] = consent.likeness_of(stages.identity_in(options.face))
    if options.expires:
        fields["expires"] = consent.day_of(options.expires, options.expires)
    record = consent.ConsentRecord(person, basis, consent.day_of(day, day), **fields)
    consent.check(record, dt.date.today())
    consent.add(record, options.file)
    print(f"{options.file}: consent {record.id} of {record.person}. Name it where footage is read: --consent {person}")


def _ask(what: str, default: str = "") -> str:
    if not sys.stdin.isatty():
        raise ConsentError(f"consent new: {what} is missing, and there is no terminal to ask at. See --help.")
    answer = input(f"{what}{f' [{default}]' if default else ''}: ").strip()
    return answer or default


def _consent_list(options: argparse.Namespace) -> None:
    import datetime as dt

    from .provenance import consent, ledger

    for record in consent.load(options.file):
        try:
            consent.check(record, dt.date.today())
            state = f"holds{f' until {record.expires}' if record.expires else ''}"
        except ConsentError as error:
            state = str(error).partition(": ")[2]
        print(
            f"{record.id}  {record.person}: {record.basis}, {record.date}; {state}; "
            f"{len(ledger.outputs(consent_id=record.id))} outputs"
        )


def _consent_revoke(options: argparse.Namespace) -> None:
    import datetime as dt

    from .provenance import consent, ledger

    records = consent.load(options.file) if options.file.is_file() else []
    meant = {record.id: record.person for record in records if options.who in (record.id, record.person)}
    for output in ledger.outputs(consent_id=options.who):
        meant.setdefault(options.who, ", ".join(output.people))
    if not meant:
        raise ConsentError(
            f"{options.who}: neither a person in {options.file} nor the id of a consent known here. See: "
            "facedouble consent list"
        )
    for consent_id, person in meant.items():
        ledger.revoke(ledger.Revocation(consent_id, person, dt.date.today(), options.reason))
        made = ledger.outputs(consent_id=consent_id)
        print(f"revoked: consent {consent_id} of {person}. Models and face sets made under it refuse from now on.")
        print(f"{len(made)} outputs were made under it here{':' if made else '.'}")
        for output in made:
            print(f"  {output.made}  {output.path}{'' if Path(output.path).exists() else ' (no longer there)'}")


def verify(options: argparse.Namespace, _stopped: Flag) -> int:
    import json
    from dataclasses import asdict

    from .provenance import credential
    from .provenance.answer import Answer

    verdict = credential.verify(options.file)
    answer = Answer.of(options.file, verdict)
    if answer.state != "valid":
        from . import stages  # which takes seconds to load

        answer = _listen(stages.verify(options.file, verdict), options)
    print(json.dumps(asdict(answer), indent=2) if options.json else answer.text)
    return answer.exit_code


def doctor(_options: argparse.Namespace, _stopped: Flag) -> int:
    from . import device
    from .console import print_checks

    checks = device.report()
    print_checks(checks)
    return 1 if any(check.ok is False for check in checks) else 0


def weights(options: argparse.Namespace, _stopped: Flag) -> None:
    from . import project, weights

    if options.action == "fetch":
        weights.fetch_all()
    for entry in weights.table():
        print(f"{entry.name:16} {'present' if weights.present(entry.name) else 'missing':8} {entry.licence}")
    print(f"cache: {project.weights_folder()}")


def demo(options: argparse.Namespace, stopped: Flag) -> int:
    """`options` hold those of swap as well."""
    from importlib.resources import as_file, files

    from . import stages
    from .project import output_errors
    from .provenance import consent

    with as_file(files("facedouble") / "sample") as sample:
        records = {record.person: record for record in consent.load(sample / "consent.toml")}
        sides = {
            "a": stages.Side(sample / "a-take1.mp4", records["performer-a"]),
            "b": stages.Side(sample / "b-take2.mp4", records["performer-b"]),
        }
        with output_errors(options.output):
            options.output.mkdir(parents=True, exist_ok=True)
        return _run_swap(options, stopped, sides, options.output / "demo.mp4", sample / "ba-take1.mp4")
