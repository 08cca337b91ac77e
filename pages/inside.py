"""Look inside: why each network answered as it did."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image

from atelier import MODELS
from pages import digit_choice, inside_all, inside_conv, inside_detector, inside_vit, looking, shared

if TYPE_CHECKING:
    from atelier.classifier import Classifier

VIEWS = {
    "All five": inside_all.show,
    "Convolutions": inside_conv.show,
    "Vision Transformer": inside_vit.show,
    "Faster R-CNN": inside_detector.show,
}

shared.through_app()
shared.style()


@st.cache_data(max_entries=500, show_spinner=False)
def evidence(_classifier: "Classifier", identity: str, digit: np.ndarray, target: int) -> tuple[str, str]:
    """A network's evidence as an image's address, and how it was found."""
    from atelier.explain.evidence import evidence, picture

    seen, buffer = evidence(_classifier, digit, target), io.BytesIO()
    Image.fromarray(picture(digit, seen, _classifier.spec.colour)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}", seen.method


digit = digit_choice.choose()
if digit is None:
    st.stop()

answers = [shared.ask(spec, digit) for spec in MODELS.values()]
st.subheader("Why did each of them answer so?")
st.markdown("Colour marks where each network found what speaks for **its own answer**: the stronger, the more.")
with st.grid("auto", min_column_width=165):
    for answer in answers:
        name = answer.spec.name
        with st.container(border=True, height="stretch"):
            st.html(shared.card_head(answer.spec) + shared.card_run(answer.spec))
            with st.container(key=f"evidence_{name}"):
                if answer.digit is None:
                    looking.network(name)  # says why
                    continue
                source, method = evidence(shared.load(name).result(), looking.identity(name), digit, answer.digit)
                told = f"What in the digit spoke for {answer.digit}, to {answer.spec.title}"
                st.html(
                    f'<img class="seen" alt="{told}" src="{source}"><div class="confidence">{answer.digit}, '
                    f'{answer.probabilities.max():.1%} sure</div><div class="note">{method}</div>'
                )

view = st.segmented_control(
    "Look closer", list(VIEWS), default="All five", required=True, key="view", bind="query-params"
)
VIEWS[view](digit)
if shared.loading(answers):
    shared.wait_for_a_network()
