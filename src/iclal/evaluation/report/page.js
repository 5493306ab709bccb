// Tips beside the pointer, and a playhead over the spectrograms. The page reads well without any of it.
(() => {
  const tip = document.getElementById("tip");
  const hide = () => tip.classList.remove("shown");
  document.addEventListener("pointermove", (event) => {
    const holder = event.target.closest && event.target.closest("[data-tip]");
    if (!holder) return hide();
    tip.textContent = holder.dataset.tip;
    tip.classList.add("shown");
    const { offsetWidth: width, offsetHeight: height } = tip;
    const left = event.clientX + 16 + width > innerWidth ? event.clientX - width - 12 : event.clientX + 16;
    const top = Math.min(event.clientY + 14, innerHeight - height - 6);
    tip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  });
  document.addEventListener("pointerleave", hide);
  addEventListener("scroll", hide, { passive: true });

  // A clip shown twice is embedded once.
  for (const player of document.querySelectorAll("audio[data-from]")) {
    player.src = document.getElementById(player.dataset.from).src;
  }
  // One clip at a time.
  document.addEventListener("play", (event) => {
    for (const other of document.querySelectorAll("audio")) if (other !== event.target) other.pause();
  }, true);

  for (const figure of document.querySelectorAll("figure.hears")) {
    const player = figure.querySelector("audio");
    const drawing = figure.querySelector("svg.hearing");
    if (!player || !drawing) continue;
    const box = drawing.parentElement;
    const head = drawing.querySelector(".playhead");
    const tokens = [...drawing.querySelectorAll(".token")];
    const scale = drawing.width.baseVal.value / Number(drawing.dataset.seconds);
    const show = () => {
      const at = player.currentTime;
      head.setAttribute("x1", at * scale);
      head.setAttribute("x2", at * scale);
      let now = null;
      for (const token of tokens) if (Number(token.dataset.start) <= at) now = token;
      for (const token of tokens) token.classList.toggle("now", token === now);
      if (!player.paused) {
        const hidden = at * scale - box.scrollLeft;
        if (hidden > box.clientWidth * 0.85 || hidden < 0) box.scrollLeft = at * scale - box.clientWidth * 0.3;
        requestAnimationFrame(show);
      }
    };
    player.addEventListener("play", () => { drawing.classList.add("playing"); show(); });
    player.addEventListener("seeked", show);
    for (const token of tokens) {
      token.addEventListener("click", () => { player.currentTime = Number(token.dataset.start); player.play(); });
    }
  }
})();
