// A machine's page as it is now.
import "./log.js";
import "./charts.js";
