// Every page's, for strangers: what `signed-in.js` has and signing in needs.
import "./live.js";
import "./page.js";
