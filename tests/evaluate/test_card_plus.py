"""The card of plus says what the files say."""

import json
import re

from clicv2lite.evaluate.card_plus import plus_card
from clicv2lite.models.by_name import SHIPPED

PLUS = SHIPPED["plus"]


def test_the_card_is_made_of_its_files_and_says_who_should_take_default():
    text = (PLUS / "model_card.md").read_text(encoding="utf-8")
    assert text == plus_card()
    assert not re.search(r"\{[a-z]|/tmp|/work|\bnan\b", text)
    probe = json.loads((PLUS / "probe.json").read_text(encoding="utf-8"))
    assert f"| **plus** | {probe['mean_pcc']:.3f} | {probe['mean_pcc_ci'][0]:.3f} to {probe['mean_pcc_ci'][1]:.3f} |" in text
    assert "take `default`" in text and "(../default/model_card.md)" in text and (PLUS / "../default/model_card.md").is_file()
