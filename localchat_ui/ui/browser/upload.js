// Sends a file to the server, and says how far it is.
localchat.upload = (() => {
  const root = () => document.documentElement.dataset.root ?? "";

  const megabytes = (bytes) => bytes / 1e6;
  const most = () => Number(document.documentElement.dataset.maxMegabytes);

  // What the server answers. Whatever goes wrong is an Error with words for people.
  function send(path, file, onProgress = () => {}) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const fail = (words) => reject(new Error(words));
      const tooLarge = () => fail(`${file.name} is too large: ${most()} MB are the most (MAX_BODY_MB).`);
      // Asked here first: a server that refuses does not read to the end, which looks like a broken connection.
      if (megabytes(file.size) > most()) return tooLarge();
      request.open("POST", root() + path);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      // Not in the address, which proxies write into their logs.
      request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
      request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
      request.onerror = request.onabort = () => fail(`${file.name} did not arrive: the connection broke. Try again.`);
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
        else fail(`${file.name} did not arrive: ${answer.error?.message ?? `the server answers ${request.status}.`}`);
      };
      request.send(file);
    });
  }

  // Imports the conversations of a file, and tells how far that is and what came of it.
  async function conversations(file) {
    if (!file) return;
    const tell = (text, share) => localchat.notices.show({ id: "import", kind: "info", text, share });
    tell(`Uploading ${file.name}…`, 0);
    try {
      const { text, complete } = await send("/upload/conversations", file, (share) =>
        tell(share < 1 ? `Uploading ${file.name}…` : `Importing ${file.name}…`, share));
      localchat.notices.show({ id: "import", kind: complete ? "success" : "warning", text });
    } catch (error) {
      localchat.notices.show({ id: "import", kind: "error", text: error.message });
    }
  }

  return { send, conversations };
})();
