// Choosing machines from the list: how many are chosen, and the box that chooses the whole page. What is chosen is kept
// by the boxes themselves, which a live update leaves as they are.
const boxes = () => [...document.querySelectorAll("#bulk [name=machine]")];

function tell() {
  const all = boxes();
  const chosen = all.filter(box => box.checked).length;
  const every = document.querySelector("[data-choose-all]");
  if (every) {
    every.checked = chosen > 0 && chosen === all.length;
    every.indeterminate = chosen > 0 && chosen < all.length;
  }
  const words = document.querySelector("[data-chosen]");
  const sentence = chosen ? `${chosen} chosen` : "";
  if (words && words.textContent !== sentence) words.textContent = sentence;
}

document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-choose-all]")) for (const box of boxes()) box.checked = target.checked;
  if (target.closest("#bulk")) tell();
});
document.addEventListener("htmx:after:swap", tell);
addEventListener("pageshow", tell);
