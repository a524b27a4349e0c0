// Every page's, for who is signed in: one file that a browser fetches once. Collected, it holds what it imports.
import "./notify.js";
import "./live.js";
import "./page.js";
import "./keys.js";
import "./palette.js";
import "./fleet.js";
import "./scrubber.js";
import "./tree.js";
