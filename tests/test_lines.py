import io
import threading

import pytest

from clicv2lite import lines
from clicv2lite.lines import Notes, progress, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("quiet", [30.0, 0.0])
def test_every_line_in_a_file_begins_at_the_left_edge_also_beside_a_bar(monkeypatch, quiet):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(lines, "QUIET", quiet)
    with progress(40, "reading") as bar:
        for i in range(40):
            threads = [threading.Thread(target=say, args=(f"image {i}",)) for _ in range(2)]
            for thread in threads:
                thread.start()
            bar.update()
            for thread in threads:
                thread.join()
    said = stream.getvalue().split("\n")
    assert said.pop() == "" and "\r" not in stream.getvalue()
    assert all(line.startswith("clicv2lite: ") for line in said)
    assert sorted(line for line in said if "reading" not in line) == sorted(2 * [f"clicv2lite: image {i}" for i in range(40)])
    assert any("img/s" in line for line in said) is (quiet == 0)


def test_on_a_terminal_a_line_takes_the_place_of_the_bar(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with progress(2, "reading") as bar:
        bar.update()
        say("image 0")
    shown = [part for part in stream.getvalue().replace("\n", "\r").split("\r") if part.strip()]
    assert "clicv2lite: image 0" in shown


def test_after_ten_notes_the_others_are_counted(capsys):
    notes = Notes(most=2)
    for i in range(5):
        notes(f"note {i}")
    notes.close()
    assert capsys.readouterr().err.splitlines() == [
        "clicv2lite: note 0", "clicv2lite: note 1", "clicv2lite: 3 more such lines are left out",
    ]  # fmt: skip
    Notes().close()
    assert capsys.readouterr().err == ""
