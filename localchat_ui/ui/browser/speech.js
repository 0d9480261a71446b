// Reading aloud and dictation by the browser's own speech, as far as it works without sending anything anywhere.
localchat.speech = (() => {
  const { box } = localchat.page;
  const voices = () => window.speechSynthesis?.getVoices().filter((voice) => voice.localService) ?? [];

  // Reads a message aloud, or stops reading it. Code is not for the ear.
  let article = null;
  function read(wanted) {
    const again = article === wanted;
    stop();
    if (again) return;
    article = wanted;
    article.classList.add("speaking");
    const speaks = (prefix) => voices().find((voice) => voice.lang.startsWith(prefix));
    const voice = speaks(navigator.language) ?? speaks(navigator.language.slice(0, 2)) ?? voices()[0];
    const texts = [...article.querySelectorAll(".words > :not(figure)")].map((block) => block.innerText);
    const spoken = texts.map((text) => Object.assign(new SpeechSynthesisUtterance(text), { voice, lang: voice.lang }));
    if (!spoken.length) return stop();
    spoken.at(-1).onend = () => article === wanted && stop();
    spoken.forEach((utterance) => speechSynthesis.speak(utterance));
  }

  function stop() {
    article?.classList.remove("speaking");
    article = null;
    speechSynthesis.cancel();
  }

  // Writes what is said into the box, until it is pressed again.
  let listening = null;
  function dictate(button) {
    if (listening) return listening.stop();
    listening = Object.assign(new SpeechRecognition(), { lang: navigator.language, continuous: true, processLocally: true });
    button.setAttribute("aria-pressed", true);
    listening.onresult = ({ results, resultIndex }) => {
      box().focus();
      for (const [{ transcript }] of [...results].slice(resultIndex)) document.execCommand("insertText", false, transcript);
    };
    listening.onend = () => {
      listening = null;
      button.setAttribute("aria-pressed", false);
    };
    listening.start();
  }

  // The buttons are there where the machine itself can do it.
  function listen() {
    const offer = () => (document.body.dataset.speaks = voices().length > 0);
    offer();
    window.speechSynthesis?.addEventListener("voiceschanged", offer);
    window.SpeechRecognition?.available?.({ langs: [navigator.language], processLocally: true })
      .then((state) => (document.body.dataset.hears = state === "available"), () => {});
    addEventListener("pagehide", () => window.speechSynthesis?.cancel());
  }

  return { read, dictate, listen };
})();
