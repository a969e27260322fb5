"use strict";
const box = document.getElementById("filter");
const count = document.getElementById("count");
const cards = [...document.querySelectorAll("figure")];

function show() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let left = 0;
  for (const card of cards) {
    card.hidden = !words.every((word) => card.dataset.words.includes(word));
    left += card.hidden ? 0 : 1;
  }
  count.textContent = left === cards.length ? `${left}` : `${left} / ${cards.length}`;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

for (const element of document.querySelectorAll("[data-needs-script]")) element.hidden = false;
box.addEventListener("input", show);
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const done = await copy(button.closest("figure").querySelector("code").textContent);
  button.textContent = done ? "Copied" : "Cannot copy";
  setTimeout(() => { button.textContent = "Copy command"; }, 1500);
});
show();
