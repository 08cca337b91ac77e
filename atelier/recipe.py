"""A recipe: all settings of a training in one value that can be printed, saved and compared."""

import math
from dataclasses import dataclass, field, fields

OPTIMIZERS = (
    "sgd",  # stochastic gradient descent with Nesterov's momentum 0.9 (Sutskever et al. 2013, ICML)
    "adamw",  # a step size for each weight (Loshchilov and Hutter 2019, arXiv:1711.05101)
    "muon",  # orthogonal steps for matrices (Jordan et al. 2024; Liu et al. 2025, arXiv:2502.16982), AdamW for the rest
)
SCHEDULES = (
    "one-cycle",  # up in the first third, then down to zero (Smith 2018, arXiv:1803.09820)
    "cosine",  # down along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983)
    "constant",
)
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
TRAINING_DIGITS, VALIDATION_DIGITS = 55_000, 5_000
MOST_EPOCHS = 1_000_000
MOST_DIGITS = 6  # in a scene


class RecipeError(ValueError):
    """A recipe that cannot work; the message gives the reason and what to do."""


def check_types(values: "Augmentation | Recipe") -> None:
    """Refuse a field of another type, which only a hand-edited file can hold.

    Raises:
        RecipeError: with its name.
    """
    for each in fields(values):
        value = getattr(values, each.name)
        numbers = (int, float) if each.type is float else (each.type,)
        if type(value) not in numbers or (each.type is float and not math.isfinite(value)):
            raise RecipeError(f"{each.name} cannot be {value!r}.")


@dataclass(frozen=True)
class Augmentation:
    """The limits within which training digits are varied at random; 0 switches a variation off.

    Digits drawn in a classroom have other pens, slants and proportions than MNIST's.
    """

    rotation: float = 8.0  # degrees
    slant: float = 0.15  # pixels sideways per pixel of height
    scale: float = 0.1  # share of the size
    stretch: float = 0.1  # share by which a digit becomes wider and flatter, or narrower and taller
    shift: float = 1.5  # pixels
    bend: float = 0.7  # pixels, typical size of a smooth random displacement
    stroke: float = 0.6  # pixels by which the outline of a stroke moves outwards or inwards, at most 1

    def __post_init__(self) -> None:
        check_types(self)
        for limit in fields(self):
            if getattr(self, limit.name) < 0:
                raise RecipeError(f"The limit of {limit.name} is below 0. Choose at least 0.")
        if self.stroke > 1:
            raise RecipeError("The limit of stroke is above 1 pixel. Choose at most 1.")


NO_AUGMENTATION = Augmentation(**{limit.name: 0.0 for limit in fields(Augmentation)})


@dataclass(frozen=True)
class Recipe:
    """The settings of a training."""

    epochs: int  # passes over the training digits
    batch_size: int = 250  # digits per step
    optimizer: str = "adamw"  # one of OPTIMIZERS
    learning_rate: float = 1e-2  # the highest of the schedule
    schedule: str = "one-cycle"  # of the learning rate, one of SCHEDULES
    weight_decay: float = 0.05
    ema_decay: float = 0.0  # decay of the exponential moving average of the weights; 0: no average
    label_smoothing: float = 0.0  # share of the target spread over all classes (Szegedy et al. 2016, arXiv:1512.00567)
    train_size: int = TRAINING_DIGITS  # training digits
    validation_size: int = VALIDATION_DIGITS  # validation digits, classified after each epoch
    variations: int = 4  # fine-tuning only: augmented copies of each digit whose features are kept
    digits_per_scene: int = MOST_DIGITS  # detectors only: the most digits in a scene
    seed: int = 0
    precision: str = "auto"  # one of PRECISIONS; "auto" takes bfloat16 if the device computes it fast
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        check_types(self)
        if not 1 <= self.epochs <= MOST_EPOCHS:
            raise RecipeError(f"Training needs 1 to {MOST_EPOCHS:,} epochs, not {self.epochs:,}.")
        if not 10 <= self.train_size <= TRAINING_DIGITS:
            raise RecipeError(f"Training needs 10 to {TRAINING_DIGITS:,} digits, not {self.train_size:,}.")
        if not 2 <= self.batch_size <= self.train_size:
            raise RecipeError(f"A batch holds 2 to {self.train_size:,} digits, not {self.batch_size:,}.")
        if not 100 <= self.validation_size <= VALIDATION_DIGITS:
            raise RecipeError(f"Validation needs 100 to {VALIDATION_DIGITS:,} digits, not {self.validation_size:,}.")
        if not 1 <= self.digits_per_scene <= MOST_DIGITS:
            raise RecipeError(f"A scene holds 1 to {MOST_DIGITS} digits, not {self.digits_per_scene}.")
        if self.variations < 1:
            raise RecipeError("Fine-tuning needs at least 1 copy of each digit.")
        if not 0 < self.learning_rate <= 1:
            raise RecipeError("The learning rate must be above 0 and at most 1.")
        if self.weight_decay < 0:
            raise RecipeError("The weight decay must be at least 0.")
        if not 0 <= self.ema_decay < 1:
            raise RecipeError("The decay of averaged weights must be at least 0 and below 1.")
        if not 0 <= self.label_smoothing < 1:
            raise RecipeError("Label smoothing must be at least 0 and below 1.")
        if not 0 <= self.seed < 2**31:
            raise RecipeError(f"The seed must be a number from 0 to {2**31 - 1:,}.")
        for label, value, options in (
            ("optimiser", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in options:
                raise RecipeError(f"There is no {label} {value!r}. Choose one of {', '.join(options)}.")
