// Tells by the browser that more needs this person, if they chose so: only while no page of ours is looked at, and
// only when it still does after a while.
const SETTLED_MS = 10_000;
const root = document.documentElement;

let known = null;
let timer = 0;

function sound() {
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  volume.gain.setValueAtTime(0.08, audio.currentTime);
  volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + 0.4);
  tone.frequency.value = 660;
  tone.connect(volume).connect(audio.destination);
  tone.onended = () => audio.close();
  tone.start();
  tone.stop(audio.currentTime + 0.4);
}

function tell(count) {
  known = count;
  if (Notification.permission !== "granted") return;
  const words = count === 1 ? "1 thing waits for you" : `${count} things wait for you`;
  // Other tabs of ours tell the same: the tag makes it one.
  const shown = new Notification(words, { tag: "autovibe-needs", icon: document.querySelector("link[rel=icon]").href, silent: true });
  shown.onclick = () => { focus(); location.assign(document.querySelector('[data-key="g n"]').href); };
  if ("sounds" in root.dataset) sound();
}

function hear(count) {
  clearTimeout(timer);
  if (known === null || !document.hidden || count <= known) known = count;
  else timer = setTimeout(() => tell(count), SETTLED_MS);
}
if ("notifies" in root.dataset) document.addEventListener("needs", ({ detail }) => hear(detail));
document.addEventListener("visibilitychange", () => { if (!document.hidden) clearTimeout(timer); });
