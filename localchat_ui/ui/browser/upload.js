// Sends a file to the server, and says how far it is.
localchat.upload = (() => {
  const { _ } = localchat.page;
  const root = () => document.documentElement.dataset.root ?? "";

  const megabytes = (bytes) => bytes / 1e6;
  const most = () => Number(document.documentElement.dataset.maxMegabytes);

  // What the server answers. Whatever goes wrong is an Error with words for people.
  function send(path, file, onProgress = () => {}) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const { name } = file;
      const fail = (words) => reject(new Error(words));
      const tooLarge = () => fail(_("{name} is too large: {most} MB are the most (MAX_BODY_MB).", { name, most: most() }));
      // Asked here first: a server that refuses does not read to the end, which looks like a broken connection.
      if (megabytes(file.size) > most()) return tooLarge();
      request.open("POST", root() + path);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      // Not in the address, which proxies write into their logs.
      request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
      request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
      request.onerror = request.onabort = () => fail(_("{name} did not arrive: the connection broke. Try again.", { name }));
      request.onload = () => {
        let answer = {};
        try {
          answer = JSON.parse(request.responseText);
        } catch {
          // A proxy answers with a page of its own.
        }
        if (answer.refusal) fail(answer.refusal);
        else if (request.status === 200) resolve(answer);
        else if (request.status === 413) tooLarge();
        else if (answer.error) fail(_("{name} did not arrive: {reason}", { name, reason: answer.error.message }));
        else fail(_("{name} did not arrive: the server answers {status}.", { name, status: request.status }));
      };
      request.send(file);
    });
  }

  // Imports the conversations of a file, and tells how far that is and what came of it.
  async function conversations(file) {
    if (!file) return;
    const tell = (text, share) => localchat.notices.show({ id: "import", kind: "info", text, share });
    tell(_("Uploading {name}…", file), 0);
    try {
      const { text, complete } = await send("/upload/conversations", file, (share) =>
        tell(share < 1 ? _("Uploading {name}…", file) : _("Importing {name}…", file), share));
      localchat.notices.show({ id: "import", kind: complete ? "success" : "warning", text });
    } catch (error) {
      localchat.notices.show({ id: "import", kind: "error", text: error.message });
    }
  }

  return { send, conversations };
})();
