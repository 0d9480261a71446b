// Code as the picture, page or table that it describes, in the place of the code and back again. Nothing in it reaches
// this page: pictures are images, in which no script runs and nothing is loaded; pages stand in frames of their own.
localchat.previews = (() => {
  const { _, complain } = localchat.page;

  // The first thing in a page that is shown: no address can be loaded.
  const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:";
  // Browsers connect to where a frame would go before they ask a policy, so a page keeps nothing that could go anywhere.
  const NEVER = "script, iframe, frame, frameset, object, embed, portal, fencedframe, template, link, base, meta[http-equiv]";
  const ADDRESSES = /^(href|xlink:href|src|srcset|ping|action|formaction|data|background|poster)$/;

  const kinds = { mermaid: diagram, svg: picture, html: frame, csv: table, tsv: table, json: table, jsonl: table };

  async function toggle(button) {
    const pieces = localchat.clipboard.pieces(button);
    const [figure] = pieces;
    const shown = figure.querySelector(":scope > .preview");
    if (shown) return close(pieces, button, shown);
    const language = figure.querySelector("figcaption span").textContent.toLowerCase();
    const text = pieces.map((piece) => piece.querySelector("code").textContent).join("");
    const preview = make("div", { class: "preview", tabindex: 0, role: "group", "aria-label": _("Preview: {language}", { language }) });
    button.disabled = true;
    try {
      preview.append(await (kinds[language] ?? picture)(text, language));
      figure.querySelector("pre").before(preview);
      pieces.forEach((piece) => piece.classList.add("previewed"));
      name(button, _("Code"), _("Show code"));
    } catch (error) {
      const reason = error?.message?.split("\n")[0] ?? "";
      complain(_("This {language} code cannot be shown. {reason}", { language, reason }));
    } finally {
      button.disabled = false;
      button.focus({ preventScroll: true });
    }
  }

  function close(pieces, button, shown) {
    shown.remove();
    pieces.forEach((piece) => piece.classList.remove("previewed"));
    name(button, _("Preview"), _("Show preview"));
  }

  function name(button, text, label) {
    button.textContent = text;
    button.setAttribute("aria-label", label);
  }

  function make(tag, attributes) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  // A page without its scripts: with them nothing could keep it from the network.
  function frame(text) {
    const html = still(text);
    const srcdoc = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${POLICY}">${html}`;
    const page = make("iframe", { sandbox: "", title: _("Page"), referrerpolicy: "no-referrer", srcdoc });
    if (!/<script|\son\w+\s*=/i.test(text)) return page;
    const note = make("p", {});
    note.textContent = _("Scripts do not run here.");
    const whole = make("div", {});
    whole.append(page, note);
    return whole;
  }

  function still(text) {
    const parser = new DOMParser();  // in its documents nothing runs or loads
    const page = parser.parseFromString(text, "text/html");
    for (const element of page.querySelectorAll(NEVER)) element.remove();
    for (const element of page.querySelectorAll("*")) {
      for (const { name, value } of [...element.attributes]) {
        const leads = ADDRESSES.test(name) && !/^(#|data:)/.test(value);
        if (leads || name.startsWith("on")) element.removeAttribute(name);
      }
    }
    const html = page.documentElement.outerHTML;
    // Some HTML reads otherwise when it is written and read again.
    if (parser.parseFromString(html, "text/html").querySelector(NEVER)) throw new Error(_("It is not well-formed."));
    return html;
  }

  async function picture(text) {
    const start = text.indexOf("<svg");
    if (start < 0) throw new Error(_("It has no {tag} element.", { tag: "<svg>" }));
    const head = text.slice(start, text.indexOf(">", start));
    const space = /\sxmlns\s*=/.test(head) ? "" : ' xmlns="http://www.w3.org/2000/svg"';
    const whole = `<svg${space}${text.slice(start + "<svg".length)}`;
    const image = make("img", { alt: _("Picture"), src: `data:image/svg+xml,${encodeURIComponent(whole)}` });
    await image.decode().catch(() => {
      throw new Error(_("It is not well-formed."));
    });
    return image;
  }

  let diagrams = 0;
  async function diagram(text) {
    const { mermaid } = await import("nicegui-mermaid");
    const theme = document.body.classList.contains("body--dark") ? "dark" : "default";
    // What the diagram's own text may not change.
    const secure = ["secure", "securityLevel", "startOnLoad", "maxTextSize", "maxEdges", "suppressErrorRendering"];
    secure.push("htmlLabels", "themeCSS", "fontFamily", "dompurifyConfig");
    const settings = { startOnLoad: false, securityLevel: "strict", htmlLabels: false, suppressErrorRendering: true };
    mermaid.initialize({ ...settings, theme, secure, maxTextSize: 50000, flowchart: { htmlLabels: false } });
    const { svg } = await mermaid.render(`diagram-${++diagrams}`, text);
    // As an image it has the size that it says.
    const drawn = new DOMParser().parseFromString(svg, "text/html").querySelector("svg");
    const [, , width, height] = (drawn.getAttribute("viewBox") ?? "0 0 0 0").split(/[\s,]+/).map(Number);
    if (width && height) {
      drawn.setAttribute("width", width);
      drawn.setAttribute("height", height);
    }
    return picture(new XMLSerializer().serializeToString(drawn));
  }

  // Tables are made by the server, which reads CSV and JSON.
  const awaited = new Map();
  function table(text, language) {
    return new Promise((resolve, reject) => {
      const ticket = String(Math.random());
      awaited.set(ticket, { resolve, reject });
      emitEvent("table", { ticket, language, text });
    });
  }

  function answer(ticket, html, refusal) {
    const { resolve, reject } = awaited.get(ticket) ?? {};
    awaited.delete(ticket);
    if (!html) return reject?.(new Error(refusal));
    const body = make("div", { class: "markdown" });
    body.innerHTML = html;  // made safe by the server
    resolve?.(body);
  }

  function listen() {
    document.addEventListener("click", (event) => {
      const button = event.target.closest(".preview-code");
      if (button) toggle(button);
    });
  }

  return { answer, listen };
})();
