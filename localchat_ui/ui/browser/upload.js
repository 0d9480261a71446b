// Sends a file to the server, and says how far it is.
localchat.upload = (() => {
  const root = () => document.documentElement.dataset.root ?? "";

  // What the server answers. Whatever goes wrong is an Error with words for people.
  function send(path, file, onProgress = () => {}) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const fail = (words) => reject(new Error(words));
      request.open("POST", root() + path);
      request.setRequestHeader("Content-Type", "application/octet-stream");
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
        else if (request.status === 413) fail(`${file.name} is too large. ${answer.error?.message ?? "A proxy refuses it."}`);
        else fail(`${file.name} did not arrive: ${answer.error?.message ?? `the server answers ${request.status}`}`);
      };
      request.send(file);
    });
  }

  return { send };
})();
