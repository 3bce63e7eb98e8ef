"""What a written page holds."""

import json
import re
from html.parser import HTMLParser

VOID = {"meta", "br", "wbr", "link", "img", "input"}


class Elements(HTMLParser):
    """Names of all elements, their attributes, and whether they close in order."""

    def __init__(self):
        super().__init__()
        self.names, self.open, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs


def read(path):
    text = path.read_text(encoding="utf-8")
    page = Elements()
    page.feed(text)
    assert page.open == []
    return text, page


def figures(text):
    return re.findall(r'<figure id="figure-([a-z-]+)"', text)


def stored(text, key):
    return json.loads(
        re.search(rf'<script type="application/json" id="{key}">(.*?)</script>', text, re.DOTALL).group(1)
    )
