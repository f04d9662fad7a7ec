"""Take the screenshots of docs/replay.md: `python docs/replay_pictures.py`. Needs Chromium and its driver."""

import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from selenium import webdriver

from ratelimit.replay import replay_log
from ratelimit.replay.cli.suggest import main as suggest
from ratelimit.replay.render.html import page

ROOT = Path(__file__).parents[1]
LIMITS = [
    "token-bucket 60/minute burst 40",
    "leaky-bucket 60/minute capacity 40",
    "fixed-window 60/minute",
    "sliding-window 60/minute",
    "sliding-log 60/minute",
]


def main():
    sys.path.insert(0, str(ROOT / "examples"))
    from traffic import write_log

    options = webdriver.ChromeOptions()
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    options.binary_location = shutil.which("chromium")
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder / "access.log")
        report = replay_log(folder / "access.log", LIMITS, kinds=True)
        (folder / "replay.html").write_text(page(report), encoding="utf-8")
        suggest([str(folder / "access.log"), "--html", str(folder / "suggest.html")])
        for made in folder.glob("*.html"):
            made.write_text(made.read_text(encoding="utf-8").replace(f"{folder}/", ""), encoding="utf-8")
        for kind, height in (("replay", 1_330), ("suggest", 1_400)):
            for scheme, suffix in (("light", ""), ("dark", "-dark")):
                take(browser, folder / f"{kind}.html", height, scheme, ROOT / f"docs/pictures/{kind}{suffix}.png")
    browser.quit()


def take(browser, source, height, scheme, target):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    metrics = {"width": 1_100, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(source.as_uri())
    Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB").quantize(128).save(target, optimize=True)
    print(target)


if __name__ == "__main__":
    main()
