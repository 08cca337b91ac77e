"""A recipe: everything that decides how a network is trained, in one value that can be printed, saved and compared."""

from dataclasses import dataclass, field, fields

OPTIMIZERS = (
    "sgd",  # stochastic gradient descent with Nesterov's momentum 0.9 (Sutskever et al. 2013, ICML)
    "adamw",  # each weight its own step size (Loshchilov and Hutter 2019, arXiv:1711.05101)
    "muon",  # steps that turn whole matrices (Jordan et al. 2024; Liu et al. 2025, arXiv:2502.16982); else AdamW
)
SCHEDULES = (
    "one-cycle",  # up in the first third, then down to nothing (Smith 2018, arXiv:1803.09820)
    "cosine",  # down along half a cosine from the start (Loshchilov and Hutter 2017, arXiv:1608.03983)
    "constant",
)
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
TRAINING_DIGITS, VALIDATION_DIGITS = 55_000, 5_000
MOST_DIGITS = 6  # that find a place in a scene


class RecipeError(ValueError):
    """A recipe that cannot work; the message says why and what would."""


@dataclass(frozen=True)
class Augmentation:
    """How far each training digit may be varied. Each limit is at least 0; 0 switches that variation off.

    A class draws with other pens, slants and proportions than the people whose digits are in MNIST, so a network is
    shown each digit a little different every time.
    """

    rotation: float = 8.0  # degrees
    slant: float = 0.15  # pixels to the side per pixel of height
    scale: float = 0.1  # share of the size
    stretch: float = 0.1  # share by which a digit grows wider and flatter, or narrower and taller
    shift: float = 1.5  # pixels
    bend: float = 0.7  # pixels, typical size of a smooth random displacement
    stroke: float = 0.6  # pixels by which a stroke's outline moves outwards or inwards, at most 1

    def __post_init__(self) -> None:
        for limit in fields(self):
            if getattr(self, limit.name) < 0:
                raise RecipeError(f"Augmentation cannot vary the {limit.name} by less than 0; 0 switches it off.")
        if self.stroke > 1:
            raise RecipeError("Augmentation cannot move a stroke's outline by more than 1 pixel.")


NO_AUGMENTATION = Augmentation(**{limit.name: 0.0 for limit in fields(Augmentation)})


@dataclass(frozen=True)
class Recipe:
    """How to train a network; see each field."""

    epochs: int  # passes over the training digits
    batch_size: int = 250  # digits a step
    optimizer: str = "adamw"  # one of OPTIMIZERS
    learning_rate: float = 1e-2  # at its highest
    schedule: str = "one-cycle"  # how the learning rate goes up and down, one of SCHEDULES
    weight_decay: float = 0.05  # pull of the weights towards zero
    ema_decay: float = 0.0  # share that the averaged weights keep of themselves in each step; 0: no averaging
    label_smoothing: float = 0.0  # certainty kept back from the true class (Szegedy et al. 2016, arXiv:1512.00567)
    train_size: int = TRAINING_DIGITS  # how many training digits
    validation_size: int = VALIDATION_DIGITS  # how many validation digits are read after each epoch
    variations: int = 4  # fine-tuning only: how many varied copies of each digit are made and kept
    digits_per_scene: int = MOST_DIGITS  # Faster R-CNN only: scenes hold 1 to so many
    seed: int = 0
    precision: str = "auto"  # arithmetic, one of PRECISIONS; "auto" takes bfloat16 where the device is fast at it
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise RecipeError("Training needs at least 1 epoch.")
        if not 10 <= self.train_size <= TRAINING_DIGITS:
            raise RecipeError(f"Training needs 10 to {TRAINING_DIGITS:,} digits; {self.train_size:,} were asked for.")
        if not 2 <= self.batch_size <= self.train_size:
            raise RecipeError(f"A batch holds 2 to {self.train_size:,} digits (all of them); not {self.batch_size:,}.")
        if not 100 <= self.validation_size <= VALIDATION_DIGITS:
            raise RecipeError(
                f"Validation needs 100 to {VALIDATION_DIGITS:,} digits; {self.validation_size:,} were asked for."
            )
        if not 1 <= self.digits_per_scene <= MOST_DIGITS:
            raise RecipeError(f"A scene holds 1 to {MOST_DIGITS} digits, not {self.digits_per_scene}.")
        if self.schedule not in SCHEDULES:
            raise RecipeError(f"There is no schedule {self.schedule!r}; choose one of {', '.join(SCHEDULES)}.")
        if self.variations < 1:
            raise RecipeError("Fine-tuning needs at least 1 copy of each digit.")
        if self.optimizer not in OPTIMIZERS:
            raise RecipeError(f"There is no optimiser {self.optimizer!r}; choose one of {', '.join(OPTIMIZERS)}.")
        if not 0 < self.learning_rate <= 1:
            raise RecipeError("The learning rate lies above 0 and is at most 1.")
        if self.weight_decay < 0:
            raise RecipeError("Weight decay is at least 0.")
        if not 0 <= self.ema_decay < 1:
            raise RecipeError("The decay of the averaged weights is at least 0 and below 1.")
        if not 0 <= self.label_smoothing < 1:
            raise RecipeError("Label smoothing lies between 0 and 1, without 1.")
        if not 0 <= self.seed < 2**31:
            raise RecipeError(f"The seed is a number from 0 to {2**31 - 1:,}.")
        if self.precision not in PRECISIONS:
            raise RecipeError(f"There is no precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}.")
