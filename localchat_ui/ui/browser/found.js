// Marks in the conversation what a search has found. Nothing in the document changes: the browser draws over it.
localchat.found = (() => {
  let words = [];

  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  function mark(terms) {
    words = terms.map(plain).filter(Boolean);
    draw();
  }

  function draw() {
    if (!window.CSS?.highlights) return;
    const ranges = words.length ? [...document.querySelectorAll("[role=log] .words")].flatMap(rangesIn) : [];
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  function rangesIn(body) {
    const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
    const ranges = [];
    for (let node; (node = walker.nextNode());) {
      // Each letter by itself: without its accents a text may have another length.
      const letters = [...node.data];
      const folded = letters.map(plain);
      const text = folded.join("");
      for (const word of words) {
        for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
          const before = text[at - 1];
          if (before && /[\p{L}\p{N}]/u.test(before) && /^[\p{Script=Latin}\p{N}]/u.test(word)) continue;
          const range = new Range();
          range.setStart(node, place(letters, folded, at));
          range.setEnd(node, place(letters, folded, at + word.length));
          ranges.push(range);
        }
      }
    }
    return ranges;
  }

  // Where in the text as it stands so many folded characters end.
  function place(letters, folded, length) {
    let index = 0;
    let offset = 0;
    for (let count = 0; count < length && index < letters.length; index++) {
      count += folded[index].length;
      offset += letters[index].length;
    }
    while (index < letters.length && !folded[index]) offset += letters[index++].length;
    return offset;
  }

  return { mark, draw, clear: () => mark([]) };
})();
