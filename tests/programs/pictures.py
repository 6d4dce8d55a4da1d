"""Makes the pictures of the pages from real studies; some minutes, with Chromium and $REGSEARCH_MNIST.

One worker searches the first study, so that the same processor and versions give the same pictures.

python tests/programs/pictures.py                      # search and report of `digits`, answer of `mnist`
python tests/programs/pictures.py --answer digits      # all of `digits`, in two minutes
python tests/programs/pictures.py --storage URL        # the answer of a study that is in this database already
"""

import argparse
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from fcntl import ioctl
from pathlib import Path

from PIL import Image, ImageChops
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "studies" / "reports" / "pictures"

_COLUMNS, _LINES = 112, 22  # of the terminal, and of what its picture shows of it
_MOMENT = 0.6  # the part of the trials that are finished in the picture
_WIDTH, _HEIGHT = 1040, 2400  # of a page, in pixels
_COLOURS = 48  # of a picture: enough for figures and smooth letters
_CONTROL = re.compile(r"(\n|\r|\x1b\[\??[0-9;]*[A-Za-z])")
_FIGURE = "figure-verdicts"
_SHOWN = {  # in the style of a page, what a picture of it leaves out
    "report": "#answer ~ * { display: none }",
    "answer": f"body * {{ visibility: hidden }} #{_FIGURE}, #{_FIGURE} * {{ visibility: visible }}",
}


class Screen:
    """What a terminal shows: its lines, of which the last ones are drawn again and again.

    Example:
        >>> screen = Screen()
        >>> screen.write("a line\\r\\n1 of 2\\r\\n\\x1b[1A\\x1b[2K2 of 2")
        >>> screen.lines
        ['a line', '2 of 2']
    """

    def __init__(self) -> None:
        self.lines = [""]
        self._row = 0

    def write(self, text: str) -> None:
        """Show what a program writes; colours stay in the lines, other control codes are obeyed."""
        for part in _CONTROL.split(text):
            if part == "\n":
                self._row += 1
                self.lines += [""] * (self._row + 1 - len(self.lines))
            elif part.endswith("A") and part.startswith("\x1b["):
                self._row = max(self._row - int(part[2:-1] or 1), 0)
            elif part == "\x1b[2K":
                self.lines[self._row] = ""
            elif part.endswith("m") or not part.startswith(("\x1b", "\r")):
                self.lines[self._row] += part

    def picture(self, title: str) -> str:
        """Return the last lines as SVG, which asks for no font of another place."""
        console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
        shown = [line for line in self.lines if line.strip()][-_LINES:]
        for line in shown:
            console.print(Text.from_ansi(line, no_wrap=True, overflow="ellipsis"))
        return re.sub(r"\s*@font-face \{.*?\}\n", "\n", console.export_svg(title=title), flags=re.DOTALL)


def regsearch(*arguments: str, storage: str) -> list[str]:
    """Return the command that runs regsearch of this repository."""
    return [sys.executable, "-m", "regsearch", *arguments, "--storage", storage]


def record(command: list[str], environment: dict[str, str]) -> list[Screen]:
    """Run a command in a terminal, and return its screens, the last one at its end.

    Raises CalledProcessError if the command fails.
    """
    parent, child = pty.openpty()
    ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, _COLUMNS, 0, 0))
    process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=environment)
    os.close(child)
    screens, written = [], ""
    while chunk := _read(parent):
        written += chunk.decode(errors="ignore")
        screens.append(Screen())
        screens[-1].write(written)
    os.close(parent)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command, output="\n".join(screens[-1].lines))
    return screens


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # what Linux gives once the program has ended
        return b""


def best_moment(screens: list[Screen]) -> Screen:
    """Return the screen on which about so many trials are finished as the picture shall show."""

    def distance(screen: Screen) -> float:
        counts = re.findall(r"(\d+) of (\d+)", "\n".join(screen.lines[-_LINES:]))
        return min((abs(int(done) / int(total) - _MOMENT) for done, total in counts if int(total)), default=1.0)

    return min(screens[: max(len(screens) * 2 // 3, 1)], key=distance)


def screenshot(page: Path, style: str) -> Image.Image:
    """Return what Chromium shows of a report with another style, without the empty margin."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("no Chromium found: install it, for example with apt-get install chromium")
    text = re.sub(r"<meta http-equiv=.Content-Security-Policy.[^>]*>", "", page.read_text(), flags=re.IGNORECASE)
    if missing := [name for name in re.findall(r"#([\w-]+)", style) if f'id="{name}"' not in text]:
        raise SystemExit(f"the report has no #{missing[0]} any more: name another part of it here")
    page.write_text(text.replace("</head>", f"<style>{style}</style></head>"))
    target = page.with_suffix(".png")
    size = [f"--window-size={_WIDTH},{_HEIGHT}", "--force-device-scale-factor=1", "--hide-scrollbars"]
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", *size]
    subprocess.run([browser, *options, f"--screenshot={target}", page.as_uri()], check=True, capture_output=True)
    image = Image.open(target).convert("RGB")
    box = ImageChops.difference(image, Image.new("RGB", image.size, image.getpixel((0, 0)))).getbbox()
    if box is None:
        raise SystemExit(f"nothing is left of {page.name} with the style {style}")
    return image.crop(box)


def save(image: Image.Image, name: str) -> None:
    """Write a small PNG."""
    framed = Image.new("RGB", (image.width + 40, image.height + 40), "white")
    framed.paste(image, (20, 20))
    framed.quantize(_COLOURS, dither=Image.Dither.NONE).save(PICTURES / name, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="digits", help="of the search and the report")
    parser.add_argument("--answer", default="mnist", help="the study of the answer")
    parser.add_argument("--storage", help="the database with the study of the answer")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join(filter(None, (str(_importable(Path(folder))), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path, "TERM": "xterm-256color"}
        here = f"sqlite:///{folder}/regsearch.db"
        screens = record(regsearch("run", chosen.study, "--workers", "1", storage=here), environment)
        picture = best_moment(screens).picture(f"regsearch run {chosen.study}")
        (PICTURES / "terminal.svg").write_text(picture)
        for name, study, storage in (
            ("report", chosen.study, here),
            ("answer", chosen.answer, chosen.storage or here),
        ):
            run = regsearch("run", study, "--quiet", storage=storage)  # if it is done, this is quick
            report = regsearch("report", study, "--output", f"{folder}/{name}.html", storage=storage)
            for command in (run, report):
                subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            save(screenshot(Path(folder, f"{name}.html"), _SHOWN[name]), f"{name}.png")
    for file in sorted(PICTURES.iterdir()):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")


def _importable(folder: Path) -> Path:
    """Return a folder from which this repository is imported as `regsearch`, whatever its own folder is called."""
    (folder / "path").mkdir()
    (folder / "path" / "regsearch").symlink_to(ROOT)
    return folder / "path"


if __name__ == "__main__":
    main()
