"""The command line: `python -m atelier train | evaluate | predict | pretrain | study | export | bench`.

Each says more with `--help`.
"""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator
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
from atelier.runs.tensorboard import check_installed, logged
from atelier.runs.worker import StopRequested, lower_priority, supervise
from atelier.training.events import Event, Preparation
from atelier.zoo import Family, of_family


def main(arguments: list[str] | None = None) -> int:
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


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m atelier", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    train = commands.add_parser("train", help="train a network; prints the run's id first")
    train.add_argument("model", choices=MODELS)
    train.add_argument("--preset", choices=("demo", "full"), default="full")
    train.add_argument("--epochs", type=int)
    train.add_argument("--train-size", type=int, help="how many training digits")
    train.add_argument("--seed", type=int)
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    train.add_argument("--precision", choices=PRECISIONS)
    train.add_argument("--backbone", choices=("glyphs", "imagenet", "none"), help="of a fine-tuned network")
    train.add_argument("--imagenet-file", type=Path, metavar="FILE", help="torchvision's file, if there is no network")
    train.add_argument("--runs", type=Path, default=RUNS, help="where the run's folder is made (default: %(default)s)")
    train.add_argument("--resume", metavar="ID", help="continue this run as it was started")
    train.add_argument("--tensorboard", action="store_true", help="also write TensorBoard's event files into the run")
    train.add_argument(
        "--in-background", metavar="TICKET", help="let other processes go first; see atelier/runs/queue.py"
    )
    train.set_defaults(run_command=run_train)

    evaluate = commands.add_parser("evaluate", help="measure networks on the test digits and on other hands")
    evaluate.add_argument("models", nargs="*", metavar="MODEL", help="names, checkpoint files or run ids")
    evaluate.add_argument("--all", action="store_true", help="all shipped networks (the default)")
    evaluate.add_argument("--json", action="store_true")
    evaluate.set_defaults(run_command=run_evaluate)

    predict = commands.add_parser("predict", help="read the digit in a picture file")
    predict.add_argument("file", type=Path)
    predict.add_argument("--json", action="store_true")
    predict.set_defaults(run_command=run_predict)

    pretrain = commands.add_parser("pretrain", help="teach a backbone letters, for fine-tuning to build on")
    pretrain.add_argument("model", choices=of_family(Family.FINE_TUNED))
    pretrain.add_argument("--fonts", type=Path, nargs="+", metavar="FOLDER", help="where font files lie")
    pretrain.add_argument("--epochs", type=int)
    pretrain.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    pretrain.add_argument("--runs", type=Path, default=RUNS, help="where the run's folder is made")
    pretrain.add_argument("--resume", metavar="ID", help="continue this run as it was started")
    pretrain.set_defaults(run_command=run_pretrain)

    study = commands.add_parser("study", help="measure what the Compare page shows; prints each study's id first")
    study.add_argument("names", nargs="*", metavar="NAME",
                       help="leaderboard, data_hunger, transfer, robustness, one_or_many, cost")  # fmt: skip
    study.add_argument("--all", action="store_true", help="all six, one after the other")
    study.add_argument("--quick", action="store_true", help="fewer points: all six in ten minutes or so on two cores")
    study.add_argument("--networks", nargs="+", default=[], metavar="NETWORK",
                       help="names of networks, for the leaderboard also ids of runs (default: all five)")  # fmt: skip
    study.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    study.add_argument("--runs", type=Path, default=RUNS, help="where its folder is made (default: %(default)s)")
    study.add_argument("--into", type=Path, metavar="FOLDER", help="where to copy the results when it has finished")
    study.add_argument("--resume", metavar="ID", help="continue this one as it was started")
    study.add_argument("--in-background", metavar="TICKET", help="let other processes go first")
    study.set_defaults(run_command=run_study)

    export = commands.add_parser("export", help="write a network for other programs, and check what was written")
    export.add_argument("model", metavar="MODEL", help="a name, a checkpoint file or a run's id")
    export.add_argument("--format", required=True, choices=("onnx", "pt2", "safetensors"))
    export.add_argument("--out", type=Path, metavar="FILE", help="(default: MODEL.FORMAT, here)")
    export.set_defaults(run_command=run_export)

    bench = commands.add_parser("bench", help="measure this machine")
    measures = bench.add_subparsers(required=True, metavar="what")

    latency = measures.add_parser("latency", help="milliseconds for one digit, of each network")
    latency.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    latency.add_argument("--json", action="store_true")
    latency.set_defaults(run_command=run_bench_latency)

    training = measures.add_parser(
        "train",
        help="how long training takes, and how much longer PyTorch's own MNIST example",
        description="Measure how long training takes: our CNN and PyTorch's own MNIST example until they read 99.0% "
        "of the validation digits, then the demo and the full recipe of networks. The example needs up to 14 epochs "
        "each time, and full recipes take minutes to hours: it tells how far it is.",
    )
    training.add_argument("--networks", nargs="+", choices=(*MODELS, "all"), default=[*MODELS][:1], metavar="MODEL",
                          help=f"any of {', '.join(MODELS)}, or all (default: the first)")  # fmt: skip
    training.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    training.add_argument("--repeats", type=int, default=3, help="medians are of so many (default: %(default)s)")
    training.add_argument("--csv", type=Path, default=RUNS / "bench-train.csv", metavar="FILE",
                          help="where each measurement is appended (default: %(default)s)")  # fmt: skip
    training.set_defaults(run_command=run_bench_train)

    throughput = measures.add_parser("throughput", help="digits a second, for the times that the Train page estimates")
    throughput.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    throughput.set_defaults(run_command=run_bench_throughput)
    return parser


def run_train(options: argparse.Namespace) -> None:
    writes = int(os.environ.get("RANK", 0)) == 0  # of the processes of a torchrun launch, the first
    if options.tensorboard:
        check_installed()
    if options.in_background:
        lower_priority()
    if options.resume:
        run, config = reopen(options, options.model)
    else:
        config = asked_config(options)
        run = Run.create(options.runs, config) if writes else None
    recipe = read_recipe(config)
    if writes:
        print(run.id, flush=True)

    def events() -> Iterator[Event | Preparation]:  # imports PyTorch, which takes seconds, when it is this run's turn
        from atelier.runs.recorder import train

        told = train(config, run, writes)
        return logged(told, run.folder) if options.tensorboard and writes else told

    try:
        show_progress(
            supervise(run, config["device"], events, options.in_background) if writes else events(),
            recipe.epochs,
            writes,
        )
    except StopRequested:
        if "WORLD_SIZE" in os.environ:  # the launch may still be waiting for this process: it ends if this one fails
            raise RunError("The run was paused or stopped.") from None


def asked_config(options: argparse.Namespace) -> dict[str, Any]:
    """The config of a new run as the command line asks for it."""
    from atelier.training.setup import new_config

    asked = {name: getattr(options, name) for name in ("epochs", "train_size", "seed", "precision")}
    preset = MODELS[options.model].presets[options.preset]
    recipe = replace(preset, **{name: value for name, value in asked.items() if value is not None})
    backbone = options.backbone
    if options.imagenet_file:
        from atelier.models.backbones import import_imagenet

        if backbone not in (None, "imagenet"):
            raise RecipeError(f"--imagenet-file goes with --backbone imagenet, not {backbone}.")
        import_imagenet(options.model, options.imagenet_file)
        backbone = "imagenet"
    return new_config(options.model, recipe, options.device, {"backbone": backbone} if backbone else {})


def run_pretrain(options: argparse.Namespace) -> None:
    from atelier.data import glyphs
    from atelier.devices import pick_device
    from atelier.runs.pretrain import BACKBONE, new_config, pretrain

    run, config = reopen(options, f"{options.model}-backbone") if options.resume else (None, {})
    pick_device(options.device)  # what cannot be done is said before letters are drawn for minutes
    letters = glyphs.load(options.fonts or glyphs.FOLDERS)
    if run is None:
        config = new_config(options.model, letters, options.epochs, options.device)
        run = Run.create(options.runs, config)
    print(run.id, flush=True)
    show_progress(pretrain(config, run, letters), read_recipe(config).epochs)
    print(f"To build on it, copy {run.path(BACKBONE)} to {MODELS[options.model].backbone}.")


def reopen(options: argparse.Namespace, model: str) -> tuple[Run, dict[str, Any]]:
    """The run to resume, and its config.

    Raises:
        RunError: if there is none of that id, or it is another network's.
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


PROGRESS = "{percentage:3.0f}%|{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}] {postfix}"


def run_evaluate(options: argparse.Namespace) -> None:
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


def run_predict(options: argparse.Namespace) -> None:
    digit = read_digit(options.file.read_bytes())
    probabilities = {name: load(name).predict_proba(digit[None])[0] for name in MODELS}
    if options.json:
        answers = {n: {"digit": int(p.argmax()), "probabilities": p.tolist()} for n, p in probabilities.items()}
        print(json.dumps(answers, indent=1))
    else:
        for name, p in probabilities.items():
            print(f"{name:12} {p.argmax()}  ({p.max():.1%})")


def run_study(options: argparse.Namespace) -> None:
    from atelier.studies import STUDIES, conduct

    if options.in_background:
        lower_priority()
    for folder in filter(None, (options.runs, options.into)):  # rather than after hours of measuring
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"The folder {folder} cannot be made: {error.strerror}.") from None
    if options.resume:
        studies = [conduct.reopen(options.resume, options.runs, options.names, bool(options.in_background))]
    else:
        if not options.names and not options.all:
            raise RunError(f"Which study? They are {', '.join(STUDIES)}; --all conducts all.")
        names = list(STUDIES) if options.all else options.names
        configs = [conduct.new_config(name, options.quick, options.device, options.networks) for name in names]
        studies = (conduct.prepare(config, options.runs) for config in configs)
    with contextlib.suppress(StopRequested):  # to pause or to stop
        for run in studies:
            print(run.id, flush=True)
            show_study(run, options.in_background)
            if options.into:
                conduct.publish(run, options.into)


def show_study(run: Run, ticket: str | None) -> None:
    """Conduct a study with a progress bar; print its table and what that says."""
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


def run_export(options: argparse.Namespace) -> None:
    from atelier.export import export

    out = options.out or Path(f"{Path(options.model).stem}.{options.format}")
    for written in export(options.model, options.format, out):
        size = written.path.stat().st_size / 1e6
        print(f"{written.path} ({size:.1f} MB): {written.compared} equal to {written.difference:.0e}")


def run_bench_latency(options: argparse.Namespace) -> None:
    from atelier.bench.speed import latency

    milliseconds = {name: latency(load(name, options.device)) for name in MODELS}
    milliseconds["sum"] = sum(milliseconds.values())
    if options.json:
        print(json.dumps(milliseconds, indent=1))
    else:
        for name, value in milliseconds.items():
            print(f"{name:12} {value:6.1f} ms")


def run_bench_train(options: argparse.Namespace) -> None:
    from atelier.bench.training_speed import bench_training, table
    from atelier.devices import pick_device

    networks = list(MODELS) if "all" in options.networks else options.networks
    with acquire_device(pick_device(options.device).type):
        print(table(bench_training(networks, options.device, options.repeats, options.csv)))


def run_bench_throughput(options: argparse.Namespace) -> None:
    from atelier.bench.estimate import load_throughput, save_throughput
    from atelier.bench.throughput import measure_throughput, startup_seconds
    from atelier.devices import pick_device

    device = pick_device(options.device)
    throughput = load_throughput(device.type) or {"networks": {}}
    lower_priority()
    throughput["startup_seconds"] = startup_seconds(device.type)
    for name in MODELS:
        with acquire_device(device.type):  # anew for each, so that no run waits for all of them
            throughput["networks"][name] = measure_throughput(name, device)
        save_throughput(throughput, device.type)
        print(name, json.dumps(throughput["networks"][name]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
