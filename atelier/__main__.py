"""The command line of Deep Learning Atelier. `COMMAND --help` describes a command."""

import contextlib
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from atelier import MODELS, load
from atelier.checkpoint import CheckpointError
from atelier.data.glyphs import GlyphError
from atelier.data.mnist import DamagedDataError
from atelier.data.photo import PhotoError, read_digit
from atelier.paths import RUNS
from atelier.recipe import PRECISIONS, RecipeError
from atelier.runs.folder import Run, RunError, read_recipe
from atelier.runs.jobs import queue_up
from atelier.runs.queue import acquire_device
from atelier.runs.tensorboard import check_installed, log_events
from atelier.runs.worker import StopRequested, lower_priority, supervise
from atelier.training.events import Event, Preparation
from atelier.zoo import Family, of_family

PROGRESS = "{percentage:3.0f}%|{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}] {postfix}"


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code is 0, 2 for a request that cannot be fulfilled, 1 for any other error."""
    options = build_parser().parse_args(arguments)
    try:
        options.run_command(options)
    except KeyboardInterrupt:
        return 130
    except (CheckpointError, DamagedDataError, GlyphError, PhotoError, RecipeError, RunError) as error:
        print(error, file=sys.stderr)
        return 2
    except (ValueError, RuntimeError, MemoryError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> ArgumentParser:
    """The options of all commands."""
    parser = ArgumentParser(prog="python -m atelier", description=__doc__)
    device, runs, background, as_json = (ArgumentParser(add_help=False) for _ in range(4))  # shared by commands
    device.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    runs.add_argument(
        "--runs", type=Path, default=RUNS, metavar="DIR", help="folder of all runs (default: %(default)s)"
    )
    runs.add_argument("--resume", metavar="ID", help="continue this run with its own settings")
    background.add_argument("--in-background", metavar="TICKET", help="let other processes go first; for the pages")
    as_json.add_argument("--json", action="store_true", help="print JSON")

    def add(group: Any, name: str, run: Callable[[Namespace], None], help: str, *parents: ArgumentParser) -> Any:
        command = group.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.", parents=parents)
        command.set_defaults(run_command=run)
        return command.add_argument

    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    option = add(
        commands, "train", run_train, "train a network; the first line is the run's id", device, runs, background
    )
    option("model", choices=MODELS)
    option("--preset", choices=("demo", "full"), default="full", help="recipe to start from (default: full)")
    option("--epochs", type=int)
    option("--train-size", type=int, help="number of training digits")
    option("--seed", type=int)
    option("--precision", choices=PRECISIONS)
    option("--backbone", choices=("glyphs", "imagenet", "none"), help="pretrained weights of a fine-tuned network")
    option("--imagenet-file", type=Path, metavar="FILE", help="copy of torchvision's file, instead of a download")
    option("--tensorboard", action="store_true", help="also write event files for TensorBoard")

    option = add(commands, "evaluate", run_evaluate, "measure networks on test digits and other handwriting", as_json)
    option("models", nargs="*", metavar="MODEL", help="names, checkpoint files or run ids")
    option("--all", action="store_true", help="all shipped networks (the default)")

    option = add(commands, "predict", run_predict, "read the digit in an image file with all networks", as_json)
    option("file", type=Path)

    option = add(commands, "pretrain", run_pretrain, "pretrain a backbone on letters", device, runs)
    option("model", choices=of_family(Family.FINE_TUNED))
    option("--fonts", type=Path, nargs="+", metavar="DIR", help="folders with font files")
    option("--epochs", type=int)

    option = add(commands, "study", run_study, "measure results for the Compare page; the first line is the run's id",
                 device, runs, background)  # fmt: skip
    option("names", nargs="*", metavar="NAME", help="studies; without any, the command lists them")
    option("--all", action="store_true", help="all studies, one after the other")
    option("--quick", action="store_true", help="fewer measurements: about ten minutes for all on two cores")
    option("--networks", nargs="+", default=[], metavar="NETWORK", help="names; for the leaderboard also run ids")
    option("--into", type=Path, metavar="DIR", help="folder for a copy of the results")

    option = add(commands, "export", run_export, "write a network for other programs and check the file")
    option("model", metavar="MODEL", help="a name, a checkpoint file or a run id")
    option("--format", required=True, choices=("onnx", "pt2", "safetensors"))
    option("--out", type=Path, metavar="FILE", help="(default: MODEL.FORMAT in this folder)")

    bench = commands.add_parser("bench", help="measure the speed of this machine")
    measures = bench.add_subparsers(required=True, metavar="MEASURE")
    add(measures, "latency", run_bench_latency, "milliseconds per digit of each network", device, as_json)
    add(measures, "throughput", run_bench_throughput, "digits per second, for the Train page's estimates", device)
    option = add(measures, "train", run_bench_train, "training time, beside PyTorch's own MNIST example", device)
    option("--networks", nargs="+", choices=(*MODELS, "all"), default=[*MODELS][:1], metavar="MODEL",
           help="(default: the first network)")  # fmt: skip
    option("--repeats", type=int, default=3, help="medians of this many repeats (default: %(default)s)")
    option("--csv", type=Path, default=RUNS / "bench-train.csv", metavar="FILE",
           help="file to which each measurement is appended (default: %(default)s)")  # fmt: skip
    return parser


def run_train(options: Namespace) -> None:
    writes = int(os.environ.get("RANK", 0)) == 0  # under torchrun, the first process writes
    if options.tensorboard:
        check_installed()
    if options.in_background:
        lower_priority()
    run: Run | None
    if options.resume:
        run, config = reopen(options, options.model)
    else:
        config = new_config(options)
        run = Run.create(options.runs, config) if writes else None
    if writes:
        print(run.id, flush=True)

    def events() -> Iterator[Event | Preparation]:
        from atelier.runs.recorder import train  # imports PyTorch for seconds, when it is this run's turn

        training = train(config, run, writes)
        return log_events(training, run.folder) if options.tensorboard and writes else training

    try:
        show_progress(
            supervise(run, config["device"], events, options.in_background) if run and writes else events(),
            read_recipe(config).epochs,
            writes,
        )
    except StopRequested:
        if "WORLD_SIZE" in os.environ:  # torchrun ends its other processes only if this one fails
            raise RunError("The run was paused or stopped.") from None


def new_config(options: Namespace) -> dict[str, Any]:
    """The config of a new run with these options."""
    from atelier.training import setup

    requested = {name: getattr(options, name) for name in ("epochs", "train_size", "seed", "precision")}
    preset = MODELS[options.model].presets[options.preset]
    recipe = replace(preset, **{name: value for name, value in requested.items() if value is not None})
    backbone = options.backbone
    if options.imagenet_file:
        from atelier.models.backbones import import_imagenet

        if backbone not in (None, "imagenet"):
            raise RecipeError(f"--imagenet-file goes with --backbone imagenet, not {backbone}.")
        import_imagenet(options.model, options.imagenet_file)
        backbone = "imagenet"
    return setup.new_config(options.model, recipe, options.device, {"backbone": backbone} if backbone else {})


def run_pretrain(options: Namespace) -> None:
    from atelier.data import glyphs
    from atelier.devices import pick_device
    from atelier.runs import pretrain

    run, config = reopen(options, f"{options.model}-backbone") if options.resume else (None, {})
    pick_device(options.device)  # fails now, and not after minutes of drawing letters
    letters = glyphs.load(options.fonts or glyphs.FOLDERS)
    if run is None:
        config = pretrain.new_config(options.model, letters, options.epochs, options.device)
        run = Run.create(options.runs, config)
    print(run.id, flush=True)
    show_progress(pretrain.pretrain(config, run, letters), read_recipe(config).epochs)
    print(f"To use this backbone, copy {run.path(pretrain.BACKBONE)} to {MODELS[options.model].backbone}.")


def reopen(options: Namespace, model: str) -> tuple[Run, dict[str, Any]]:
    """The run to resume, and its config.

    Raises:
        RunError: if there is no run with this id, or it trains another network.
    """
    run = Run.open(options.runs, options.resume)
    config = run.read("config.json")
    if config.get("model") != model:
        raise RunError(f"Run {run.id} trains {config.get('model')}, not {model}.")
    read_recipe(config)
    if not getattr(options, "in_background", False) and int(os.environ.get("RANK", 0)) == 0 and not run.is_locked():
        queue_up(run)
    return run, config


def show_progress(events: Iterator[Event | Preparation], epochs: int, writes: bool = True) -> None:
    """Print the events of a training as a progress bar and a line per validation."""
    from tqdm import tqdm

    with tqdm(total=epochs, unit="epoch", disable=None if writes else True, bar_format=PROGRESS) as bar:
        for event in events:
            if isinstance(event, Preparation):
                bar.set_postfix_str(str(event))
                continue
            bar.update(event.epoch - bar.n)
            bar.set_postfix_str(f"{event.split} loss {event.loss:.3f}, accuracy {event.accuracy:.2%}")
            if event.split != "train" and writes:
                bar.write(f"{event.split:>5}  epoch {event.epoch:3.0f}  {event.seconds:6.1f} s  "
                          f"loss {event.loss:.4f}  accuracy {event.accuracy:.2%}")  # fmt: skip


def run_evaluate(options: Namespace) -> None:
    from atelier.evaluation.metrics import accuracy_by_hand, evaluate

    results = {}
    for name in MODELS if options.all or not options.models else options.models:
        classifier = load(name)
        results[name] = evaluate(classifier)
        if not options.json:
            print(name)
            for key, value in results[name].items():
                print(f"  {key:22} {'-' if value is None else f'{value:.4f}'}")
            by_hand = accuracy_by_hand(classifier).items()
            print("  strokes by hand        " + "  ".join(f"{hand} {accuracy:.0%}" for hand, accuracy in by_hand))
    if options.json:
        print(json.dumps(results, indent=1))


def run_predict(options: Namespace) -> None:
    digit = read_digit(options.file.read_bytes())
    probabilities = {name: load(name).predict_proba(digit[None])[0] for name in MODELS}
    if options.json:
        answers = {n: {"digit": int(p.argmax()), "probabilities": p.tolist()} for n, p in probabilities.items()}
        print(json.dumps(answers, indent=1))
    else:
        for name, p in probabilities.items():
            print(f"{name:12} {p.argmax()}  ({p.max():.1%})")


def run_study(options: Namespace) -> None:
    from atelier.studies import STUDIES, conduct

    if options.in_background:
        lower_priority()
    for folder in filter(None, (options.runs, options.into)):  # fails now, and not after hours of measuring
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"The folder {folder} cannot be made: {error.strerror}.") from None
    if options.resume:
        queued = bool(options.in_background)
        studies: Iterable[Run] = [conduct.reopen(options.resume, options.runs, options.names, queued)]
    else:
        names = list(STUDIES) if options.all else options.names
        if not names:
            raise RunError(f"Choose a study: {', '.join(STUDIES)}. --all measures all of them.")
        configs = [conduct.new_config(name, options.quick, options.device, options.networks) for name in names]
        studies = (conduct.prepare(config, options.runs) for config in configs)
    with contextlib.suppress(StopRequested):
        for run in studies:
            print(run.id, flush=True)
            show_study(run, options.in_background)
            if options.into:
                conduct.publish(run, options.into)


def show_study(run: Run, ticket: str | None) -> None:
    """Conduct a study with a progress bar, and print its table and its findings."""
    from tqdm import tqdm

    from atelier.studies import STUDIES, conduct, results

    config = run.read("config.json")
    with tqdm(total=len(config["points"]), unit="point") as bar:
        for progress in supervise(run, config["device"], lambda: conduct.conduct(run), ticket):
            bar.update(progress.done - bar.n)
            point = " ".join(map(str, (progress.point or {}).values()))
            if point != bar.postfix:
                bar.set_postfix_str(point)
    table = results.read(run.folder, config["study"]).table
    print(table.to_string(index=False))
    for sentence in STUDIES[config["study"]].findings(table).sentences:
        print(sentence)


def run_export(options: Namespace) -> None:
    from atelier.export import export

    out = options.out or Path(f"{Path(options.model).stem}.{options.format}")
    for file in export(options.model, options.format, out):
        size = file.path.stat().st_size / 1e6
        print(f"{file.path} ({size:.1f} MB): {file.compared} equal to {file.difference:.0e}")


def run_bench_latency(options: Namespace) -> None:
    from atelier.bench.speed import latency

    milliseconds = {name: latency(load(name, options.device)) for name in MODELS}
    milliseconds["sum"] = sum(milliseconds.values())
    if options.json:
        print(json.dumps(milliseconds, indent=1))
    else:
        for name, value in milliseconds.items():
            print(f"{name:12} {value:6.1f} ms")


def run_bench_train(options: Namespace) -> None:
    from atelier.bench.training_speed import bench_training, table
    from atelier.devices import pick_device

    networks = list(MODELS) if "all" in options.networks else options.networks
    with acquire_device(pick_device(options.device).type):
        print(table(bench_training(networks, options.device, options.repeats, options.csv)))


def run_bench_throughput(options: Namespace) -> None:
    from atelier.bench.estimate import load_throughput, save_throughput
    from atelier.bench.throughput import measure_throughput, startup_seconds
    from atelier.devices import pick_device

    device = pick_device(options.device)
    throughput = load_throughput(device.type) or {"networks": {}}
    lower_priority()
    throughput["startup_seconds"] = startup_seconds(device.type)
    for name in MODELS:
        with acquire_device(device.type):  # once per network: a waiting run goes first in between
            throughput["networks"][name] = measure_throughput(name, device)
        save_throughput(throughput, device.type)
        print(name, json.dumps(throughput["networks"][name]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
