// Entry of the dashboard's scripts.
export { RunView } from "hopslite-dashboard/run_view.js";
